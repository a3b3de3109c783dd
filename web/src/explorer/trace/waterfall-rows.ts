// A trace as the rows of its waterfall: spans, groups of equal ones, and under each span its log lines and events.
import type { Log } from "../common/api.ts";
import type { Folds } from "./choice.ts";
import { FOLDED_FROM, type Group, type Item, isGroup, type Layout } from "./layout.ts";
import type { Span, Tags, Trace } from "./trace.ts";

/** A log record or an event at its moment (µs), its span's clock correction applied. */
export interface Note {
  at: number;
  level: string;
  text: string;
  span: Span;
  log: Log | null;
}
/** `key` names the row in the address and across polls; `isFolded` is undefined where there is nothing to fold. */
export type Row = { key: string; depth: number; isFolded: boolean | undefined } & (
  | { kind: "span"; span: Span }
  | { kind: "group"; group: Group }
  | { kind: "note"; note: Note }
);
type Notes = ReadonlyMap<Span, Note[]>;

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

/** Whether a span or group is folded: many equal siblings are at first. */
export function folding(layout: Layout, { base, changed }: Folds): (item: Item) => boolean {
  const flipped = new Set(changed);
  return (item) => {
    const key = isGroup(item) ? item.key : item.spanID;
    const isLong = isGroup(item) && item.spans.length >= FOLDED_FROM;
    const byBase = { "": isLong, none: false, all: isGroup(item) || !layout.trunk.has(item) }[base];
    return byBase !== flipped.has(key);
  };
}

/** The rows in sight. Iterative: a hostile trace may be deeper than the stack. */
export function rowsOf(layout: Layout, isFolded: (item: Item) => boolean, notes: Notes | null): Row[] {
  const rows: Row[] = [];
  const rowOf = (item: Item, depth: number): Row => {
    if (isGroup(item)) return { kind: "group", group: item, key: item.key, depth, isFolded: isFolded(item) };
    const hasMore = layout.below.has(item) || notesIn(item).length > 0;
    return { kind: "span", span: item, key: item.spanID, depth, isFolded: hasMore ? isFolded(item) : undefined };
  };
  const notesIn = (span: Span): readonly Note[] => (layout.context.has(span) ? [] : (notes?.get(span) ?? []));
  const below = (row: Row): Row[] => {
    const depth = row.depth + 1;
    if (row.kind === "note") return [];
    if (row.kind === "group") return row.group.spans.map((span) => rowOf(span, depth));
    const found = (layout.below.get(row.span) ?? []).map((item) => rowOf(item, depth));
    for (const [i, note] of notesIn(row.span).entries()) {
      found.push({ kind: "note", note, key: `${row.key}/${i}`, depth, isFolded: undefined });
    }
    return notes ? found.sort((a, b) => momentOf(a) - momentOf(b)) : found;
  };
  const stack = (layout.below.get(null) ?? []).map((item) => rowOf(item, 0)).reverse();
  for (let row = stack.pop(); row; row = stack.pop()) {
    rows.push(row);
    if (row.isFolded === false) for (const one of below(row).reverse()) stack.push(one);
  }
  return rows;
}

const momentOf = (row: Row): number =>
  row.kind === "note" ? row.note.at : row.kind === "group" ? row.group.first.start : row.span.start;

/** The keys of what must be unfolded before a span is in sight. */
export function foldedAbove(layout: Layout, isFolded: (item: Item) => boolean, span: Span): string[] {
  const found: string[] = [];
  for (let one: Span | null = span; one; one = one.parent) {
    const group = layout.groupOf.get(one);
    if (one !== span && isFolded(one)) found.push(one.spanID);
    if (group && isFolded(group)) found.push(group.key);
  }
  return found;
}

/** Whether the words of spans, their tags or their notes have a text in them; capitals do not matter. */
export function finder(notes: Notes): (span: Span, text: string) => boolean {
  // Joined once: a key is pressed more often than a trace changes.
  const words = new Map<Span, string>();
  return (span, text) => {
    let own = words.get(span);
    if (own === undefined) {
      own = wordsOf(span, notes.get(span) ?? []);
      words.set(span, own);
    }
    return own.includes(text.toLowerCase());
  };
}

function wordsOf(span: Span, notes: readonly Note[]): string {
  const words = [
    span.name,
    span.title,
    span.service,
    span.spanID,
    span.failed ? "error failed" : "",
    span.refused ? "refused" : "",
  ];
  for (const key in span.tags) words.push(key, String(span.tags[key]));
  for (const note of notes) words.push(note.text);
  return words.join("\n").toLowerCase();
}
