import { useMemo } from "preact/hooks";
import { duration, number, percent, plural } from "../../shared/format.ts";
import { serviceColor } from "../common/service-color.ts";
import { type Requests, type ServiceDetail, type ServiceMap, useQuery } from "../common/api.ts";
import { Chart, type Line } from "../common/chart.tsx";
import { useChartTime } from "../common/chart-time.ts";
import { live } from "../common/now.ts";
import { Panel } from "../common/panel.tsx";
import { Ago, Failure, NotNow, Service } from "../common/parts.tsx";
import { fieldTerm } from "../common/query-terms.ts";
import { address, serviceLink, traceLink } from "../common/router.ts";
import { goDuration, rate, shortService } from "../common/words.ts";
import { useVersionMarks, useVersions, VersionNotes } from "../compare/versions.tsx";
import { kindOf, MapCard } from "./map-card.tsx";
import "./services.css";

const REFRESH_MS = 5000;
const STEPS = 90;
const LEAST_STEP = 5;
/** The top of the scale of errors at least: without any, a scale to 100 % says nothing. */
const LEAST_SHARE = 0.05;

/** Who calls whom, how often, with what success and how fast. */
export function Services() {
  const time = useChartTime(STEPS, LEAST_STEP);
  const asked = useQuery<ServiceMap>(time && address("/api/map", time.params), live.value ? REFRESH_MS : 0);
  const map = asked.data;
  return (
    <main class="page" aria-busy={asked.isBusy}>
      <div class="page-head">
        <h1>Services</h1>
      </div>
      {asked.error && <Failure error={asked.error} />}
      {!map && !asked.error && <p class="loading">Loading …</p>}
      {map && !map.services.length && <NotNow what="requests" />}
      {map && map.services.length > 0 && (
        <div class={`results ${asked.isBusy ? "stale" : ""}`}>
          <MapCard map={map} />
          <section class="card table-scroll" tabIndex={0} aria-label="Services in figures">
            <RequestsTable
              first="Service"
              hasLogs
              rows={map.services.map((one) => ({
                ...one,
                key: one.service,
                query: fieldTerm("service", one.service),
                name: (
                  <a href={serviceLink(one.service)}>
                    <Service name={one.service} />
                  </a>
                ),
              }))}
            />
          </section>
          {map.dependencies.length > 0 && (
            <section class="card table-scroll" tabIndex={0} aria-label="Dependencies in figures">
              <RequestsTable
                first="Dependency"
                rows={map.dependencies.map((one) => ({
                  ...one,
                  key: one.id,
                  name: (
                    <>
                      <a href={address("/", { q: one.query })}>{one.name}</a> <span class="muted">{kindOf(one)}</span>
                    </>
                  ),
                }))}
              />
            </section>
          )}
        </div>
      )}
    </main>
  );
}

interface Named extends Requests {
  key: string;
  name: preact.ComponentChildren;
  /** What finds the traces of these requests. */
  query: string;
}
interface TableProps {
  first: string;
  rows: readonly Named[];
  hasLogs?: boolean;
}

/** Requests in figures, each of which leads to the traces that it is of. */
const RequestsTable = ({ first, rows, hasLogs = false }: TableProps) => (
  <table class="table figures-table">
    <thead>
      <tr>
        <th scope="col">{first}</th>
        {["Requests", "Rate", "Errors", "Refused", "P50", "P95", "P99"].map((name) => (
          <th key={name} scope="col" class="number">
            {name}
          </th>
        ))}
        {hasLogs && <th scope="col">Logs</th>}
      </tr>
    </thead>
    <tbody>
      {rows.map((row) => (
        <tr key={row.key}>
          <th scope="row">{row.name}</th>
          <td class="number">
            <Traces of={row.query}>{number(row.count)}</Traces>
          </td>
          <td class="number">{rate(row.rate ?? NaN)}</td>
          <td class="number">
            <Share of={row.errors} row={row} term="status:error" class="bad-text" />
          </td>
          <td class="number">
            <Share of={row.refused} row={row} term="status:refused" class="warn-text" />
          </td>
          {[row.p50, row.p95, row.p99].map((us, i) => (
            <td key={i} class="number">
              {us === null ? "–" : <Traces of={`${row.query} duration>=${goDuration(us)}`}>{duration(us)}</Traces>}
            </td>
          ))}
          {hasLogs && (
            <td>
              <a href={address("/logs", { q: row.query })}>Logs</a>
            </td>
          )}
        </tr>
      ))}
    </tbody>
  </table>
);

/** How many of the requests, and which share of them. */
const Share = ({ of, row, term, class: name }: { of: number; row: Named; term: string; class: string }) =>
  of ? (
    <Traces of={`${row.query} ${term}`} class={name}>
      {number(Math.round(of * row.count))} · {percent(of)}
    </Traces>
  ) : (
    <>0</>
  );

