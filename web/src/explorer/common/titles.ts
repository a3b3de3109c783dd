// Words for what telemetry says: a span in a few words, a value with its unit.
import { bytes, duration, number } from "../../shared/format.ts";
import type { Span } from "../trace/trace-tree.ts";

/** A duration (µs) as the read API takes it. */
export const goDuration = (us: number): string =>
  us < 1000 ? `${Math.round(Math.max(0, us))}us` : `${Math.round(us / 100) / 10}ms`;

/** `order-service` is `order` where space is short. */
export const shortService = (name: string): string => name.replace(/-service$/, "") || name;

export const rate = (perSecond: number): string =>
  perSecond > 0 && perSecond < 1 ? `${number(perSecond * 60)}/min` : `${number(perSecond)}/s`;

/** A measured value with its UCUM unit. */
export function measured(value: number, unit: string): string {
  const inMicroseconds = { s: 1e6, ms: 1e3, us: 1 }[unit];
  if (value < 0) return `-${measured(-value, unit)}`;
  if (inMicroseconds) return duration(value * inMicroseconds);
  if (unit === "By") return bytes(value);
  if (unit === "1" || !unit || unit.startsWith("{")) return short(value);
  return `${short(value)} ${unit}`;
}

function short(value: number): string {
  if (value >= 1e9) return `${number(value / 1e9)} G`;
  if (value >= 1e6) return `${number(value / 1e6)} M`;
  return value >= 1e4 ? `${number(value / 1e3)} k` : number(value);
}

/** A statement without column lists, quotes and qualifiers: `SELECT … FROM orders WHERE id = ?`. */
export function shortSql(statement: string): string {
  const sql = statement
    .slice(0, 4000)
    .replace(/\s+/g, " ")
    .trim()
    .replaceAll('"', "")
    .replace(/^(SELECT) .*? (FROM)\b/i, "$1 … $2")
    .replace(/^(INSERT INTO \w+) .*/i, "$1")
    .replace(/^(UPDATE \w+ SET) .*? (WHERE)\b/i, "$1 … $2");
  const table = /^(?:SELECT … FROM|UPDATE|DELETE FROM) (\w+)/i.exec(sql)?.[1];
  return table ? sql.replaceAll(new RegExp(`\\b${table}\\.`, "g"), "") : sql;
}

export const isSql = (statement: string): boolean =>
  /^\s*(SELECT|INSERT|UPDATE|DELETE|WITH|BEGIN|COMMIT|ROLLBACK|SAVEPOINT|CREATE|ALTER|PRAGMA)\b/i.test(statement);

/** What a span did, in a few words: its name, or its statement if it is a database's. */
export function title(span: Span): string {
  const statement = String(span.tags.get("db.query.text") ?? span.tags.get("db.statement") ?? "");
  if (!statement) return span.name;
  if (isSql(statement)) return shortSql(statement);
  return `${span.tags.get("db.system.name") ?? span.tags.get("db.system") ?? ""} ${statement}`.trim();
}

/** Where a call went, for spans whose name does not say it. */
export function peer(span: Span): string {
  const isBareCall = span.tags.get("span.kind") === "client" && !span.name.includes(" ");
  return isBareCall ? String(span.tags.get("url.full") ?? "").replace(/^\w+:\/\/|[?#].*$/g, "") : "";
}
