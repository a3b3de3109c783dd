// The rows of a waterfall: a span, a group of equal spans, a log line.
import type { ComponentChildren } from "preact";
import { useMemo } from "preact/hooks";
import { duration, number, plural } from "../../shared/format.ts";
import { isNarrow } from "../common/screen.ts";
import { serviceColor } from "../common/service-color.ts";
import { shortService } from "../common/words.ts";
import { covered } from "./layout.ts";
import { type Stretch, stretches } from "./stretches.ts";
import { endOf, type Section, total, type Trace } from "./trace.ts";
import type { Note, Row } from "./waterfall-rows.ts";

const MAX_INDENT = 20;
const MARKS = 400;

interface RowProps<Kind extends Row["kind"]> {
  row: Row & { kind: Kind };
  index: number;
  trace: Trace;
  window: Section;
  /** Classes: active, selected, worst, match, no-match, context. */
  state: string;
  onOpen: () => void;
}
interface FoldProps {
  onFold: () => void;
}

export function SpanRow({ row, notes, onFold, ...props }: RowProps<"span"> & FoldProps & { notes: readonly Note[] }) {
  const { span } = row;
  const { trace, window, state } = props;
  const { critical, failed, refused } = span;
  const rest = useMemo((): Section[] => [[span.start, endOf(span)]], [span]);
  const status = Number(span.tags["http.response.status_code"] ?? 0);
  return (
    <Line row={row} service={span.service} isSelected={state.includes("selected")} {...props}>
      <div role="gridcell" class="cell-name">
        <span class="indent" />
        <Twisty isFolded={row.isFolded} onFold={onFold} />
        {failed && <span class="cross" role="img" aria-label="failed" />}
        {refused && <span class="refusal" role="img" aria-label="refused" />}
        {span.parent?.service !== span.service && <ServiceTag name={span.service} />}
        <span class={`span-name ${failed ? "failed" : refused ? "refused" : ""}`} title={span.title}>
          {span.title}
        </span>
        {span.peer && <span class="peer">{span.peer}</span>}
        {status >= 400 && <span class="status">{status}</span>}
        {row.isFolded && span.children.length > 0 && <span class="badge">{number(span.children.length)}</span>}
        {state.includes("worst") && <span class="badge warn">bottleneck</span>}
      </div>
      <div role="gridcell" class="cell-track">
        <span class="visually-hidden">
          {duration(span.duration)}, starts at {duration(span.start - trace.start)}
          {critical.length ? `, ${duration(total(critical))} on the critical path` : ""}
          {notes.length ? `, ${plural(notes.length, "log line")}` : ""}
        </span>
        <Bar rest={rest} critical={critical} label={duration(span.duration)} notes={notes} window={window} />
      </div>
    </Line>
  );
}

export function GroupRow({ row, matches, onFold, ...props }: RowProps<"group"> & FoldProps & { matches: number }) {
  const { group } = row;
  const { first, failed, refused } = group;
  const { window, state, trace } = props;
  const rest = useMemo(() => covered(group.spans), [group]);
  const critical = useMemo(() => group.spans.flatMap((span) => span.critical).sort((a, b) => a[0] - b[0]), [group]);
  const words = `${number(group.spans.length)} x ${group.title}: ${duration(group.time)}`;
  return (
    <Line row={row} service={first.service} isSelected={false} {...props}>
      <div role="gridcell" class="cell-name">
        <span class="indent" />
        <Twisty isFolded={row.isFolded} onFold={onFold} />
        {first.parent?.service !== first.service && <ServiceTag name={first.service} />}
        <span class={`span-name ${failed ? "failed" : refused ? "refused" : ""}`} title={words}>
          <b>{number(group.spans.length)} x</b> {group.title}: {duration(group.time)}
        </span>
        {failed > 0 && <span class="badge bad">{number(failed)} failed</span>}
        {refused > 0 && <span class="badge warn">{number(refused)} refused</span>}
        {matches > 0 && row.isFolded && <span class="badge info">{plural(matches, "match", "matches")}</span>}
        {state.includes("worst") && <span class="badge warn">bottleneck</span>}
      </div>
      <div role="gridcell" class="cell-track">
        <span class="visually-hidden">
          {duration(total(rest))} without overlaps, starts at {duration(first.start - trace.start)}
          {critical.length ? `, ${duration(total(critical))} on the critical path` : ""}
        </span>
        <Bar rest={rest} critical={critical} label={duration(total(rest))} notes={[]} window={window} />
      </div>
    </Line>
  );
}

