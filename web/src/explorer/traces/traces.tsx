import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { duration, number, plural, time } from "../../shared/format.ts";
import { live, POLL_MS, type Summary, useQuery } from "../common/api.ts";
import { Chart, type Dot } from "../common/chart.tsx";
import { useHeld } from "../common/held.ts";
import { importFile } from "./otlp-file.ts";
import {
  Ago,
  Choice,
  Empty,
  Failure,
  Field,
  Found,
  Icon,
  ICONS,
  LiveSwitch,
  NothingYet,
  Service,
  Waiting,
} from "../common/parts.tsx";
import { address, navigate, setParams, traceLink, url } from "../common/router.ts";
import { boxParam } from "../difference/box.ts";
import { WhatIsDifferent } from "../difference/difference.tsx";
import { PickToCompare, Picked } from "../compare/pick.tsx";
import { summariesQuery } from "./summaries-query.ts";
import "./traces.css";

const FILTERS = ["q", "service", "operation", "min", "max", "outcome", "tag", "start", "end"];
const PAGE = 100;
const SCREENFUL = 24;
const MOST = 1500;
/** A trace that took no time at all (µs) is here in the scatter, not decades below the others. */
const FLOOR = 100;
const OUTCOMES = ["failed", "refused"];
const keyOf = (trace: Summary): string => trace.traceID;

/** Traces, newest first and live, with filters that stand in the address. */
export function Traces() {
  const params = url.value.searchParams;
  const of = (name: string): string => params.get(name) ?? "";
  const tags = params.getAll("tag");
  const limit = Math.min(MOST, Number(of("limit")) || PAGE);
  const found = useQuery<Summary[]>(address("/api/summaries", summariesQuery(params, limit)), live.value ? POLL_MS : 0);
  const traces = useMemo(() => (found.data ?? []).toSorted((a, b) => b.startTime - a.startTime), [found.data]);
  const isFiltered = FILTERS.some((name) => params.has(name));
  return (
    <main class="page" aria-busy={found.isBusy}>
      <h1 class="visually-hidden">Traces</h1>
      <Found
        {...found}
        text={traces.length === limit ? `The newest ${plural(limit, "trace")}` : plural(traces.length, "trace")}
      />
      <Filters />
      {(tags.length > 0 || of("start")) && (
        <ul class="chips" aria-label="Filters">
          {tags.map((tag) => (
            <Chip key={tag} text={tag} onRemove={() => setParams({ tag: tags.filter((other) => other !== tag) })} />
          ))}
          {of("start") && (
            <Chip
              text={`${time(Number(of("start")), 0)} to ${time(Number(of("end")), 0)}`}
              onRemove={() => setParams({ start: null, end: null })}
            />
          )}
        </ul>
      )}
      {found.error && <Failure error={found.error} />}
      {found.data && !traces.length && !found.isBusy && (isFiltered ? <NoneFits /> : <NothingYet title="No traces yet" />)}
      {found.isBusy && !traces.length && <p class="loading">Loading …</p>}
      {traces.length > 0 && (
        <div class={`results ${found.isBusy ? "stale" : ""}`}>
          <Scatter traces={traces} />
          <WhatIsDifferent query={summariesQuery(params, limit)} />
          <Picked traces={traces} />
          <TraceList key={found.path} traces={traces} />
          {traces.length === limit && limit < MOST && (
            <button type="button" class="button more" onClick={() => setParams({ limit: String(limit * 3) })}>
              Show older traces
            </button>
          )}
        </div>
      )}
    </main>
  );
}

