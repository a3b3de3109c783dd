import { useMemo, useState } from "preact/hooks";
import { duration, number, plural } from "../../shared/format.ts";
import { useQuery } from "../common/api.ts";
import { Failure, Service } from "../common/parts.tsx";
import { address, setParams, url, withParams } from "../common/router.ts";
import { selecting } from "./choice.ts";
import { type Column, type Operation, operationsOf, orderOf, sorted } from "./operations.ts";
import type { Trace } from "./trace.ts";
import type { OperationsJson } from "./tree-api.ts";
import "./operation-table.css";

const HEADS: Record<Column, string> = {
  title: "Operation or statement",
  count: "Count",
  total: "Total",
  self: "Self",
  longest: "Longest",
  p95: "P95 in all traces",
};
/** Rows that are shown at first: a trace may have a statement of its own per span. */
const MOST = 200;

/** What ran in a trace, how often and how long, beside how long that takes elsewhere. A row selects its spans. */
export function OperationTable({ trace }: { trace: Trace }) {
  const params = url.value.searchParams;
  const [isWhole, setWhole] = useState(false);
  const everywhere = useQuery<OperationsJson>(
    address(`/api/traces/${trace.traceID}/operations`, { start: params.get("start"), end: params.get("end") }),
  );
  const rows = useMemo(() => operationsOf(trace, everywhere.data?.operations ?? []), [trace, everywhere.data]);
  const order = orderOf(params.get("sort"));
  const ordered = useMemo(() => sorted(rows, order), [rows, order.column, order.isRising]);
  const shown = isWhole ? ordered : ordered.slice(0, MOST);
  return (
    <section class="card operations-card" aria-label="Operations and statements">
      <p class="operations-note muted">
        {plural(rows.length, "operation")}. Self is the time that no child covers.{" "}
        {everywhere.data && (
          <>
            P95 is over {everywhere.data.isSampled && "the newest "}
            {plural(everywhere.data.traces, "trace")} with one of them.
          </>
        )}
      </p>
      {everywhere.error && <Failure error={everywhere.error} />}
      <div class="table-scroll" tabIndex={0} role="region" aria-label="Table of operations">
        <table class="table operations">
          <thead>
            <tr>
              {(Object.keys(HEADS) as Column[]).map((column) => (
                <Head key={column} column={column} sort={order.column === column ? order.isRising : null} />
              ))}
            </tr>
          </thead>
          <tbody>
            {shown.map((row) => (
              <OperationRow key={row.key} row={row} />
            ))}
          </tbody>
        </table>
        {shown.length < ordered.length && (
          <button type="button" class="button more" onClick={() => setWhole(true)}>
            Show all {number(ordered.length)}
          </button>
        )}
      </div>
    </section>
  );
}

/** `sort`: whether the rows rise by this column; null if they are sorted by another. */
const Head = ({ column, sort }: { column: Column; sort: boolean | null }) => (
  <th
    scope="col"
    class={column === "title" ? "" : `number ${column}`}
    aria-sort={sort === null ? undefined : sort ? "ascending" : "descending"}
  >
    <button type="button" onClick={() => setParams({ sort: sort === false ? `-${column}` : column })}>
      {HEADS[column]}
      <span aria-hidden="true">{sort === null ? "" : sort ? " ↑" : " ↓"}</span>
    </button>
  </th>
);

function OperationRow({ row }: { row: Operation }) {
  const isSlow = row.p95 !== undefined && row.longest > row.p95;
  return (
    <tr>
      <th scope="row">
        <a href={withParams(url.value, selecting(row.key))} title={row.title}>
          {row.title}
        </a>
        <span class="operation-facts">
          <Service name={row.service} />
          {row.failed > 0 && <span class="badge bad">{number(row.failed)} failed</span>}
          {row.refused > 0 && <span class="badge warn">{number(row.refused)} refused</span>}
        </span>
      </th>
      <td class="number">{number(row.count)}</td>
      <td class="number">{duration(row.total)}</td>
      <td class="number">{duration(row.self)}</td>
      <td class={`number longest ${isSlow ? "warn-text" : ""}`} title={isSlow ? "longer than P95 in all traces" : undefined}>
        {isSlow && (
          <>
            <span aria-hidden="true">▲ </span>
            <span class="visually-hidden">longer than P95: </span>
          </>
        )}
        {duration(row.longest)}
      </td>
      <td class="number">{row.p95 === undefined ? "–" : duration(row.p95)}</td>
    </tr>
  );
}
