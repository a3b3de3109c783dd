import { duration, number, percent, plural } from "../../shared/format.ts";
import { useQuery } from "../common/api.ts";
import { Empty, Failure, Field, Found, Service } from "../common/parts.tsx";
import { range } from "../common/now.ts";
import { Differences } from "../difference/difference.tsx";
import { address, setParams, url } from "../common/router.ts";
import { timeParams } from "../common/time-range.ts";
import { rate, rough } from "../common/words.ts";
import type { GroupsComparedJson, OperationJson } from "./comparison-api.ts";
import { versionChanges } from "./version-changes.ts";
import { useVersions } from "./versions.tsx";
import "./comparison.css";
import "./groups.css";

const SHOWN = 60;
const FIGURES = [
  ["Per trace", (one) => rough(one.perTrace)],
  ["Failed", (one) => percent(one.errors)],
  ["P50", (one) => us(one.p50)],
  ["P95", (one) => us(one.p95)],
] as const satisfies readonly (readonly [string, (one: Figures) => string])[];
type Figures = NonNullable<OperationJson["a"]>;

const us = (value: number | null): string => (value === null ? "–" : duration(value));

/** Two groups of traces side by side, such as those of two versions: `a` and `b` are queries. */
export function Groups() {
  const params = url.value.searchParams;
  const [a, b] = [params.get("a") ?? "", params.get("b") ?? ""];
  const asked = useQuery<GroupsComparedJson>(a && b ? address("/api/comparison", { ...timeParams(range.value), a, b }) : null);
  const changes = versionChanges(useVersions());
  const { data } = asked;
  return (
    <main class="page" aria-busy={asked.isBusy}>
      <div class="page-head">
        <h1>Compare groups of traces</h1>
      </div>
      <search class="filters group-filters">
        <Field label="A" class="wide" value={a} placeholder="service.version=0.1" onChange={(text) => setParams({ a: text })} />
        <Field label="B" class="wide" value={b} placeholder="service.version=0.2" onChange={(text) => setParams({ b: text })} />
      </search>
      {changes.length > 0 && (
        <p class="versions-offered">
          <span class="eyebrow">Versions</span>
          {changes.map((change) => (
            <a key={change.label} class="button small" href={address("/compare", { a: change.a, b: change.b })}>
              {change.label}
            </a>
          ))}
        </p>
      )}
      {asked.error && <Failure error={asked.error} />}
      {!(a && b) && (
        <Empty title="Say which traces to compare">
          <p>A and B are searches, such as two versions of a service, two regions, or two customers.</p>
        </Empty>
      )}
      {!data && asked.isBusy && <p class="loading">Comparing …</p>}
      {data && !asked.error && (
        <div class={`results ${asked.isBusy ? "stale" : ""}`}>
          <Found {...asked} text={`${plural(data.a.traces, "trace")} compared with ${number(data.b.traces)}`} />
          <WholeTable compared={data} names={{ a, b }} />
          <MoreOften side="B" query={b} other="A" against={a} />
          <MoreOften side="A" query={a} other="B" against={b} />
          <OperationsTable operations={data.operations} />
        </div>
      )}
    </main>
  );
}

interface MoreOftenProps {
  side: "A" | "B";
  query: string;
  other: "A" | "B";
  against: string;
}

/** Which attributes, statements and operations one group has more often than the other. */
const MoreOften = ({ side, query, other, against }: MoreOftenProps) => (
  <section class="card difference" aria-label={`What ${side} has more often`}>
    <h2 class="eyebrow difference-head">
      What {side} has more often than {other}
    </h2>
    <Differences
      path={address("/api/difference", { ...timeParams(range.value), q: query, against, noun: `${side} traces` })}
      linkTo={(term) => address("/", { q: `(${query}) ${term}` })}
    />
  </section>
);

const WholeTable = ({ compared, names }: { compared: GroupsComparedJson; names: { a: string; b: string } }) => (
  <section class="card table-scroll" tabIndex={0} aria-label="Both groups">
    <table class="table">
      <thead>
        <tr>
          <th scope="col">Group</th>
          {["Traces", "Rate", "Failed", "Refused", "P50", "P95"].map((name) => (
            <th key={name} scope="col" class="number">
              {name}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {(["a", "b"] as const).map((side) => {
          const { traces, read, whole } = compared[side];
          return (
            <tr key={side}>
              <th scope="row">
                <b>{side.toUpperCase()}</b> <a href={address("/", { q: names[side] })}>{names[side]}</a>
                {read < traces && <span class="muted"> {number(read)} read</span>}
              </th>
              <td class="number">{number(traces)}</td>
              <td class="number">{rate(whole.rate ?? NaN)}</td>
              <td class={`number ${whole.errors ? "bad-text" : ""}`}>{percent(whole.errors)}</td>
              <td class={`number ${whole.refused ? "warn-text" : ""}`}>{percent(whole.refused)}</td>
              <td class="number">{us(whole.p50)}</td>
              <td class="number">{us(whole.p95)}</td>
            </tr>
          );
        })}
      </tbody>
    </table>
  </section>
);

const OperationsTable = ({ operations }: { operations: readonly OperationJson[] }) => (
  <section class="card table-scroll" tabIndex={0} aria-label="Operations of both groups">
    <table class="table groups-table">
      <thead>
        <tr>
          <th scope="col" rowSpan={2}>
            Operation
          </th>
          {FIGURES.map(([name]) => (
            <th key={name} scope="colgroup" colSpan={2}>
              {name}
            </th>
          ))}
        </tr>
        <tr>
          {FIGURES.flatMap(([name]) =>
            ["A", "B"].map((side) => (
              <th key={name + side} scope="col" class="number">
                {side}
              </th>
            )),
          )}
        </tr>
      </thead>
      <tbody>
        {operations.slice(0, SHOWN).map((one) => (
          <tr key={`${one.service} ${one.operation}`}>
            <th scope="row" title={one.operation}>
              {one.operation} <Service name={one.service} isShort />
            </th>
            {FIGURES.flatMap(([name, text]) => [
              <td key={`${name} a`} class="number">
                {one.a ? text(one.a) : "–"}
              </td>,
              <td key={`${name} b`} class={`number ${isWorse(name, one) ? "grew" : ""}`}>
                {one.b ? text(one.b) : "–"}
              </td>,
            ])}
          </tr>
        ))}
      </tbody>
    </table>
    {operations.length > SHOWN && (
      <p class="muted card-note">
        The {SHOWN} operations that differ most, of {number(operations.length)}.
      </p>
    )}
  </section>
);

/** Whether a figure is clearly worse in B: half as much again, or failures where there were none. */
function isWorse(name: string, { a, b }: OperationJson): boolean {
  if (!a || !b) return false;
  if (name === "Failed") return b.errors > a.errors * 1.5 && b.errors - a.errors > 0.01;
  if (name === "P50") return (b.p50 ?? 0) > (a.p50 ?? 0) * 1.5;
  if (name === "P95") return (b.p95 ?? 0) > (a.p95 ?? 0) * 1.5;
  return b.perTrace > a.perTrace * 1.5;
}
