import { useState } from "preact/hooks";
import { ago, duration, time } from "../../shared/format.ts";
import { serviceColor } from "../common/service-color.ts";
import { type Summary, useQuery } from "../common/api.ts";
import type { LineJson, TracesComparedJson } from "./comparison-api.ts";
import { Empty, Failure } from "../common/parts.tsx";
import { address, setParams, traceLink } from "../common/router.ts";
import type { Trace } from "../trace/trace.ts";
import "./comparison.css";

const CANDIDATES = "60";

/** This trace beside another: by itself one of the same operation, or any that is chosen or pasted. */
export function Comparison({ trace, with: chosen }: { trace: Trace; with: string | null }) {
  const { service, name } = trace.root;
  const found = useQuery<Summary[]>(address("/api/summaries", { service, operation: name, limit: CANDIDATES }));
  const others = (found.data ?? []).filter((other) => other.traceID !== trace.traceID);
  const typical = others.filter((other) => !other.errors).sort((a, b) => a.duration - b.duration);
  const usual = (typical[Math.floor(typical.length / 2)] ?? others[0])?.traceID;
  const otherId = chosen ?? usual ?? null;
  const asked = useQuery<TracesComparedJson>(otherId && address("/api/comparison", { traceID: [trace.traceID, otherId] }));
  return (
    <section class="card comparison">
      <div class="waterfall-bar">
        {others.length > 0 && (
          <label class="field">
            <span class="eyebrow">Compare with</span>
            <select class="input" value={otherId ?? ""} onChange={(event) => setParams({ with: event.currentTarget.value })}>
              {chosen && !others.some((one) => one.traceID === chosen) && <option value={chosen}>{chosen}</option>}
              {others.map((one) => (
                <option key={one.traceID} value={one.traceID}>
                  {duration(one.duration)} · {time(one.startTime, 0)}, {ago(one.startTime)}
                  {one.errors ? ` · ${one.errors} failed` : ""}
                  {one.traceID === usual ? " · typical" : ""}
                </option>
              ))}
            </select>
          </label>
        )}
        <PastedId />
        {asked.data && !asked.error && <Verdict compared={asked.data} />}
      </div>
      {found.data && !otherId && (
        <Empty title="Nothing to compare with">
          <p>
            This is the only trace of {service} {name}. Paste the id of another one.
          </p>
        </Empty>
      )}
      {asked.error && <Failure error={asked.error} />}
      {asked.data && !asked.error && <Lines compared={asked.data} isBusy={asked.isBusy} />}
    </section>
  );
}

/** Any other trace: an id, or the address of one. */
function PastedId() {
  const [problem, setProblem] = useState("");
  const take = (text: string): void => {
    const [id] = text.toLowerCase().match(/\b[0-9a-f]{32}\b/) ?? [];
    setProblem(id || !text.trim() ? "" : "A trace id has 32 digits, 0 to 9 and a to f.");
    if (id) setParams({ with: id });
  };
  return (
    <label class="field">
      <span class="eyebrow">or paste an id</span>
      <input
        class="input mono"
        placeholder="4bf92f35…"
        spellcheck={false}
        autocomplete="off"
        aria-invalid={problem !== ""}
        aria-describedby="pasted-id-problem"
        onChange={(event) => take(event.currentTarget.value)}
      />
      <span id="pasted-id-problem" class="bad-text" role="alert">
        {problem}
      </span>
    </label>
  );
}

const growth = (line: LineJson): number => line.here.duration - line.there.duration;
const ownGrowth = (line: LineJson): number => line.here.own - line.there.own;

function Verdict({ compared: { lines, most, there } }: { compared: TracesComparedJson }) {
  const line = most === null ? undefined : lines[most];
  const differs = line ? ownGrowth(line) : 0;
  return (
    <p class="verdict">
      {line ? (
        <>
          Differs most: <b>{`${line.service} ${line.name}`}</b>,{" "}
          <b class={differs > 0 ? "grew" : "shrank"}>
            {duration(Math.abs(differs))} {differs > 0 ? "more" : "less"}
          </b>{" "}
          of its own time here.{" "}
        </>
      ) : (
        "Each span took as long here as there. "
      )}
      <a href={traceLink(there)}>Open the other</a>
    </p>
  );
}

function Lines({ compared: { lines, most }, isBusy }: { compared: TracesComparedJson; isBusy: boolean }) {
  let scale = 1;
  for (const { here, there } of lines) scale = Math.max(scale, here.duration, there.duration);
  return (
    <div
      class={`table-scroll ${isBusy ? "stale" : ""}`}
      tabIndex={0}
      role="region"
      aria-label="Spans compared"
      aria-busy={isBusy}
    >
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
            <CompareRow key={i} line={line} scale={scale} isMost={i === most} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function CompareRow({ line, scale, isMost }: { line: LineJson; scale: number; isMost: boolean }) {
  const grown = growth(line);
  const isMuch = Math.abs(grown) > scale * 0.01;
  const width = (us: number): { width: string } => ({ width: `${(us / scale) * 100}%` });
  return (
    <tr class={isMost ? "most" : ""} style={{ "--service": serviceColor(line.service), "--depth": Math.min(line.depth, 12) }}>
      <th scope="row" title={line.name}>
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
