import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { duration, plural } from "../../shared/format.ts";
import { serviceColor } from "../common/service-color.ts";
import { setParams } from "../common/router.ts";
import { isNarrow } from "../common/screen.ts";
import { shortService } from "../common/words.ts";
import { endOf, type Section, type Span, total, type Trace } from "./trace.ts";
import { type Stretch, stretches } from "./stretches.ts";
import { isInSight, reveal, VirtualList } from "./virtual-list.tsx";
import { hasText, type Note, type Row, rowsOf } from "./waterfall-rows.ts";
import "../common/log-line.css";
import "./waterfall.css";

const ROW = 26;
const HEAD = 30;
const MAX_INDENT = 20;
const TICKS = [0, 0.25, 0.5, 0.75, 1];
const MARKS = 400;

interface Props {
  trace: Trace;
  notes: ReadonlyMap<Span, Note[]>;
  selected: Span | undefined;
}

/** The tree of spans over time. A treegrid: arrows walk it, left and right fold and unfold, Enter opens the details. */
export function Waterfall({ trace, notes, selected }: Props) {
  const scroller = useRef<HTMLDivElement>(null);
  const awaited = useRef<Span>(undefined);
  const [collapsed, setCollapsed] = useState<ReadonlySet<Span>>(new Set());
  const [hasNotes, setNotes] = useState(true);
  const [active, setActive] = useState<Span | Note>(selected ?? trace.root);
  const [zoom, setZoom] = useState<Section | null>(null);
  const [search, setSearch] = useState("");
  const rows = useMemo(() => rowsOf(trace, collapsed, hasNotes ? notes : null), [trace, collapsed, hasNotes, notes]);
  const places = useMemo(() => new Map(rows.map((row, i) => [itemOf(row), i])), [rows]);
  const matches = useMemo(() => findSpans(trace, notes, search), [trace, notes, search]);
  const window: Section = zoom ?? [trace.start, Math.max(trace.end, trace.start + 1)];
  const at = places.get(active) ?? 0;

  const show = (item: Span | Note, center = false): void => {
    setActive(item);
    const place = places.get(item);
    if (scroller.current && place !== undefined) reveal(scroller.current, place, ROW, HEAD, center);
  };
  /** A span that is found or linked to may lie in a folded part. */
  const bringUp = (span: Span): void => {
    if (places.has(span)) {
      show(span, true);
      return;
    }
    const above = ancestors(span);
    setCollapsed(new Set([...collapsed].filter((folded) => !above.includes(folded))));
    awaited.current = span;
  };
  useLayoutEffect(() => {
    if (awaited.current) show(awaited.current, true);
    awaited.current = undefined;
  }, [places]);
  const open = (span: Span | undefined): void => setParams({ span: span?.spanID ?? null });
  const fold = (span: Span, isFolded: boolean): void => {
    const next = new Set(collapsed);
    if (isFolded) next.add(span);
    else next.delete(span);
    setCollapsed(next);
  };

  useEffect(() => {
    if (!selected) return;
    if (isInSight(scroller.current!, places.get(selected), ROW, HEAD)) setActive(selected);
    else bringUp(selected);
  }, [selected?.spanID, trace.traceID]);

  useEffect(() => {
    const enter = (event: KeyboardEvent): void => {
      if (!/^Arrow(Up|Down)$/.test(event.key) || event.target !== document.body) return;
      scroller.current!.focus();
      event.preventDefault();
    };
    document.addEventListener("keydown", enter);
    return () => document.removeEventListener("keydown", enter);
  }, []);

  const onKeyDown = (event: KeyboardEvent): void => {
    const row = rows[at];
    if (!row || event.ctrlKey || event.metaKey || event.altKey) return;
    const span = row.kind === "span" ? row.span : null;
    const page = Math.max(1, Math.floor((scroller.current!.clientHeight - HEAD) / ROW) - 1);
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -rows.length, End: rows.length }[event.key];
    if (step) show(itemOf(rows[Math.min(rows.length - 1, Math.max(0, at + step))]!));
    else if (event.key === "ArrowRight" && span && collapsed.has(span)) fold(span, false);
    else if (event.key === "ArrowRight" && span && isFoldable(span, hasNotes ? notes : null)) show(itemOf(rows[at + 1]!));
    else if (event.key === "ArrowLeft" && span && isFoldable(span, hasNotes ? notes : null) && !collapsed.has(span))
      fold(span, true);
    else if (event.key === "ArrowLeft") show(parentOf(row) ?? active);
    else if (event.key === "Enter" || event.key === " ") open(row.kind === "span" ? row.span : row.note.span);
    else if (event.key === "z") setZoom(zoom ? null : zoomTo(span ?? (row.kind === "note" ? row.note.span : null)));
    else if (event.key === "Escape" && zoom) setZoom(null);
    else if (event.key === "Escape" && selected) open(undefined);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const nextMatch = (step: 1 | -1): void => {
    const order = rowsOf(trace, new Set(), null).flatMap((row) =>
      row.kind === "span" && matches.has(row.span) ? [row.span] : [],
    );
    const current = order.indexOf(active as Span);
    const next = order.at(current < 0 ? 0 : (current + step) % order.length);
    if (next) bringUp(next);
  };

  return (
    <section class="waterfall-card card">
      <div class="waterfall-bar">
        <input
          class="input find"
          type="search"
          data-search=""
          aria-label="Find in this trace"
          placeholder="Find in this trace"
          value={search}
          onInput={(event) => setSearch(event.currentTarget.value.trim().toLowerCase())}
          onKeyDown={(event) => event.key === "Enter" && nextMatch(event.shiftKey ? -1 : 1)}
        />
        <span class="muted matches" aria-live="polite">
          {search && (matches.size ? `${plural(matches.size, "match", "matches")}, Enter goes on` : "no match")}
        </span>
        <label class="toggle">
          <input type="checkbox" checked={hasNotes} onChange={(event) => setNotes(event.currentTarget.checked)} />
          Log lines
        </label>
        <button type="button" class="button small quiet" onClick={() => setCollapsed(new Set())} disabled={!collapsed.size}>
          Unfold all
        </button>
        <button type="button" class="button small quiet" onClick={() => setCollapsed(inner(trace))}>
          Fold all
        </button>
        {zoom && (
          <button type="button" class="button small" onClick={() => setZoom(null)}>
            Whole trace
          </button>
        )}
      </div>
      <div
        class="waterfall"
        ref={scroller}
        role="treegrid"
        tabIndex={0}
        aria-label="Spans of this trace"
        aria-rowcount={rows.length + 1}
        aria-colcount={2}
        aria-activedescendant={`row-${at}`}
        onKeyDown={onKeyDown}
      >
        <div role="rowgroup" class="waterfall-head">
          <div role="row" class="row head" aria-rowindex={1}>
            <div role="columnheader" class="cell-name">
              <span class="eyebrow">Span</span>
            </div>
            <div role="columnheader" class="cell-track">
              <span class="visually-hidden">Time</span>
              {TICKS.map((share) => (
                <span key={share} class="tick" aria-hidden="true" style={{ left: `${share * 100}%` }}>
                  {duration(window[0] - trace.start + share * (window[1] - window[0]))}
                </span>
              ))}
            </div>
          </div>
        </div>
        <VirtualList
          items={rows}
          rowHeight={ROW}
          scroller={scroller}
          render={(row, i) =>
            row.kind === "note" ? (
              <NoteRow
                key={`note ${i}`}
                row={row}
                index={i}
                trace={trace}
                window={window}
                isActive={i === at}
                onOpen={() => {
                  setActive(row.note);
                  open(row.note.span);
                }}
              />
            ) : (
              <SpanRow
                key={row.span.spanID}
                row={row}
                index={i}
                trace={trace}
                window={window}
                notes={notes.get(row.span) ?? []}
                isFolded={isFoldable(row.span, hasNotes ? notes : null) ? collapsed.has(row.span) : undefined}
                state={[
                  i === at ? "active" : "",
                  row.span === selected ? "selected" : "",
                  row.span === trace.bottlenecks[0]?.span ? "worst" : "",
                  search ? (matches.has(row.span) ? "match" : "no-match") : "",
                ].join(" ")}
                onFold={() => fold(row.span, !collapsed.has(row.span))}
                onOpen={() => {
                  setActive(row.span);
                  open(row.span === selected ? undefined : row.span);
                }}
              />
            )
          }
        />
      </div>
      <p class="waterfall-key muted" aria-hidden="true">
        <i class="key-critical" /> critical path <i class="key-rest" /> rest of a span <i class="key-tick" /> log line
        <i class="key-tick bad" /> error <span class="wide-only">· arrows walk, Enter opens, z zooms, ? lists all keys</span>
      </p>
    </section>
  );
}

