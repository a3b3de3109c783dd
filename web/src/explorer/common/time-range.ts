// The time that a view is of, as its address has it: `last=15m` counts back from now, `start` and `end` are µs since 1970.
import { duration, time } from "../../shared/format.ts";
import type { Params } from "./router.ts";

export type TimeRange = { kind: "last"; last: string } | { kind: "between"; start: number; end: number };

export const ALL = "all";
export const LENGTHS = [
  ["5m", "Last 5 minutes"],
  ["15m", "Last 15 minutes"],
  ["1h", "Last hour"],
  ["6h", "Last 6 hours"],
  ["24h", "Last 24 hours"],
  [ALL, "All time"],
] as const;

const SECONDS: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86_400 };
const SECOND = 1e6;
const LAST = /([?&])last=(\w+)/;
/** As far as the read API takes times. */
const MOST = 2 ** 62;

/** The range of an address; `usual` is what one without a time means. */
export function rangeOf(params: URLSearchParams, usual: string): TimeRange {
  const [start, end] = [moment(params.get("start")), moment(params.get("end"))];
  if (start !== null && end !== null && start < end) return { kind: "between", start, end };
  const since = Number(params.get("since")); // as addresses had it before
  const last = params.get("last") ?? (since > 0 ? `${Math.ceil(since)}s` : usual);
  return { kind: "last", last: last === ALL || lengthOf(last) ? last : usual };
}

const moment = (text: string | null): number | null =>
  text && /^\d{1,19}$/.test(text) && Number(text) <= MOST ? Number(text) : null;

/** µs of `15m`; null of all times, and of what is no length. */
export function lengthOf(last: string): number | null {
  const [, count, unit] = /^(\d{1,6})([smhd])$/.exec(last) ?? [];
  return count && Number(count) ? Number(count) * SECONDS[unit!]! * 1e6 : null;
}

/** µs that a range is long; null of all times. */
export const widthOf = (range: TimeRange): number | null =>
  range.kind === "between" ? range.end - range.start : lengthOf(range.last);

/** Start and end of a range at a moment; null of all times. All in µs. */
export function boundsOf(range: TimeRange, now: number): [number, number] | null {
  if (range.kind === "between") return [range.start, range.end];
  const length = lengthOf(range.last);
  return length === null ? null : [now - length, now];
}

/** The range of the same length before (-1) or after (1); null where there is none. */
export function neighbor(range: TimeRange, direction: -1 | 1, now: number): [number, number] | null {
  const bounds = boundsOf(range, now);
  if (!bounds) return null;
  const [start, end] = bounds;
  const offset = direction * (end - start);
  return start + offset < 0 || start + offset >= now ? null : [start + offset, end + offset];
}

/** What a request of the read API has of a range; `resolved` makes times of it when the request is sent. */
export const timeParams = (range: TimeRange): Params =>
  range.kind === "between"
    ? { start: String(Math.round(range.start)), end: String(Math.round(range.end)) }
    : { last: range.last === ALL ? null : range.last };

/** The time between two moments (µs) as an address has it. */
export const betweenParams = (start: number, end: number): Params => ({
  start: String(Math.floor(start)),
  end: String(Math.ceil(end)),
  last: null,
  since: null,
});

/** A request in which `last=15m` is the time that it is at `now` (µs), in whole seconds: its address stays the same meanwhile. */
export const resolved = (path: string, now: number): string =>
  path.replace(LAST, (_, before: string, last: string) => {
    const start = now - (lengthOf(last) ?? now);
    return `${before}start=${Math.floor(start / SECOND) * SECOND}`;
  });

/** `Last 15 minutes`, or from when until when. */
export function rangeLabel(range: TimeRange): string {
  if (range.kind === "between") return betweenLabel(range.start, range.end);
  const length = lengthOf(range.last);
  const usual = LENGTHS.find(([text]) => lengthOf(text) === length);
  return usual?.[1] ?? `Last ${duration(length!)}`;
}

/** `10:04:00 – 10:06:00`; the day is said once where both are on it, and fractions of seconds where they tell. */
export function betweenLabel(start: number, end: number): string {
  const digits = end - start < 10 * SECOND && (start % SECOND || end % SECOND) ? 3 : 0;
  const [from, to] = [time(start, digits), time(end, digits)];
  const [day] = from.split(/\d\d:/);
  return `${from} – ${day && to.startsWith(day) ? to.slice(day.length) : to}`;
}
