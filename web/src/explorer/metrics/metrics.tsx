import { useMemo } from "preact/hooks";
import { number, percent, plural, time } from "../../shared/format.ts";
import { type HeatStep, type Instrument, type Series, useQuery } from "../common/api.ts";
import { type Cell, Chart, type Dot, type Line } from "../common/chart.tsx";
import { type ChartTime, useChartTime } from "../common/chart-time.ts";
import { live } from "../common/now.ts";
import { Panel } from "../common/panel.tsx";
import { Choice, Empty, Failure, Field, NothingYet } from "../common/parts.tsx";
import { fieldTerm } from "../common/query-terms.ts";
import { address, setParams, traceLink, url } from "../common/router.ts";
import { measured, rate } from "../common/words.ts";
import { useVersionMarks, useVersions, VersionNotes } from "../compare/versions.tsx";
import "./metrics.css";

const REFRESH_MS = 5000;
const STEPS = 90;
const LEAST_STEP = 5;
const MOST_LINES = 8;
const LISTED = 50;
const MOST_SENDERS = 4;
const PERCENTILES = [
  ["p50", "P50", "var(--service-3)"],
  ["p95", "P95", "var(--service-2)"],
  ["p99", "P99", "var(--service-4)"],
] as const;

/** Every instrument, found by typing, and the chart of the one that is chosen. */
export function Metrics() {
  const params = url.value.searchParams;
  const text = params.get("q") ?? "";
  const asked = useQuery<Instrument[]>("/api/instruments", live.value ? 2 * REFRESH_MS : 0);
  const all = asked.data ?? [];
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = all.filter((one) => {
    const about = `${one.name} ${one.description} ${one.services.join(" ")}`.toLowerCase();
    return words.every((word) => about.includes(word));
  });
  const name = params.get("name") ?? "";
  const chosen =
    all.find((one) => one.name === name) ?? (name ? undefined : (shown.find((one) => one.type === "histogram") ?? shown[0]));
  return (
    <main class="page metrics" aria-busy={asked.isBusy}>
      <div class="page-head">
        <h1>Metrics</h1>
      </div>
      {asked.error && <Failure error={asked.error} />}
      {!asked.data && !asked.error && <p class="loading">Loading …</p>}
      {asked.data && !all.length && <NothingYet title="No metrics yet" />}
      {all.length > 0 && (
        <div class="metrics-body">
          <nav class="card instruments" aria-label="Instruments">
            <Field
              label="Find"
              isSearch
              value={text}
              placeholder="orders, http duration, cpu …"
              onChange={(q) => setParams({ q })}
            />
            <ul>
              {shown.map((one) => (
                <li key={`${one.name} ${one.type}`}>
                  <a href={address("/metrics", { q: text, name: one.name })} aria-current={one === chosen || undefined}>
                    <span class="instrument-name">{one.name}</span>
                    <span class="muted">{kindOf(one)}</span>
                  </a>
                </li>
              ))}
            </ul>
            {!shown.length && <p class="muted card-note">No instrument has these words.</p>}
          </nav>
          {chosen ? (
            <InstrumentView key={chosen.name} instrument={chosen} />
          ) : (
            <Empty title="Choose an instrument">
              <p>{name ? `${name} has not been measured here.` : "Type a part of its name."}</p>
            </Empty>
          )}
        </div>
      )}
    </main>
  );
}

