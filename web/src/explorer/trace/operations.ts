// The operations and statements of one trace, added up.
import { operationOf } from "./layout.ts";
import type { Span, Trace } from "./trace.ts";
import type { OperationJson } from "./tree-api.ts";

/** Spans of one service with one title; times are µs. */
export interface Operation {
  key: string;
  service: string;
  title: string;
  count: number;
  total: number;
  /** What the spans' children do not cover. */
  self: number;
  longest: number;
  failed: number;
  refused: number;
  /** Of this operation in all stored traces; undefined until that is known. */
  p95: number | undefined;
}

export const COLUMNS = ["title", "count", "total", "self", "longest", "p95"] as const;
export type Column = (typeof COLUMNS)[number];
/** The column that the rows are sorted by, largest first unless `isRising`. */
export interface Order {
  column: Column;
  isRising: boolean;
}

export function operationsOf(trace: Trace, everywhere: readonly OperationJson[]): Operation[] {
  const p95 = new Map(everywhere.map((one) => [`${one.service} ${one.title}`, one.p95]));
  const found = new Map<string, Operation>();
  for (const span of trace.spans) {
    const key = operationOf(span);
    let row = found.get(key);
    if (!row) {
      row = rowOf(key, span, p95.get(key));
      found.set(key, row);
    }
    row.count += 1;
    row.total += span.duration;
    row.self += span.selfTime;
    row.longest = Math.max(row.longest, span.duration);
    row.failed += span.failed ? 1 : 0;
    row.refused += span.refused ? 1 : 0;
  }
  return [...found.values()];
}

const rowOf = (key: string, { service, title }: Span, p95: number | undefined): Operation => ({
  key,
  service,
  title,
  count: 0,
  total: 0,
  self: 0,
  longest: 0,
  failed: 0,
  refused: 0,
  p95,
});

/** `self`, or `-self` for the smallest first, as the address has it. */
export function orderOf(text: string | null): Order {
  const column = COLUMNS.find((name) => name === text?.replace(/^-/, ""));
  return column ? { column, isRising: text!.startsWith("-") } : { column: "self", isRising: false };
}

export function sorted(rows: readonly Operation[], { column, isRising }: Order): Operation[] {
  const sign = isRising ? 1 : -1;
  return rows.toSorted((a, b) => {
    if (column === "title") return -sign * a.key.localeCompare(b.key);
    return sign * ((a[column] ?? -1) - (b[column] ?? -1)) || b.total - a.total;
  });
}
