import { useMemo } from "preact/hooks";
import { ago, duration, time } from "../../shared/format.ts";
import { serviceColor } from "../common/service-color.ts";
import { type Summary, useQuery } from "../common/api.ts";
import { compare, growth, type Line, ownGrowth } from "./compare.ts";
import { Empty, Failure } from "../common/parts.tsx";
import { address, setParams, traceLink } from "../common/router.ts";
import { linked, type Trace, type TreeJson } from "../trace/trace.ts";
import "./comparison.css";

const CANDIDATES = "60";

/** This trace beside another of the same operation: which spans grew. */
export function Comparison({ trace, with: chosen }: { trace: Trace; with: string | null }) {
  const { service, name } = trace.root;
  const found = useQuery<Summary[]>(address("/api/summaries", { service, operation: name, limit: CANDIDATES }));
  const others = (found.data ?? []).filter((other) => other.traceID !== trace.traceID);
  const typical = others.filter((other) => !other.errors).sort((a, b) => a.duration - b.duration);
  const otherId = chosen ?? (typical[Math.floor(typical.length / 2)] ?? others[0])?.traceID ?? null;
  const asked = useQuery<TreeJson[]>(otherId && address("/api/trees", { traceID: otherId }));
  const other = useMemo(() => (asked.data?.[0] ? linked(asked.data[0]) : null), [asked.data]);
  const lines = useMemo(() => (other ? compare(trace, other) : []), [trace, other]);
  if (found.data && !others.length && !chosen) {
    return (
      <Empty title="Nothing to compare with">
        <p>
          This is the only trace of {service} {name}.
        </p>
      </Empty>
    );
  }
  const most = lines.reduce<Line | null>((best, line) => (best && ownGrowth(best) >= ownGrowth(line) ? best : line), null);
  const scale = Math.max(1, ...lines.flatMap((line) => [line.here.duration, line.there.duration]));
  return (
    <section class="card comparison">
      <div class="waterfall-bar">
        <label class="field">
          <span class="eyebrow">Compare with</span>
          <select class="input" value={otherId ?? ""} onChange={(event) => setParams({ with: event.currentTarget.value })}>
            {chosen && !others.some((one) => one.traceID === chosen) && <option value={chosen}>{chosen}</option>}
            {others.map((one) => (
              <option key={one.traceID} value={one.traceID}>
                {duration(one.duration)} · {time(one.startTime, 0)}, {ago(one.startTime)}
                {one.errors ? ` · ${one.errors} failed` : ""}
                {one.traceID === typical[Math.floor(typical.length / 2)]?.traceID ? " · typical" : ""}
              </option>
            ))}
          </select>
        </label>
        {other && (
          <p class="verdict">
            {most && ownGrowth(most) > 0 ? (
              <>
                Grew most: <b>{`${most.service} ${most.name}`}</b>, <b class="grew">+{duration(ownGrowth(most))}</b> of its own
                time.{" "}
              </>
            ) : (
              "No span took longer here. "
            )}
            <a href={traceLink(other.traceID)}>Open the other</a>
          </p>
        )}
      </div>
      {asked.error && <Failure error={asked.error} />}
      {other && (
        <div class="table-scroll" tabIndex={0} role="region" aria-label="Spans compared">
          <table class="table compare-table">
            <thead>
              <tr>
                <th scope="col">Span</th>
                <th scope="col" class="number">
                  Here
                </th>
                <th scope="col" class="number">
                  There
                </th>
                <th scope="col" class="number">
                  Grew by
                </th>
                <th scope="col" class="compare-bars">
                  <span class="visually-hidden">As bars</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {lines.map((line, i) => (
                <CompareRow key={i} line={line} scale={scale} isMost={line === most && ownGrowth(line) > 0} />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

function CompareRow({ line, scale, isMost }: { line: Line; scale: number; isMost: boolean }) {
  const grown = growth(line);
  const isMuch = Math.abs(grown) > scale * 0.01;
  const width = (us: number): { width: string } => ({ width: `${(us / scale) * 100}%` });
  return (
    <tr class={isMost ? "most" : ""} style={{ "--service": serviceColor(line.service), "--depth": Math.min(line.depth, 12) }}>
      <th scope="row">
        <span class="indent" />
        <span class="dot" />
        {line.name}
        <span class="visually-hidden"> of {line.service}</span>
        {Math.max(line.here.spans, line.there.spans) > 1 && (
          <span class="muted">
            {" "}
            ×{line.here.spans}
            {line.here.spans !== line.there.spans && ` / ×${line.there.spans}`}
          </span>
        )}
      </th>
      <td class="number">{line.here.spans ? duration(line.here.duration) : <span class="muted">absent</span>}</td>
      <td class="number">{line.there.spans ? duration(line.there.duration) : <span class="muted">absent</span>}</td>
      <td class={`number ${isMuch ? (grown > 0 ? "grew" : "shrank") : "muted"}`}>
        {grown >= 0 ? "+" : "−"}
        {duration(Math.abs(grown))}
      </td>
      <td class="compare-bars" aria-hidden="true">
        <span class="compare-bar here" style={width(line.here.duration)} />
        <span class="compare-bar there" style={width(line.there.duration)} />
      </td>
    </tr>
  );
}
