import { useMemo } from "preact/hooks";
import { number, plural } from "../../shared/format.ts";
import { type Log, POLL_MS, useQuery } from "../common/api.ts";
import { Chart } from "../common/chart.tsx";
import { useChartTime } from "../common/chart-time.ts";
import { useHeld } from "../common/held.ts";
import { live, nowUs, range } from "../common/now.ts";
import { usePages } from "../common/pages.ts";
import { Panel } from "../common/panel.tsx";
import { Failure, Found, NoneFits, NothingYet, Older, Waiting } from "../common/parts.tsx";
import { QueryBox, queryOf } from "../common/query-box.tsx";
import { address, url } from "../common/router.ts";
import { boundsOf, timeParams } from "../common/time-range.ts";
import { FacetList } from "./facets.tsx";
import { barsOf, colorOfLevel, levelsOf } from "./histogram.ts";
import type { LogHistogram } from "../common/search-api.ts";
import { LogLine } from "./log-line.tsx";
import "./logs.css";

const PAGE = "200";
const REFRESH_MS = 5000;
const STEPS = 60;
const TOGGLES = [
  ["Warnings and worse", "level>=WARN"],
  ["Without a trace", "-exists:trace"],
] as const;
const EXAMPLES = [
  ["level>=WARN", "warnings, errors and worse"],
  ["service=inventory-service -exists:trace", "lines of a service outside of any request"],
  ['"time out"', "this text anywhere in a line or its attributes"],
  ["http.response.status_code>=500", "an attribute of a line or of its resource"],
  ["exists:exception.type or level=ERROR", "one of the two"],
  ["logger:gunicorn* not (ready or started)", "a name that begins so, without these words"],
] as const;
const keyOf = (log: Log): string => String(log.id);

/** Log lines as they arrive, newest first: how many there were when, of what, and each with all that it says. */
export function Logs() {
  const q = queryOf(url.value);
  const path = address("/api/logs", { q, ...timeParams(range.value), limit: PAGE });
  const found = usePages<Log>(path, live.value ? POLL_MS : 0, keyOf);
  const logs = useMemo(() => found.items.toSorted((a, b) => b.timestamp - a.timestamp), [found.items]);
  const isNarrowed = q !== "" || boundsOf(range.value, 0) !== null;
  return (
    <main class="page" aria-busy={found.isBusy}>
      <h1 class="visually-hidden">Logs</h1>
      <Found {...found} text={found.hasOlder ? `The newest ${plural(logs.length, "line")}` : plural(logs.length, "line")} />
      <QueryBox
        signal="logs"
        placeholder='level>=WARN service=order-service "any text"'
        error={found.error}
        toggles={TOGGLES}
        examples={EXAMPLES}
      />
      {found.error && found.error.position === null && <Failure error={found.error} />}
      {found.data &&
        !logs.length &&
        !found.isBusy &&
        (isNarrowed ? <NoneFits what="line" /> : <NothingYet title="No log lines yet" />)}
      {found.isBusy && !logs.length && <p class="loading">Loading …</p>}
      {logs.length > 0 && (
        <div class="logs-body">
          <FacetList query={q} />
          <div class={`results ${found.isBusy ? "stale" : ""}`}>
            <Histogram query={q} />
            <LogList key={found.path} logs={logs} query={q} />
            <Older pages={found} what="lines" />
          </div>
        </div>
      )}
    </main>
  );
}

function Histogram({ query }: { query: string }) {
  const time = useChartTime(STEPS, 1);
  const path = time && address("/api/logs/histogram", { q: query, ...time.params, step: String(time.step) });
  const asked = useQuery<LogHistogram>(path, live.value ? REFRESH_MS : 0);
  const { points = [], step = 1, every = 1 } = asked.data ?? {};
  const width = step * 1e6;
  const bars = useMemo(() => barsOf(points, width), [asked.data]);
  const legend = levelsOf(points).map((level) => ({ label: level || "no level", color: colorOfLevel(level), points: [] }));
  const total = bars.reduce((sum, bar) => sum + bar.count, 0);
  const first = points[0]?.time ?? 0;
  const last = (points.at(-1)?.time ?? 0) + width;
  return (
    <Panel
      title="Lines over time"
      note={`${every > 1 ? "about " : ""}${plural(total, "line")} · drag to zoom in`}
      legend={legend}
      isBusy={asked.isBusy}
    >
      <Chart
        label="Lines over time, by level"
        height={110}
        range={boundsOf(range.value, nowUs()) ?? [first, last]}
        cells={bars}
        format={number}
        query={query}
      />
    </Panel>
  );
}

function LogList({ logs, query }: { logs: readonly Log[]; query: string }) {
  const { shown, waiting, showAll, handlers } = useHeld(logs, keyOf);
  return (
    <div {...handlers}>
      <Waiting count={waiting} onShow={showAll} />
      <ol class="card log-list" aria-label={`${plural(shown.length, "log line")}, newest first`}>
        {shown.map((log) => (
          <LogLine key={log.id} log={log} query={query} />
        ))}
      </ol>
    </div>
  );
}
