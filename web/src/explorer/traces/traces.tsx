import { useEffect, useMemo, useState } from "preact/hooks";
import { duration, number, plural, time } from "../../shared/format.ts";
import { POLL_MS, type Summary } from "../common/api.ts";
import { type Area, Chart, type Dot } from "../common/chart.tsx";
import { useHeld } from "../common/held.ts";
import { live, nowUs, range } from "../common/now.ts";
import { usePages } from "../common/pages.ts";
import { Ago, Failure, Found, NoneFits, NothingYet, Older, Service, Time, Waiting } from "../common/parts.tsx";
import { QueryBox, queryOf } from "../common/query-box.tsx";
import { address, setParams, traceLink, url } from "../common/router.ts";
import { betweenLabel, betweenParams, boundsOf, resolved, timeParams } from "../common/time-range.ts";
import { ExportLink, ImportButton } from "../transfer/transfer.tsx";
import { boxParam } from "../difference/box.ts";
import { WhatIsDifferent } from "../difference/difference.tsx";
import { PickToCompare, Picked } from "../compare/pick.tsx";
import "./traces.css";

const PAGE = "100";
const SCREENFUL = 24;
/** A trace that took no time at all (µs) is here in the scatter, not decades below the others. */
const FLOOR = 100;
const TOGGLES = [
  ["Failed", "status:error"],
  ["Refused", "status:refused"],
] as const;
const STARTS = [
  ["Service", "service:"],
  ["Operation", "operation:"],
  ["Slower than", "total>"],
] as const;
const EXAMPLES = [
  ["service:payment-service status:error", "a span of that service failed"],
  ["duration>500ms", "a span took longer; total>2s is about the whole trace"],
  ["http.response.status_code>=500", "an attribute of a span, an event or a resource"],
  ['"card declined"', "this text anywhere: in a name, a value, a log line"],
  ["exists:exception.type -http.route=/items", "has this attribute, and not that value"],
  ["operation:PUT* (status:error or status:refused)", "a name that begins so, and one of the two"],
] as const;
const keyOf = (trace: Summary): string => trace.traceID;

/** Traces, newest first and live, of the time and the query in the address. */
export function Traces() {
  const q = queryOf(url.value);
  const path = address("/api/summaries", { q, ...timeParams(range.value), limit: PAGE });
  const found = usePages<Summary>(path, live.value ? POLL_MS : 0, keyOf);
  const traces = useMemo(() => found.items.toSorted((a, b) => b.startTime - a.startTime), [found.items]);
  const isNarrowed = q !== "" || boundsOf(range.value, 0) !== null;
  return (
    <main class="page" aria-busy={found.isBusy}>
      <h1 class="visually-hidden">Traces</h1>
      <Found {...found} text={found.hasOlder ? `The newest ${plural(traces.length, "trace")}` : plural(traces.length, "trace")} />
      <QueryBox
        signal="traces"
        placeholder='service:order-service status:error "any text"'
        error={found.error}
        toggles={TOGGLES}
        starts={STARTS}
        examples={EXAMPLES}
      >
        <ImportButton />
        <ExportLink
          href={resolved(address("/api/export", { q, ...timeParams(range.value), limit: String(traces.length) }), nowUs())}
        />
      </QueryBox>
      {found.error && found.error.position === null && <Failure error={found.error} />}
      {found.data &&
        !traces.length &&
        !found.isBusy &&
        (isNarrowed ? <NoneFits what="trace" /> : <NothingYet title="No traces yet" />)}
      {found.isBusy && !traces.length && <p class="loading">Loading …</p>}
      {traces.length > 0 && (
        <div class={`results ${found.isBusy ? "stale" : ""}`}>
          <Scatter traces={traces} isCut={found.hasOlder} />
          <WhatIsDifferent query={{ q, ...timeParams(range.value) }} />
          <Picked traces={traces} />
          <TraceList key={found.path} traces={traces} />
          <Older pages={found} what="traces" />
        </div>
      )}
    </main>
  );
}