const isHistogram = (one: Instrument): boolean => one.type === "histogram" || one.type === "exponential_histogram";
const isCounter = (one: Instrument): boolean => one.type === "sum" && one.monotonic !== false;
/** Whether its rate is of events, and not of bytes or seconds. */
const isCounted = (one: Instrument): boolean => isHistogram(one) || /^(1|\{.*|)$/.test(one.unit);
const kindOf = (one: Instrument): string =>
  isHistogram(one) ? "histogram" : isCounter(one) ? "counter" : one.type === "sum" ? "up-down counter" : one.type;

/** Who measures it: by name, unless they are many. */
const sendersOf = ({ services }: Instrument): string =>
  services.length > MOST_SENDERS ? plural(services.length, "service") : services.join(", ");

function InstrumentView({ instrument }: { instrument: Instrument }) {
  const params = url.value.searchParams;
  const by = params.get("by") ?? "";
  useVersions();
  const service = params.get("service") ?? "";
  const keys = [...new Set(["service.name", "service.version", "service.instance.id", ...instrument.attributes])];
  return (
    <article class="instrument">
      <header class="card instrument-head">
        <h2>{instrument.name}</h2>
        <p>{instrument.description || "No description."}</p>
        <div class="instrument-choices">
          <Choice label="By" all="all together" value={by} options={keys} onChange={(key) => setParams({ by: key })} />
          <Choice
            label="Service"
            all="all services"
            value={service}
            options={instrument.services}
            onChange={(name) => setParams({ service: name })}
          />
          <p class="muted">
            {kindOf(instrument)}
            {instrument.unit && instrument.unit !== "1" ? `, in ${instrument.unit}` : ""}
            {`, from ${sendersOf(instrument)}`}
          </p>
        </div>
      </header>
      {isHistogram(instrument) ? (
        <>
          {by ? (
            <SeriesPanel instrument={instrument} stat="p95" title={`P95 by ${by}`} by={by} />
          ) : (
            <PercentilesPanel instrument={instrument} />
          )}
          <HeatPanel instrument={instrument} />
          <SeriesPanel instrument={instrument} stat="rate" title="Rate" by={by} />
        </>
      ) : (
        <SeriesPanel
          instrument={instrument}
          stat={isCounter(instrument) ? "rate" : "value"}
          title={isCounter(instrument) ? "Rate" : "Value"}
          by={by}
        />
      )}
    </article>
  );
}

function seriesPath(time: ChartTime | null, route: string, instrument: Instrument, stat: string, by = "", exemplars?: "0") {
  if (!time) return null;
  const service = url.value.searchParams.get("service");
  return address(route, { name: instrument.name, stat, by, service, ...time.params, step: String(time.step), exemplars });
}

/** What finds the traces and logs of the service that the charts are of. */
const serviceQuery = (): string | undefined => {
  const service = url.value.searchParams.get("service");
  return service ? fieldTerm("service", service) : undefined;
};

/** Exemplars come with P95 alone: they are the same for every statistic. */
function useSeries(instrument: Instrument, stat: string, by = "") {
  const time = useChartTime(STEPS, LEAST_STEP);
  const path = seriesPath(time, "/api/series", instrument, stat, by, stat === "p95" ? undefined : "0");
  return useQuery<Series[]>(path, live.value ? REFRESH_MS : 0);
}

const rangeOf = (series: readonly Series[]): [number, number] => {
  const points = series[0]?.points ?? [];
  return points.length > 1 ? [2 * points[0]![0] - points[1]![0], points.at(-1)![0]] : [0, 1];
};

const useMarks = (series: readonly Series[]) => useVersionMarks(rangeOf(series), url.value.searchParams.get("service") ?? "");

const exemplarDots = (series: readonly Series[], unit: string, place: (value: number) => number): Dot[] =>
  series.flatMap((one) =>
    one.exemplars
      .filter((exemplar) => exemplar.trace_id && exemplar.value !== null)
      .map((exemplar) => ({
        x: exemplar.timestamp,
        y: place(exemplar.value!),
        label: () => `${measured(exemplar.value!, unit)} at ${time(exemplar.timestamp, 0)}\nclick: its trace`,
        href: traceLink(exemplar.trace_id, exemplar.span_id),
        color: "var(--ink)",
        isSmall: true,
      })),
  );

function PercentilesPanel({ instrument }: { instrument: Instrument }) {
  const asked = [useSeries(instrument, "p50"), useSeries(instrument, "p95"), useSeries(instrument, "p99")];
  const datas = asked.map((one) => one.data);
  const lines = useMemo(
    () => PERCENTILES.map(([, label, color], i): Line => ({ label, color, points: datas[i]?.[0]?.points ?? [] })),
    datas,
  );
  const dots = useMemo(() => exemplarDots(datas[1] ?? [], instrument.unit, (value) => value), [datas[1]]);
  const marks = useMarks(datas[1] ?? []);
  return (
    <Panel
      title="Percentiles"
      legend={lines}
      isBusy={asked[1]!.isBusy}
      {...(dots.length ? { note: "dots are single requests: click for the trace" } : {})}
    >
      <Chart
        label={`Percentiles of ${instrument.name}; ${dots.length} exemplars`}
        height={210}
        range={rangeOf(datas[1] ?? [])}
        query={serviceQuery()}
        lines={lines}
        marks={marks}
        dots={dots}
        format={(value) => measured(value, instrument.unit)}
      />
      <VersionNotes marks={marks} />
      <Exemplars dots={dots} />
    </Panel>
  );
}

/** The same as the dots, for the keyboard and for screen readers. */
const Exemplars = ({ dots }: { dots: readonly Dot[] }) =>
  dots.length > 0 && (
    <details class="exemplars">
      <summary class="muted">Exemplars as a list, the largest first</summary>
      <ul>
        {dots.slice(0, LISTED).map((dot) => (
          <li key={`${dot.x} ${dot.href}`}>
            <a href={dot.href}>{dot.label().split("\n")[0]}</a>
          </li>
        ))}
      </ul>
    </details>
  );

interface SeriesPanelProps {
  instrument: Instrument;
  stat: string;
  title: string;
  by: string;
}

function SeriesPanel({ instrument, stat, title, by }: SeriesPanelProps) {
  const asked = useSeries(instrument, stat, by);
  const all = asked.data ?? [];
  const unit = instrument.unit;
  const lines = useMemo(() => linesOf(all, by), [asked.data]);
  const dots = useMemo(() => (stat === "p95" ? exemplarDots(all, unit, (value) => value) : []), [asked.data]);
  const marks = useMarks(all);
  const format = (value: number): string =>
    stat !== "rate" ? measured(value, unit) : isCounted(instrument) ? rate(value) : `${measured(value, unit)}/s`;
  return (
    <Panel title={title} legend={by ? lines : []} isBusy={asked.isBusy}>
      {asked.error && <Failure error={asked.error} />}
      <Chart
        label={`${title} of ${instrument.name}`}
        height={by ? 210 : 150}
        range={rangeOf(all)}
        query={serviceQuery()}
        lines={lines}
        marks={marks}
        dots={dots}
        format={format}
      />
      {(stat !== "rate" || !isHistogram(instrument)) && <VersionNotes marks={marks} />}
      {all.length > MOST_LINES && (
        <p class="muted card-note">
          The {MOST_LINES} largest of {all.length}.
        </p>
      )}
    </Panel>
  );
}

function linesOf(series: readonly Series[], by: string): Line[] {
  const sum = (one: Series): number => one.points.reduce((total, [, value]) => total + (value ?? 0), 0);
  const largest = series.toSorted((a, b) => sum(b) - sum(a)).slice(0, MOST_LINES);
  return largest.map((one, i) => ({
    label: by ? String(one.attributes[by] ?? "") || "(none)" : "all",
    color: by ? `var(--service-${(i % 8) + 1})` : "var(--accent)",
    points: one.points,
  }));
}

function HeatPanel({ instrument }: { instrument: Instrument }) {
  const time = useChartTime(STEPS, LEAST_STEP);
  const heat = useQuery<HeatStep[]>(seriesPath(time, "/api/heatmap", instrument, "count"), live.value ? REFRESH_MS : 0);
  const exemplars = useSeries(instrument, "p95");
  const steps = heat.data ?? [];
  const unit = instrument.unit;
  const { cells, ticks, place } = useMemo(() => heatOf(steps, unit), [heat.data]);
  const dots = useMemo(() => exemplarDots(exemplars.data ?? [], unit, place), [exemplars.data, place]);
  const range: [number, number] = steps.length > 1 ? [2 * steps[0]!.time - steps[1]!.time, steps.at(-1)!.time] : [0, 1];
  if (heat.data && !cells.length) return null;
  return (
    <Panel title="Heat map" note="how many fell into each bucket" isBusy={heat.isBusy}>
      <Chart
        label={`Heat map of ${instrument.name}`}
        height={Math.max(120, Math.min(260, 40 + ticks.length * 18))}
        range={range}
        query={serviceQuery()}
        cells={cells}
        dots={dots}
        ticks={ticks}
        format={number}
      />
    </Panel>
  );
}

/** Buckets stand one above the other, each as high as the next, from the lowest that was ever hit to the highest. */
function heatOf(steps: readonly HeatStep[], unit: string) {
  const bounds = [
    ...new Set(steps.flatMap((step) => step.buckets.flatMap(([low, high]) => [low ?? -Infinity, high ?? Infinity]))),
  ];
  bounds.sort((a, b) => a - b);
  const level = new Map(bounds.map((bound, i) => [bound, i]));
  const most = Math.max(1, ...steps.flatMap((step) => step.buckets.map(([, , n]) => n)));
  const width = steps.length > 1 ? steps[1]!.time - steps[0]!.time : 1;
  const text = (bound: number): string => (Number.isFinite(bound) ? measured(bound, unit) : "∞");
  const cells = steps.flatMap((step) =>
    step.buckets.map(([lowest, highest, n]): Cell => {
      const [from, to] = [lowest ?? -Infinity, highest ?? Infinity];
      const [below, above] = [from === -Infinity ? "–∞" : text(from), text(to)];
      const share = percent(n / step.buckets.reduce((sum, b) => sum + b[2], 0));
      return {
        ...{ from: step.time - width, to: step.time, low: level.get(from)!, high: level.get(to)!, share: n / most },
        label: `${plural(n, "measurement")} between ${below} and ${above}\n${share} of this step, ${time(step.time, 0)}`,
        ...{ name: `${below} – ${above}`, count: n },
      };
    }),
  );
  const every = Math.ceil(bounds.length / 12);
  const ticks = bounds.map((bound, at) => ({ at, label: at % every || bound === -Infinity ? "" : text(bound) }));
  const place = (value: number): number => {
    const above = bounds.findIndex((bound) => bound >= value);
    if (above < 0) return bounds.length - 1;
    const [low, high] = [bounds[above - 1] ?? 0, bounds[above]!];
    const share = Number.isFinite(low) && Number.isFinite(high) && high > low ? (value - low) / (high - low) : 0.5;
    return Math.max(0, above - 1 + share);
  };
  return { cells, ticks, place };
}
