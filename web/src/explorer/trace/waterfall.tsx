import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { duration, number } from "../../shared/format.ts";
import { Icon, ICONS } from "../common/parts.tsx";
import { setParams, url, withParams } from "../common/router.ts";
import { filterOf, flipped, foldsOf, moved, NO_FILTER, passes, scaled, wholeOf, zoomOf, zoomParam } from "./choice.ts";
import { FilterBar } from "./filter-bar.tsx";
import { layoutOf, operationOf } from "./layout.ts";
import { Minimap } from "./minimap.tsx";
import { endOf, type Section, type Span, type Trace } from "./trace.ts";
import { isInSight, reveal, VirtualList } from "./virtual-list.tsx";
import { finder, foldedAbove, folding, type Note, type Row, rowsOf } from "./waterfall-rows.ts";
import { GroupRow, NoteRow, rowId, SpanRow } from "./waterfall-row.tsx";
import "../common/log-line.css";
import "./waterfall.css";

const ROW = 26;
const HEAD = 30;
const TICKS = [0, 0.25, 0.5, 0.75, 1];
const TYPING_MS = 250;

interface Props {
  trace: Trace;
  notes: ReadonlyMap<Span, Note[]>;
  selected: Span | undefined;
}

/** The tree of spans over time. A treegrid: arrows walk it, left and right fold and unfold, Enter opens the details. */
export function Waterfall({ trace, notes, selected }: Props) {
  const params = url.value.searchParams;
  const scroller = useRef<HTMLDivElement>(null);
  const awaited = useRef("");
  const areNotesShown = params.get("notes") !== "0";
  const [areFiltersShown, showFilters] = useState(() => passes(filterOf(params)) !== null);
  const [activeKey, setActiveKey] = useState(selected?.spanID ?? trace.root.spanID);
  // Keys may come faster than the page is drawn: each goes on from where the one before it led.
  const latest = useRef(activeKey);
  const setActive = (key: string): void => {
    latest.current = key;
    setActiveKey(key);
  };
  const shownNotes = areNotesShown ? notes : null;

  const filter = JSON.stringify(filterOf(params));
  const layout = useMemo(() => layoutOf(trace, passes(filterOf(params))), [trace, filter]);
  const folds = JSON.stringify(foldsOf(params));
  const isFolded = useMemo(() => folding(layout, foldsOf(params)), [layout, folds]);
  const rows = useMemo(() => rowsOf(layout, isFolded, shownNotes), [layout, isFolded, shownNotes]);
  const places = useMemo(() => new Map(rows.map((row, i) => [row.key, i])), [rows]);
  const found = useFound(trace, notes, layout.order, params);
  const zoom = zoomOf(params, trace);
  const window: Section = zoom ?? wholeOf(trace);
  const at = places.get(activeKey) ?? 0;
  const worst = trace.bottlenecks[0]?.span;

  const show = (key: string, center = false): void => {
    setActive(key);
    const place = places.get(key);
    if (scroller.current && place !== undefined) reveal(scroller.current, place, ROW, HEAD, center);
  };
  /** A span that is found or linked to may be in a folded part. */
  const bringUp = (span: Span): void => {
    if (places.has(span.spanID)) {
      show(span.spanID, true);
      return;
    }
    awaited.current = span.spanID;
    setActive(span.spanID);
    setParams(flipped(foldsOf(params), foldedAbove(layout, isFolded, span)));
  };
  useLayoutEffect(() => {
    if (awaited.current && places.has(awaited.current)) {
      show(awaited.current, true);
      awaited.current = "";
    }
  }, [places]);
  const open = (span: Span | undefined): void => setParams({ span: span?.spanID ?? null });
  const fold = (key: string): void => {
    setActive(key);
    setParams(flipped(foldsOf(params), [key]));
  };
  const zoomTo = (section: Section | null): void => setParams(zoomParam(trace, section));
  const foldAll = (base: "all" | "none"): void => setParams({ fold: base, flip: null });
  const step = (by: 1 | -1, text = found.text): void => {
    const spans = found.search(text);
    const current = spans.findIndex((span) => span.spanID === latest.current);
    const next = spans.at(current < 0 ? (by > 0 ? 0 : -1) : (current + by) % spans.length);
    if (next) bringUp(next);
  };

  useEffect(() => {
    if (!selected) return;
    if (isInSight(scroller.current!, places.get(selected.spanID), ROW, HEAD)) setActive(selected.spanID);
    else if (!layout.context.has(selected)) bringUp(selected);
  }, [selected?.spanID, trace.traceID]);
  // An operation that was chosen in the table shows its first span.
  useEffect(() => {
    if (found.operation && !selected) step(1);
  }, [found.operation]);

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
    const at = places.get(latest.current) ?? 0;
    const row = rows[at];
    if (!row || event.ctrlKey || event.metaKey || event.altKey) return;
    const { key } = event;
    const page = Math.max(1, Math.floor((scroller.current!.clientHeight - HEAD) / ROW) - 1);
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -rows.length, End: rows.length }[key];
    if (by) show(rows[Math.min(rows.length - 1, Math.max(0, at + by))]!.key);
    else if (event.shiftKey && key === "ArrowRight") zoomTo(moved(trace, window, 0.25));
    else if (event.shiftKey && key === "ArrowLeft") zoomTo(moved(trace, window, -0.25));
    else if (key === "ArrowRight" && row.isFolded) fold(row.key);
    else if (key === "ArrowRight" && row.isFolded === false) show(rows[at + 1]!.key);
    else if (key === "ArrowLeft" && row.isFolded === false) fold(row.key);
    else if (key === "ArrowLeft") show(rows[parentOf(rows, at)]!.key);
    else if (key === "Enter" || key === " ") row.kind === "group" ? fold(row.key) : open(spanOf(row));
    else if (key === "z") zoomTo(zoom ? null : sectionOf(row));
    else if (key === "+" || key === "=") zoomTo(scaled(trace, window, 0.5));
    else if (key === "-") zoomTo(scaled(trace, window, 2));
    else if (key === "0") zoomTo(null);
    else if (key === "n") step(1);
    else if (key === "N") step(-1);
    else if (key === "Escape" && zoom) zoomTo(null);
    else if (key === "Escape" && selected) open(undefined);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };

  const stateOf = (row: Row, i: number): string => {
    const spans = row.kind === "group" ? row.group.spans : row.kind === "span" ? [row.span] : [];
    const isMatch = found.matches !== null && spans.some((span) => found.matches!.has(span));
    return [
      i === at ? "active" : "",
      row.kind === "span" && row.span === selected ? "selected" : "",
      row.kind === "span" && layout.context.has(row.span) ? "context" : "",
      worst && spans.includes(worst) && (row.kind === "span" || row.isFolded) ? "worst" : "",
      found.matches && row.kind !== "note" ? (isMatch ? "match" : "no-match") : "",
    ].join(" ");
  };

  return (
    <section class="waterfall-card card">
      <div class="waterfall-bar">
        <Find found={found} activeKey={activeKey} onStep={step} />
        <button
          type="button"
          class="button small"
          aria-expanded={areFiltersShown}
          aria-controls={areFiltersShown ? "trace-filters" : undefined}
          onClick={() => showFilters(!areFiltersShown)}
        >
          Filter
        </button>
        <label class="toggle">
          <input
            type="checkbox"
            checked={areNotesShown}
            onChange={(event) => setParams({ notes: event.currentTarget.checked ? null : "0" })}
          />
          Log lines
        </label>
        <button
          type="button"
          class="button small quiet"
          onClick={() => foldAll("none")}
          disabled={!rows.some((row) => row.isFolded)}
        >
          Unfold all
        </button>
        <button type="button" class="button small quiet" onClick={() => foldAll("all")}>
          Fold all
        </button>
      </div>
      {areFiltersShown && <FilterBar trace={trace} passing={layout.order.length} />}
      <Minimap trace={trace} window={window} isZoomed={zoom !== null} onZoom={zoomTo} />
      {!rows.length && (
        <p class="loading">
          No span passes the filter. <a href={withParams(url.value, NO_FILTER)}>Show all spans</a>
        </p>
      )}
      <div
        class="waterfall"
        ref={scroller}
        role="treegrid"
        tabIndex={0}
        aria-label="Spans of this trace"
        aria-rowcount={rows.length + 1}
        aria-colcount={2}
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
          active={at}
          idOf={rowId}
          render={(row, i) => {
            const props = { key: row.key, index: i, trace, window, state: stateOf(row, i) };
            const onFold = (): void => fold(row.key);
            if (row.kind === "group") {
              const matches = found.matches ? row.group.spans.filter((span) => found.matches!.has(span)).length : 0;
              return <GroupRow {...props} row={row} matches={matches} onFold={onFold} onOpen={onFold} />;
            }
            const onOpen = (): void => {
              setActive(row.key);
              open(row.kind === "span" && row.span === selected ? undefined : spanOf(row));
            };
            if (row.kind === "note") return <NoteRow {...props} row={row} onOpen={onOpen} />;
            return <SpanRow {...props} row={row} notes={notes.get(row.span) ?? []} onFold={onFold} onOpen={onOpen} />;
          }}
        />
      </div>
      <p class="waterfall-key muted" aria-hidden="true">
        <i class="key-critical" /> critical path <i class="key-rest" /> rest of a span <i class="key-tick" /> log line
        <i class="key-tick bad" /> error <span class="wide-only">· arrows walk, Enter opens, z zooms, ? lists all keys</span>
      </p>
    </section>
  );
}

