// A trace as the rows of its waterfall: spans, and under each its log lines and events in order of time.
import type { Log } from "../common/api.ts";
import type { Span, Tags, Trace } from "./trace.ts";

/** A log record or an event at its moment (µs), its span's clock correction applied. */
export interface Note {
  at: number;
  level: string;
  text: string;
  span: Span;
  log: Log | null;
}
export type Row = { kind: "span"; span: Span } | { kind: "note"; note: Note };

/** The notes of each span; a record without a span of this trace belongs to its root. */
export function notesOf(trace: Trace, logs: readonly Log[]): Map<Span, Note[]> {
  const notes = new Map<Span, Note[]>();
  const add = (note: Note): void => {
    const those = notes.get(note.span);
    if (those) those.push(note);
    else notes.set(note.span, [note]);
  };
  const owners = ownersOf(trace);
  for (const log of logs) {
    const span = owners.get(ownerKey(log.span_id, log.service)) ?? trace.byId.get(log.span_id) ?? trace.root;
    add({ at: log.timestamp + span.shift, level: log.level || "INFO", text: log.body, span, log });
  }
  for (const span of trace.spans) {
    for (const event of span.events) {
      const isException = event.name === "exception";
      const text = isException ? exceptionOf(event.attributes) : event.name;
      add({ at: event.timestamp + span.shift, level: isException ? "ERROR" : "EVENT", text, span, log: null });
    }
  }
  for (const those of notes.values()) those.sort((a, b) => a.at - b.at);
  return notes;
}

/** The spans by the id with which they were sent and their service: log records name no other. */
const ownersOf = (trace: Trace): Map<string, Span> =>
  new Map(
    trace.spans.toReversed().map((span) => [ownerKey(String(span.tags["otel.span_id"] ?? span.spanID), span.service), span]),
  );
const ownerKey = (spanID: string, service: string): string => `${spanID} ${service}`;

export const exceptionOf = (attributes: Tags): string =>
  ["exception.type", "exception.message"]
    .map((key) => attributes[key])
    .filter(Boolean)
    .join(": ") || "exception";

/** What is to be seen when the children of `collapsed` are not. Iterative: a hostile trace may be deeper than the stack. */
export function rowsOf(trace: Trace, collapsed: ReadonlySet<Span>, notes: ReadonlyMap<Span, Note[]> | null): Row[] {
  const rows: Row[] = [];
  const stack: Row[] = trace.roots.map((span): Row => ({ kind: "span", span })).reverse();
  for (let row = stack.pop(); row; row = stack.pop()) {
    rows.push(row);
    if (row.kind === "note" || collapsed.has(row.span)) continue;
    const below: Row[] = row.span.children.map((span) => ({ kind: "span", span }));
    for (const note of notes?.get(row.span) ?? []) below.push({ kind: "note", note });
    if (notes) below.sort((a, b) => momentOf(a) - momentOf(b));
    for (let i = below.length - 1; i >= 0; i--) stack.push(below[i]!);
  }
  return rows;
}

const momentOf = (row: Row): number => (row.kind === "span" ? row.span.start : row.note.at);

/** Whether a span, its tags or its notes have a text in them; `text` in lower case. */
export function hasText(span: Span, notes: readonly Note[] | undefined, text: string): boolean {
  const has = (value: unknown): boolean => String(value).toLowerCase().includes(text);
  if (has(span.name) || has(span.service) || has(span.spanID) || (text === "error" && span.failed)) return true;
  for (const [key, value] of Object.entries(span.tags)) if (has(key) || has(value)) return true;
  return notes?.some((note) => has(note.text)) ?? false;
}