function Filters() {
  const params = url.value.searchParams;
  const of = (name: string): string => params.get(name) ?? "";
  const service = of("service");
  const services = useQuery<string[]>("/api/services", live.value ? 5 * POLL_MS : 0).data ?? [];
  const operations = useQuery<string[]>(service ? `/api/services/${encodeURIComponent(service)}/operations` : null);
  const tags = params.getAll("tag");
  return (
    <search class="filters">
      <Field
        label="Search"
        class="wide"
        isSearch
        value={of("q")}
        placeholder="name, attribute, log line or trace id"
        onChange={(q) => setParams({ q })}
      />
      <Choice
        label="Service"
        all="All services"
        value={service}
        options={services}
        onChange={(name) => setParams({ service: name, operation: null })}
      />
      <Choice
        label="Operation"
        all="All operations"
        value={of("operation")}
        options={service ? (operations.data ?? []) : []}
        isDisabled={!service}
        onChange={(operation) => setParams({ operation })}
      />
      <Choice
        label="Outcome"
        class="short"
        all="Any outcome"
        value={of("outcome")}
        options={OUTCOMES}
        onChange={(outcome) => setParams({ outcome })}
      />
      <Field label="At least" class="narrow" value={of("min")} placeholder="100ms" onChange={(min) => setParams({ min })} />
      <Field label="At most" class="narrow" value={of("max")} placeholder="2s" onChange={(max) => setParams({ max })} />
      <form
        class="field"
        onSubmit={(event) => {
          event.preventDefault();
          const input = event.currentTarget.querySelector("input")!;
          if (input.value.includes("=")) setParams({ tag: [...new Set([...tags, input.value.trim()])] });
          input.value = "";
        }}
      >
        <label class="field short">
          <span class="eyebrow">Attribute</span>
          <input class="input" placeholder="order.id=…  ⏎" pattern=".+=.*" title="key=value, then Enter" spellcheck={false} />
        </label>
      </form>
      <div class="filter-end">
        <LiveSwitch />
        <Import />
      </div>
    </search>
  );
}

function Import() {
  const input = useRef<HTMLInputElement>(null);
  const [problem, setProblem] = useState("");
  const take = async (file: File | undefined): Promise<void> => {
    if (!file) return;
    try {
      navigate(traceLink(await importFile(file)));
    } catch (error) {
      setProblem((error as Error).message);
    }
  };
  return (
    <>
      <button
        type="button"
        class="button small"
        onClick={() => input.current?.click()}
        title="Open a trace from a file of OTLP JSON"
      >
        <Icon path={ICONS.up} />
        Import
      </button>
      <input
        ref={input}
        class="visually-hidden"
        type="file"
        accept="application/json,.json"
        aria-label="A file of OTLP JSON"
        tabIndex={-1}
        onChange={(event) => void take(event.currentTarget.files?.[0])}
      />
      {problem && (
        <p class="failure" role="alert">
          {problem}
        </p>
      )}
    </>
  );
}

const Chip = ({ text, onRemove }: { text: string; onRemove: () => void }) => (
  <li class="chip">
    <span>{text}</span>
    <button type="button" aria-label={`Remove the filter ${text}`} onClick={onRemove}>
      <Icon path={ICONS.close} />
    </button>
  </li>
);

const NoneFits = () => (
  <Empty title="No trace fits">
    <p>
      Loosen a filter, or <a href="/">clear them all</a>.
    </p>
  </Empty>
);

function Scatter({ traces }: { traces: readonly Summary[] }) {
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
  return (
    <section class="card scatter" aria-label="Duration over time">
      <p class="chart-caption">
        <span class="eyebrow">Duration over time</span>
        <span class="muted">drag to choose, click a dot to open it</span>
        <span class="chart-key key">
          <i class="key-ok" /> ok <i class="key-refused" /> refused <i class="key-bad" /> failed
        </span>
      </p>
      <Chart
        label={`${traces.length} traces: duration over time. The list below has the same traces.`}
        height={132}
        range={[first - margin, last + margin]}
        dots={dots}
        format={duration}
        isLogarithmic
        onBrush={(area) => setParams({ box: boxParam(area, FLOOR), diff: null }, false)}
      />
    </section>
  );
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
      <time class="mono">{time(trace.startTime)}</time>
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