const Traces = ({ of, class: name, children }: { of: string; class?: string; children: preact.ComponentChildren }) =>
  of ? (
    <a class={`figure ${name ?? ""}`} href={address("/", { q: of })} title={`Traces with ${of}`}>
      {children}
    </a>
  ) : (
    <span>{children}</span>
  );

/** One service: rate, errors, duration over time; its operations; its slowest traces. */
export function ServicePage({ name }: { name: string }) {
  const time = useChartTime(STEPS, LEAST_STEP);
  const step = time?.step ?? LEAST_STEP;
  const asked = useQuery<ServiceDetail>(
    time && address(`/api/services/${encodeURIComponent(name)}/requests`, { ...time.params, step: String(step) }),
    live.value ? REFRESH_MS : 0,
  );
  const query = fieldTerm("service", name);
  const detail = asked.data;
  const points = detail?.points ?? [];
  const range: [number, number] = points.length ? [points[0]!.time - step * 1e6, points.at(-1)!.time] : [0, 1];
  useVersions();
  const marks = useVersionMarks(range, name);
  const line = (label: string, color: string, value: (one: Requests) => number | null): Line => ({
    label,
    color,
    points: points.map((one) => [one.time, value(one)]),
  });
  const lines = useMemo(
    () => ({
      rate: [line("rate", serviceColor(name), (one) => one.rate)],
      errors: [
        line("failed", "var(--bad)", (one) => (one.count ? one.errors : null)),
        line("refused", "var(--warn)", (one) => (one.count ? one.refused : null)),
      ],
      duration: [
        line("P50", "var(--service-3)", (one) => one.p50),
        line("P95", "var(--service-2)", (one) => one.p95),
        line("P99", "var(--service-4)", (one) => one.p99),
      ],
    }),
    [detail, name],
  );
  return (
    <main class="page" aria-busy={asked.isBusy}>
      <div class="page-head">
        <h1>
          <Service name={name} />
        </h1>
        <a href={address("/", { q: query })}>Its traces</a>
        <a href={address("/logs", { q: query })}>Its logs</a>
      </div>
      {asked.error && <Failure error={asked.error} />}
      {!detail && !asked.error && <p class="loading">Loading …</p>}
      {detail && !detail.operations.length && <NotNow what={`requests to ${name}`} />}
      {detail && detail.operations.length > 0 && (
        <div class={`results ${asked.isBusy ? "stale" : ""}`}>
          <div class="chart-grid">
            <Panel title="Rate" note="requests">
              <Chart
                label={`Rate of requests to ${name}`}
                height={150}
                range={range}
                query={query}
                marks={marks}
                lines={lines.rate}
                format={(n) => rate(n)}
              />
            </Panel>
            <Panel title="Errors" note="share of requests" legend={lines.errors}>
              <Chart
                label={`Shares of failed and of refused requests of ${name}`}
                height={150}
                range={range}
                query={query}
                marks={marks}
                lines={lines.errors}
                least={LEAST_SHARE}
                format={percent}
              />
            </Panel>
            <Panel title="Duration" legend={lines.duration}>
              <Chart
                label={`Duration of requests to ${name}`}
                height={150}
                range={range}
                query={query}
                marks={marks}
                lines={lines.duration}
                format={duration}
              />
            </Panel>
          </div>
          <VersionNotes marks={marks} />
          <section class="card table-scroll" tabIndex={0} aria-label="Operations">
            <RequestsTable
              first="Operation"
              rows={detail.operations
                .toSorted((a, b) => b.count - a.count)
                .map((one) => ({
                  ...one,
                  key: one.operation,
                  query: `${query} ${fieldTerm("operation", one.operation)}`,
                  name: <a href={address("/", { q: `${query} ${fieldTerm("operation", one.operation)}` })}>{one.operation}</a>,
                }))}
            />
          </section>
          <section class="card">
            <h2 class="card-title">Slowest traces</h2>
            <ol class="slowest">
              {detail.slowest.map((one) => (
                <li key={one.traceID}>
                  <a href={traceLink(one.traceID)}>
                    <span class="bar-track" aria-hidden="true">
                      <span
                        class={`bar ${one.outcome}`}
                        style={{ width: `${(one.duration / detail.slowest[0]!.duration) * 100}%` }}
                      />
                    </span>
                    <b class="number">{duration(one.duration)}</b>
                    <span>
                      in {one.operation}{" "}
                      {one.outcome !== "ok" && (
                        <span class={`badge ${one.outcome === "failed" ? "bad" : "warn"}`}>{one.outcome}</span>
                      )}
                    </span>
                    <span class="muted">
                      <Ago at={one.startTime} />
                    </span>
                  </a>
                </li>
              ))}
            </ol>
            <p class="muted card-note">
              {plural(detail.slowest.length, "trace")} in which {shortService(name)} took longest
            </p>
          </section>
        </div>
      )}
    </main>
  );
}