export function NoteRow({ row, ...props }: RowProps<"note">) {
  const { note } = row;
  const { trace, window } = props;
  const left = Math.min(100, Math.max(0, ((note.at - window[0]) / (window[1] - window[0])) * 100));
  return (
    <Line row={row} service={note.span.service} {...props} state={`${props.state} ${levelClass(note.level)}`}>
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
    </Line>
  );
}

interface LineProps {
  row: Row;
  index: number;
  service: string;
  state: string;
  isSelected?: boolean;
  onOpen: () => void;
  children: ComponentChildren;
}
const Line = ({ row, index, service, state, isSelected, onOpen, children }: LineProps) => (
  <div
    role="row"
    id={rowId(index)}
    class={`row ${row.kind} ${state}`}
    aria-rowindex={index + 2}
    aria-level={row.depth + 1}
    aria-expanded={row.isFolded === undefined ? undefined : !row.isFolded}
    aria-selected={isSelected}
    style={{ "--service": serviceColor(service), "--depth": Math.min(row.depth, MAX_INDENT) }}
    onClick={onOpen}
  >
    {children}
  </div>
);

export const rowId = (index: number): string => `row-${index}`;

const Twisty = ({ isFolded, onFold }: FoldProps & { isFolded: boolean | undefined }) =>
  isFolded === undefined ? (
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
  );

const ServiceTag = ({ name }: { name: string }) => (
  <span class="service-tag" title={name}>
    {isNarrow.value ? shortService(name) : name}
  </span>
);

interface BarProps {
  rest: readonly Section[];
  critical: readonly Section[];
  label: string;
  notes: readonly Note[];
  window: Section;
}

/** The time of a span or a group; filled where it is on the critical path; a mark for each log line. */
function Bar({ rest, critical, label, notes, window }: BarProps) {
  const drawn = useMemo((): Stretch[] => stretches(rest, window, true), [rest, ...window]);
  const filled = useMemo((): Stretch[] => stretches(critical, window), [critical, ...window]);
  const marks = useMemo(() => distinct(notes, window), [notes, ...window]);
  const end = drawn.at(-1)?.to;
  if (end === undefined) return null;
  return (
    <span aria-hidden="true">
      <Stretches drawn={drawn} name="bar" />
      <Stretches drawn={filled} name="bar critical" />
      {marks.map((note, i) => (
        <span
          key={i}
          class={`note-tick ${levelClass(note.level)}`}
          style={{ left: `${Math.min(100, Math.max(0, ((note.at - window[0]) / (window[1] - window[0])) * 100))}%` }}
          title={note.text.slice(0, 200)}
        />
      ))}
      <span class="bar-label" style={{ left: `calc(${end * 100}% + 6px)` }}>
        {label}
      </span>
    </span>
  );
}

const Stretches = ({ drawn, name }: { drawn: readonly Stretch[]; name: string }) => (
  <>
    {drawn.map(({ from, to, share }) => (
      <span
        key={from}
        class={name}
        style={{ left: `${from * 100}%`, width: `${(to - from) * 100}%`, opacity: share < 1 ? share : undefined }}
      />
    ))}
  </>
);

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

/** A class for the levels that have a look of their own. */
export const levelClass = (level: string): string =>
  /^(ERROR|FATAL|CRITICAL)/.test(level) ? "level-error" : level.startsWith("WARN") ? "level-warn" : "";