const itemOf = (row: Row): Span | Note => (row.kind === "span" ? row.span : row.note);
const isFoldable = (span: Span, notes: ReadonlyMap<Span, Note[]> | null): boolean =>
  span.children.length > 0 || (notes?.get(span)?.length ?? 0) > 0;
const parentOf = (row: Row): Span | null => (row.kind === "note" ? row.note.span : row.span.parent);
const zoomTo = (span: Span | null): Section | null => (span?.duration ? [span.start, endOf(span)] : null);

function ancestors(span: Span): Span[] {
  const found: Span[] = [];
  for (let up = span.parent; up; up = up.parent) found.push(up);
  return found;
}

/** Everything that has children below where the trace first branches: folded, the request's own steps remain. */
function inner(trace: Trace): Set<Span> {
  const open = new Set([trace.root]);
  for (const span of open) if (span.children.length === 1) open.add(span.children[0]!);
  return new Set(trace.spans.filter((span) => span.children.length && !open.has(span)));
}

function findSpans(trace: Trace, notes: ReadonlyMap<Span, Note[]>, text: string): Set<Span> {
  return new Set(text ? trace.spans.filter((span) => hasText(span, notes.get(span), text)) : []);
}

interface SpanRowProps {
  row: Row & { kind: "span" };
  index: number;
  trace: Trace;
  window: Section;
  notes: readonly Note[];
  isFolded: boolean | undefined;
  state: string;
  onFold: () => void;
  onOpen: () => void;
}

