import { useState } from "preact/hooks";
import { plural, time } from "../../shared/format.ts";
import { LEVELS, live, type Log, POLL_MS, useQuery } from "../common/api.ts";
import { byKey, useHeld } from "../common/held.ts";
import { Choice, Empty, Failure, Field, Found, LiveSwitch, NothingYet, Service, Waiting } from "../common/parts.tsx";
import { address, setParams, traceLink, url } from "../common/router.ts";
import { Pairs } from "../trace/span-details.tsx";
import { levelClass } from "../trace/waterfall.tsx";
import "../common/log-line.css";
import "./logs.css";

const PAGE = 200;
const MOST = 2000;

/** Log lines as they arrive, newest first; a line opens its trace at its span. */
export function Logs() {
  const params = url.value.searchParams;
  const of = (name: string): string => params.get(name) ?? "";
  const limit = Math.min(MOST, Number(of("limit")) || PAGE);
  const services = useQuery<string[]>("/api/services", live.value ? 5 * POLL_MS : 0).data ?? [];
  const path = address("/api/logs", {
    service: of("service"),
    level: of("level"),
    text: of("q"),
    trace_id: /^[0-9a-f]{1,32}$/i.test(of("trace").trim()) ? of("trace").trim() : "",
    limit: String(limit),
  });
  const found = useQuery<Log[]>(path, live.value ? POLL_MS : 0);
  const logs = found.data ?? [];
  const isFiltered = ["service", "level", "q", "trace"].some((name) => params.has(name));
  return (
    <main class="page" aria-busy={found.isBusy}>
      <h1 class="visually-hidden">Logs</h1>
      <Found {...found} text={logs.length === limit ? `The newest ${plural(limit, "line")}` : plural(logs.length, "line")} />
      <search class="filters">
        <Field
          label="Search"
          class="wide"
          isSearch
          value={of("q")}
          placeholder="words of a line"
          onChange={(q) => setParams({ q })}
        />
        <Choice
          label="Service"
          all="All services"
          value={of("service")}
          options={services}
          onChange={(service) => setParams({ service })}
        />
        <Choice
          label="Level, and above"
          all="All levels"
          value={of("level")}
          options={LEVELS}
          onChange={(level) => setParams({ level })}
        />
        <Field
          label="Trace"
          class="medium"
          value={of("trace")}
          placeholder="trace id"
          onChange={(trace) => setParams({ trace })}
        />
        <div class="filter-end">
          <LiveSwitch />
        </div>
      </search>
      {found.error && <Failure error={found.error} />}
      {found.data && !logs.length && !found.isBusy && (isFiltered ? <NoneFits /> : <NothingYet title="No log lines yet" />)}
      {found.isBusy && !logs.length && <p class="loading">Loading …</p>}
      {logs.length > 0 && <LogList key={found.path} logs={logs} isStale={found.isBusy} isOldestFirst={!!of("trace")} />}
      {logs.length === limit && limit < MOST && (
        <button type="button" class="button more" onClick={() => setParams({ limit: String(limit * 3) })}>
          Show older lines
        </button>
      )}
    </main>
  );
}

interface LogListProps {
  logs: readonly Log[];
  isStale: boolean;
  isOldestFirst: boolean;
}

function LogList({ logs, isStale, isOldestFirst }: LogListProps) {
  const { shown, waiting, showAll, handlers } = useHeld(logs, keyOf);
  const keys = [...byKey(shown, keyOf).keys()];
  return (
    <div class={isStale ? "stale" : ""} {...handlers}>
      <Waiting count={waiting} onShow={showAll} />
      <ol class="card log-list" aria-label={`${plural(shown.length, "log line")}, ${isOldestFirst ? "oldest" : "newest"} first`}>
        {shown.map((log, i) => (
          <LogLine key={keys[i]} log={log} />
        ))}
      </ol>
    </div>
  );
}

const keyOf = (log: Log): string => `${log.timestamp} ${log.span_id} ${log.body}`;

const NoneFits = () => (
  <Empty title="No line fits">
    <p>
      Loosen a filter, or <a href="/logs">clear them all</a>.
    </p>
  </Empty>
);

function LogLine({ log }: { log: Log }) {
  const [isOpen, setOpen] = useState(false);
  const pairs = Object.entries(log.attributes);
  const line = (
    <>
      <time class="mono log-time">{time(log.timestamp)}</time>
      <span class={`level ${levelClass(log.level)}`}>{log.level}</span>
      <Service name={log.service} isShort />
      <span class="log-body">
        {log.body} <Pairs pairs={pairs} />
      </span>
    </>
  );
  return (
    <li class={`log-line ${levelClass(log.level)} ${isOpen ? "open" : ""}`}>
      {log.trace_id ? (
        <a class="log-main" href={traceLink(log.trace_id, log.span_id)} title="Open its trace at its span">
          {line}
        </a>
      ) : (
        <div class="log-main">{line}</div>
      )}
      <button
        type="button"
        class="log-more"
        aria-expanded={isOpen}
        aria-label="Show the whole line"
        onClick={() => setOpen(!isOpen)}
      >
        <span class={`twisty ${isOpen ? "unfolded" : "folded"}`} />
      </button>
    </li>
  );
}
