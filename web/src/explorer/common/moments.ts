// A moment as a person types it. All times in µs since 1970.
import { isUtc, wall } from "../../shared/format.ts";
import { lengthOf } from "./time-range.ts";

const MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAY_MS = 86_400_000;
const RELATIVE = /^-? ?(\d{1,6}) ?(s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)(?: ago)?$/;

interface Day {
  year: number;
  /** 1 to 12. */
  month: number;
  day: number;
}

/**
 * The moment that is meant by `10:05`, `2026-11-30 10:05:30`, `yesterday 14:00`, `30 Nov`, `15m ago`, ISO 8601 or a number of
 * seconds, ms, µs or ns; null if none is. A time without a day is the last one before `now`, or the first after `start`.
 */
export function readMoment(text: string, now: number, start?: number): number | null {
  const words = text
    .trim()
    .toLowerCase()
    .replace(/[\u2010-\u2015\u2212]/g, "-")
    .replace(/\s+/g, " ");
  if (words === "now") return now;
  const [, count, unit] = RELATIVE.exec(words) ?? [];
  if (count) return now - (lengthOf(count + unit![0]!) ?? 0);
  if (/^\d{10,19}$/.test(words)) return ofEpoch(words);
  if (/t[\d:.]+(z|[+-]\d\d:?\d\d)$/.test(words)) return ofIso(words.toUpperCase());
  return ofWords(words.replace(/(\d)t(?=\d)/, "$1 ").replaceAll(",", " "), now, start);
}

/** A moment as `readMoment` reads it: `2026-11-30 10:05:00`. */
export function writeMoment(us: number): string {
  const text = wall(us / 1e3).toISOString();
  return `${text.slice(0, 10)} ${text.slice(11, us % 1e6 ? 23 : 19)}`;
}

/** Seconds have 10 digits now, and until 2286. */
const ofEpoch = (digits: string): number =>
  digits.length <= 11
    ? Number(digits) * 1e6
    : digits.length <= 14
      ? Number(digits) * 1e3
      : digits.length <= 17
        ? Number(digits)
        : Math.round(Number(digits) / 1e3);

function ofIso(text: string): number | null {
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? null : ms * 1e3;
}

function ofWords(words: string, now: number, start: number | undefined): number | null {
  const clock = /(?:^| )(?:at )?(\d{1,2})(?::(\d\d))?(?::(\d\d)(?:\.(\d{1,6}))?)? ?(am|pm)?$/.exec(words);
  const hasClock = clock !== null && (clock[2] !== undefined || clock[5] !== undefined);
  const rest = (hasClock ? words.slice(0, clock.index) : words).trim();
  const seconds = hasClock ? secondsOf(clock) : 0;
  if (seconds === null) return null;
  if (rest) {
    const day = dayOf(rest, now);
    return day && ofDay(day, seconds);
  }
  if (!hasClock) return null;
  const near = dateOf(start ?? now);
  const first = ofDay(near, seconds);
  if (first === null) return null;
  if (start === undefined) return first > now ? ofDay(dateOf(now, -1), seconds) : first;
  return first < start ? ofDay(dateOf(start, 1), seconds) : first;
}

function secondsOf([, hours, minutes = "0", seconds = "0", fraction = "0", half]: RegExpExecArray): number | null {
  const given = Number(hours);
  const isOk = Number(minutes) < 60 && Number(seconds) < 60 && (half ? given >= 1 && given <= 12 : given < 24);
  if (!isOk) return null;
  const hour = half ? (given % 12) + (half === "pm" ? 12 : 0) : given;
  return hour * 3600 + Number(minutes) * 60 + Number(`${seconds}.${fraction}`);
}

function dayOf(text: string, now: number): Day | null {
  if (text === "today") return dateOf(now);
  if (text === "yesterday") return dateOf(now, -1);
  const [, year, month, day] = /^(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})$/.exec(text) ?? [];
  if (year) return { year: Number(year), month: Number(month), day: Number(day) };
  const [, a, b, ofYear] = /^([a-z]+|\d{1,2})\.?[ /.-]([a-z]+|\d{1,2})\.?(?:[ /.-](\d{4}))?$/.exec(text) ?? [];
  if (!a || !b) return null;
  const named = [a, b].findIndex((part) => MONTHS.includes(part.slice(0, 3)));
  // Two numbers are month and day as in the US, unless points say that they are day and month.
  const isDayFirst = named === 1 || (named < 0 && text.includes("."));
  const [monthText, dayText] = isDayFirst ? [b, a] : [a, b];
  const found = { month: named < 0 ? Number(monthText) : MONTHS.indexOf(monthText.slice(0, 3)) + 1, day: Number(dayText) };
  const today = dateOf(now);
  const isAhead = found.month > today.month || (found.month === today.month && found.day > today.day);
  return { ...found, year: ofYear ? Number(ofYear) : today.year - (isAhead ? 1 : 0) };
}

function dateOf(us: number, days = 0): Day {
  const date = new Date(wall(us / 1e3).getTime() + days * DAY_MS);
  return { year: date.getUTCFullYear(), month: date.getUTCMonth() + 1, day: date.getUTCDate() };
}

function ofDay({ year, month, day }: Day, seconds: number): number | null {
  const check = new Date(Date.UTC(year, month - 1, day));
  if (check.getUTCMonth() !== month - 1 || check.getUTCDate() !== day) return null;
  const parts = [year, month - 1, day, Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60)] as const;
  const minute = isUtc.value ? Date.UTC(...parts) : new Date(...parts).getTime();
  return Math.round(minute * 1e3 + (seconds % 60) * 1e6);
}