function SpanRow({ row: { span }, index, trace, window, notes, isFolded, state, onFold, onOpen }: SpanRowProps) {
  const color = serviceColor(span.service);
  const isNewService = span.parent?.service !== span.service;
  const { critical, failed, refused } = span;
  const status = Number(span.tags["http.response.status_code"] ?? 0);
  return (
    <div
      role="row"
      id={`row-${index}`}
      class={`row span ${state}`}
      aria-rowindex={index + 2}
      aria-level={span.depth + 1}
      aria-expanded={isFolded === undefined ? undefined : !isFolded}
      aria-selected={state.includes("selected")}
      style={{ "--service": color, "--depth": Math.min(span.depth, MAX_INDENT) }}
      onClick={onOpen}
    >
      <div role="gridcell" class="cell-name">
        <span class="indent" />
        {isFolded === undefined ? (
          <span class="twisty" />
        ) : (
          <span
            class={`twisty ${isFolded ? "folded" : "unfolded"}`}
            aria-hidden="true"
            onClick={(event) => {
              event.stopPropagation();
              onFold();
            }}
          />
        )}
        {failed && <span class="cross" role="img" aria-label="failed" />}
        {refused && <span class="refusal" role="img" aria-label="refused" />}
        {isNewService && <span class="service-tag">{isNarrow.value ? shortService(span.service) : span.service}</span>}
        <span class={`span-name ${failed ? "failed" : refused ? "refused" : ""}`} title={span.title}>
          {span.title}
        </span>
        {span.peer && <span class="peer">{span.peer}</span>}
        {status >= 400 && <span class="status">{status}</span>}
        {isFolded && <span class="badge">{span.children.length}</span>}
        {state.includes("worst") && <span class="badge warn">bottleneck</span>}
      </div>
      <div role="gridcell" class="cell-track">
        <span class="visually-hidden">
          {duration(span.duration)}, starts at {duration(span.start - trace.start)}
          {critical.length ? `, ${duration(total(critical))} on the critical path` : ""}
          {notes.length ? `, ${plural(notes.length, "log line")}` : ""}
        </span>
        <Bar span={span} notes={notes} window={window} />
      </div>
    </div>
  );
}