function Scatter({ traces, isCut }: { traces: readonly Summary[]; isCut: boolean }) {
  const dots = useMemo(
    () =>
      traces.map(
        (trace): Dot => ({
          x: trace.startTime,
          y: Math.max(FLOOR, trace.duration),
          label: () => `${nameOf(trace)}\n${duration(trace.duration)} at ${time(trace.startTime)}\n${outcomeOf(trace)}`,
          href: traceLink(trace.traceID),
          color: trace.errors ? "var(--bad)" : trace.refusals ? "var(--warn)" : "var(--accent)",
          isFailed: trace.errors > 0,
        }),
      ),
    [traces],
  );
  const times = traces.map((trace) => trace.startTime);
  const [first, last] = [Math.min(...times), Math.max(...times)];
  const margin = Math.max(500_000, (last - first) * 0.02);
  // Of a list that goes on, the chart covers what is shown; else all of the time that was chosen.
  const chosen = isCut ? null : boundsOf(range.value, nowUs());
  const shown: [number, number] = chosen ?? [first - margin, last + margin];
  return (
    <section class="card scatter" aria-label="Duration over time">
      <p class="chart-caption">
        <span class="eyebrow">Duration over time</span>
        <span class="muted">
          {isCut && `the newest ${number(traces.length)}, ${betweenLabel(first, last)} · `}
          drag along it for a shorter time, or a box to compare its traces; click a dot to open it
        </span>
        <span class="chart-key key">
          <i class="key-ok" /> ok <i class="key-refused" /> refused <i class="key-bad" /> failed
        </span>
      </p>
      <Chart
        label={`${traces.length} traces: duration over time. The list below has the same traces.`}
        height={132}
        range={shown}
        dots={dots}
        format={duration}
        isLogarithmic
        onBrush={choose}
      />
    </section>
  );
}

/** Show a shorter time, or say what is different about the traces in a box. */
function choose(area: Area): void {
  if (area.isFullHeight) setParams(betweenParams(area.from, area.to), false);
  else setParams({ box: boxParam(area, FLOOR), diff: null }, false);
}

/** What the list calls a trace; while its root is awaited, it has no name. */
const nameOf = (trace: Summary): string => (trace.root === "awaited" ? "Still arriving" : `${trace.service} ${trace.operation}`);

function outcomeOf({ errors, refusals, problem }: Summary): string {
  const counts = [errors && `${number(errors)} failed`, refusals && `${number(refusals)} refused`].filter(Boolean).join(", ");
  return [counts, problem].filter(Boolean).join(": ");
}

function TraceList({ traces }: { traces: readonly Summary[] }) {
  const { shown, waiting, showAll, handlers } = useHeld(traces, keyOf);
  const longest = Math.max(...shown.map((trace) => trace.duration), 1);
  // What fills a screen is painted first.
  const [isWhole, setWhole] = useState(false);
  useEffect(() => setWhole(true), []);
  return (
    <section aria-label="Traces found" {...handlers}>
      <Waiting count={waiting} onShow={showAll} />
      <div class="trace-row head" aria-hidden="true">
        <span>Started</span>
        <span>Request</span>
        <span>Services</span>
        <span class="number">Spans</span>
        <span class="number">Outcome</span>
        <span>Duration</span>
      </div>
      <ol class="trace-list card">
        {shown.slice(0, isWhole ? undefined : SCREENFUL).map((trace) => (
          <li key={trace.traceID}>
            <TraceRow trace={trace} longest={longest} />
            <PickToCompare trace={trace} />
          </li>
        ))}
      </ol>
    </section>
  );
}

const TraceRow = ({ trace, longest }: { trace: Summary; longest: number }) => (
  <a class="trace-row" href={traceLink(trace.traceID)}>
    <span class="when">
      <Time at={trace.startTime} />
      <span class="muted">
        {" "}
        <Ago at={trace.startTime} />
      </span>
    </span>
    <span class="request">
      {trace.root === "awaited" ? (
        <span class="muted">Still arriving …</span>
      ) : (
        <>
          <b>{trace.operation}</b> <span class="muted">{trace.service}</span>
        </>
      )}
      {trace.root === "missing" && (
        <span class="muted" title="The span that began this trace is not stored. It may be in another system.">
          {" "}
          · part of a trace
        </span>
      )}
      {trace.problem && (
        <span class={trace.errors ? "bad-text" : "warn-text"} title={trace.problem}>
          {" "}
          {trace.problem}
        </span>
      )}
    </span>
    <span class="services">
      {trace.services.map((name) => (
        <Service key={name} name={name} isShort />
      ))}
    </span>
    <span class="number spans">
      <span class="wide-only">{number(trace.spans)}</span>
      <span class="narrow-only">{plural(trace.spans, "span")}</span>
    </span>
    <span class="number outcome" title={outcomeOf(trace)}>
      {trace.errors > 0 && <span class="badge bad">{number(trace.errors)} failed</span>}
      {trace.errors === 0 && trace.refusals > 0 && <span class="badge warn">{number(trace.refusals)} refused</span>}
      {trace.errors + trace.refusals === 0 && <span class="muted dash">–</span>}
    </span>
    <span class="duration">
      <span class="bar-track" aria-hidden="true">
        <span
          class={`bar ${trace.errors ? "failed" : trace.refusals ? "refused" : ""}`}
          style={{ width: `${Math.max(0.5, (trace.duration / longest) * 100)}%` }}
        />
      </span>
      <span class="number">{duration(trace.duration)}</span>
    </span>
  </a>
);