const spanOf = (row: Row): Span => (row.kind === "note" ? row.note.span : row.kind === "group" ? row.group.first : row.span);

function sectionOf(row: Row): Section | null {
  const spans = row.kind === "group" ? row.group.spans : [spanOf(row)];
  const start = Math.min(spans[0]!.start);
  const end = spans.reduce((last, span) => Math.max(last, endOf(span)), 0);
  return end > start ? [start, end] : null;
}

/** The row above that is one level further out, else the row itself. */
function parentOf(rows: readonly Row[], at: number): number {
  for (let i = at - 1; i >= 0; i--) if (rows[i]!.depth < rows[at]!.depth) return i;
  return at;
}

interface Found {
  text: string;
  /** An operation that was chosen in the table. */
  operation: string;
  /** Null where nothing is sought. */
  matches: ReadonlySet<Span> | null;
  /** Spans with a text, and of the operation, in the order of the rows. */
  search: (text: string) => readonly Span[];
}

function useFound(trace: Trace, notes: Props["notes"], order: readonly Span[], params: URLSearchParams): Found {
  const has = useMemo(() => finder(notes), [trace, notes]);
  const last = useRef<{ key: unknown[]; spans: readonly Span[] }>(undefined);
  const text = params.get("find") ?? "";
  const operation = params.get("op") ?? "";
  const search = (sought: string): readonly Span[] => {
    const key = [has, order, operation, sought];
    if (!last.current || key.some((part, i) => part !== last.current!.key[i])) {
      const spans = order.filter((span) => (!operation || operationOf(span) === operation) && (!sought || has(span, sought)));
      last.current = { key, spans };
    }
    return last.current.spans;
  };
  const spans = text || operation ? search(text) : null;
  const matches = useMemo(() => spans && new Set(spans), [spans]);
  return { text, operation, matches, search };
}