/** The span's time; filled where it is on the critical path; a mark for each log line. */
function Bar({ span, notes, window }: Pick<SpanRowProps, "notes" | "window"> & { span: Span }) {
  const drawn = useMemo((): Stretch[] => stretches(span.critical, window), [span.critical, ...window]);
  const marks = useMemo(() => distinct(notes, window), [notes, ...window]);
  const share = (at: number): number => ((at - window[0]) / (window[1] - window[0])) * 100;
  const clip = (at: number): number => Math.min(100, Math.max(0, share(at)));
  const [left, right] = [clip(span.start), clip(endOf(span))];
  const isOutside = share(endOf(span)) < 0 || share(span.start) > 100;
  if (isOutside) return null;
  return (
    <span aria-hidden="true">
      <span class="bar" style={{ left: `${left}%`, width: `${right - left}%` }} />
      {drawn.map(({ from, to, share: covered }) => (
        <span
          key={from}
          class="bar critical"
          style={{ left: `${from * 100}%`, width: `${(to - from) * 100}%`, opacity: covered < 1 ? covered : undefined }}
        />
      ))}
      {marks.map((note, i) => (
        <span
          key={i}
          class={`note-tick ${levelClass(note.level)}`}
          style={{ left: `${clip(note.at)}%` }}
          title={note.text.slice(0, 200)}
        />
      ))}
      <span class="bar-label" style={{ left: `calc(${right}% + 6px)` }}>
        {duration(span.duration)}
      </span>
    </span>
  );
}

/** The notes whose marks can be told apart in a bar: of those at one place the most severe. */
function distinct(notes: readonly Note[], [start, end]: Section): Note[] {
  const cells = new Map<number, Note>();
  for (const note of notes) {
    const cell = Math.round(((note.at - start) / (end - start)) * MARKS);
    const other = cells.get(cell);
    if (!other || severity(note) > severity(other)) cells.set(cell, note);
  }
  return [...cells.values()];
}

const severity = (note: Note): number => ["", "level-warn", "level-error"].indexOf(levelClass(note.level));

interface NoteRowProps {
  row: Row & { kind: "note" };
  index: number;
  trace: Trace;
  window: Section;
  isActive: boolean;
  onOpen: () => void;
}

function NoteRow({ row: { note }, index, trace, window, isActive, onOpen }: NoteRowProps) {
  const depth = note.span.depth + 1;
  const left = Math.min(100, Math.max(0, ((note.at - window[0]) / (window[1] - window[0])) * 100));
  return (
    <div
      role="row"
      id={`row-${index}`}
      class={`row note ${isActive ? "active" : ""} ${levelClass(note.level)}`}
      aria-rowindex={index + 2}
      aria-level={depth + 1}
      style={{ "--depth": Math.min(depth, MAX_INDENT), "--service": serviceColor(note.span.service) }}
      onClick={onOpen}
    >
      <div role="gridcell" class="cell-name" title={note.text.slice(0, 1000)}>
        <span class="indent" />
        <span class="twisty" />
        <span class={`level ${levelClass(note.level)}`}>{note.level}</span>
        <span class="note-text">{note.text}</span>
      </div>
      <div role="gridcell" class="cell-track">
        <span class={`note-tick ${levelClass(note.level)}`} aria-hidden="true" style={{ left: `${left}%` }} />
        <span class="bar-label" style={{ left: `calc(${left}% + 6px)` }}>
          +{duration(Math.max(0, note.at - trace.start))}
        </span>
      </div>
    </div>
  );
}

/** A class for the levels that have a look of their own. */
export const levelClass = (level: string): string =>
  /^(ERROR|FATAL|CRITICAL)/.test(level) ? "level-error" : level.startsWith("WARN") ? "level-warn" : "";
