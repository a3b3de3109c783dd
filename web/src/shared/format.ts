// Quantities as a person reads them.
import { signal } from "@preact/signals";

const NARROW_SPACE = "\u202f";
// By hand: to load what Intl needs costs a page its first tenth of a second.
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** Whether times of day are in UTC, else in the reader's zone. */
export const isUtc = signal(false);

/** Microseconds -> `840 µs`, `12.3 ms`, `2.10 s`, `3 min 20 s`, `1 d 4 h`; three figures at most. The terminal's rule too. */
export function duration(us: number): string {
  if (us < 999.5) return `${Math.round(us)}${NARROW_SPACE}µs`;
  if (us < 999_500) return `${figures(us / 1e3)}${NARROW_SPACE}ms`;
  if (us < 59.95e6) return `${figures(us / 1e6)}${NARROW_SPACE}s`;
  const seconds = Math.round(us / 1e6);
  if (seconds < 3600) return parts(seconds, 60, "min", "s");
  const minutes = Math.round(seconds / 60);
  return minutes < 1440 ? parts(minutes, 60, "h", "min") : parts(Math.round(minutes / 60), 24, "d", "h");
}

/** Bytes -> `512 B`, `1.2 kB`, `34 MB`. */
export function bytes(count: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (count >= 999.5 && unit < units.length - 1) {
    count /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? count : figures(count)}${NARROW_SPACE}${units[unit]}`;
}

/** 12345 -> `12,345`; 0.0712 -> `0.0712`; at most three digits behind the point. */
export function number(value: number): string {
  if (!Number.isFinite(value)) return "–";
  if (value !== 0 && Math.abs(value) < 1) return value.toPrecision(3).replace(/\.?0+$/, "");
  return Math.abs(value) < 100 ? String(Number(value.toFixed(2))) : grouped(value);
}

/** A share of 1 -> `0 %`, `0.4 %`, `12 %`. */
export function percent(share: number): string {
  const value = share * 100;
  const digits = value > 0 && value < 9.95 ? 1 : 0;
  return `${value.toFixed(digits)}${NARROW_SPACE}%`;
}

/** Minor units -> `€12.50`. */
export function money(minor: number, currency: string): string {
  const format = new Intl.NumberFormat("en", { style: "currency", currency });
  return format.format(minor / 10 ** (format.resolvedOptions().maximumFractionDigits ?? 2));
}

/** Microseconds since 1970 -> `14:03:21.048` in the chosen zone; with its day when that is not today. */
export function time(us: number, digits: 0 | 3 = 3): string {
  const date = wall(us / 1e3);
  const moment = date.toISOString().slice(-13, digits ? -1 : -5);
  const today = wall(Date.now());
  return date.toISOString().slice(0, -13) === today.toISOString().slice(0, -13) ? moment : `${day(date, today)} ${moment}`;
}

/** Microseconds since 1970 -> `just now`, `40 s ago`, `5 min ago`, `3 h ago`, `12 Nov`. */
export function ago(us: number, now = Date.now()): string {
  const seconds = Math.round((now - us / 1e3) / 1e3);
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return day(wall(us / 1e3), wall(now));
}

/** The date whose UTC parts are what a clock in the chosen zone shows at `ms`. */
export function wall(ms: number): Date {
  return new Date(isUtc.value ? ms : ms - new Date(ms).getTimezoneOffset() * 60_000);
}

/** `1 span`, `2 spans`, `12,345 spans`. */
export function plural(count: number, one: string, many = `${one}s`): string {
  return `${grouped(count)} ${count === 1 ? one : many}`;
}

function figures(value: number): string {
  return value < 9.995 ? value.toFixed(2) : value < 99.95 ? value.toFixed(1) : value.toFixed(0);
}

function parts(value: number, base: number, large: string, small: string): string {
  const rest = value % base;
  const head = `${Math.floor(value / base)}${NARROW_SPACE}${large}`;
  return rest ? `${head} ${rest}${NARROW_SPACE}${small}` : head;
}

/** `12 Nov`, or `12 Nov 2025` when that is another year than today's. */
function day(date: Date, today: Date): string {
  const year = date.getUTCFullYear() === today.getUTCFullYear() ? "" : ` ${date.getUTCFullYear()}`;
  return `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]}${year}`;
}

const grouped = (value: number): string => value.toFixed(0).replace(/\B(?=(\d{3})+$)/g, ",");