interface FindProps {
  found: Found;
  activeKey: string;
  onStep: (by: 1 | -1, text?: string) => void;
}

/** A search box, "3 of 11", and buttons to the next and the previous match. */
function Find({ found, activeKey, onStep }: FindProps) {
  const [text, setText] = useState(found.text);
  const timer = useRef(0);
  useEffect(() => setText(found.text), [found.text]);
  const commit = (now: string): void => {
    clearTimeout(timer.current);
    setParams({ find: now.trim() });
  };
  const spans = found.matches ? found.search(found.text) : [];
  const place = spans.findIndex((span) => span.spanID === activeKey);
  const count = number(spans.length);
  const words = !spans.length ? "no match" : place < 0 ? `${count} found` : `${number(place + 1)} of ${count}`;
  return (
    <>
      <input
        class="input find"
        type="search"
        data-search=""
        aria-label="Find in this trace"
        placeholder="Find in this trace"
        value={text}
        onInput={(event) => {
          const now = event.currentTarget.value;
          setText(now);
          clearTimeout(timer.current);
          timer.current = setTimeout(() => commit(now), TYPING_MS);
        }}
        onKeyDown={(event) => {
          if (event.key !== "Enter") return;
          const now = event.currentTarget.value.trim();
          commit(now);
          if (now || found.operation) onStep(event.shiftKey ? -1 : 1, now);
        }}
      />
      {found.operation && (
        <span class="chip">
          <span title={found.operation}>{found.operation}</span>
          <button type="button" aria-label="Remove the chosen operation" onClick={() => setParams({ op: null })}>
            <Icon path={ICONS.close} />
          </button>
        </span>
      )}
      {found.matches && (
        <span class="found">
          <span class="matches" role="status">
            {words}
          </span>
          <button
            type="button"
            class="button small quiet"
            aria-label="Previous match"
            disabled={!spans.length}
            onClick={() => onStep(-1)}
          >
            <Icon path="M6 15l6-6 6 6" />
          </button>
          <button
            type="button"
            class="button small quiet"
            aria-label="Next match"
            disabled={!spans.length}
            onClick={() => onStep(1)}
          >
            <Icon path="M6 9l6 6 6-6" />
          </button>
        </span>
      )}
    </>
  );
}

export { levelClass } from "./waterfall-row.tsx";
