import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { isUtc } from "../../shared/format.ts";
import { ALL, betweenLabel, boundsOf, lengthOf, neighbor, rangeLabel, rangeOf, resolved, timeParams } from "./time-range.ts";

const of = (search: string) => rangeOf(new URLSearchParams(search), "15m");
const MINUTE = 60e6;

beforeEach(() => {
  isUtc.value = true;
});
afterEach(() => {
  isUtc.value = false;
});

describe("the range of an address", () => {
  test.each([
    ["", { kind: "last", last: "15m" }],
    ["last=1h", { kind: "last", last: "1h" }],
    ["last=all", { kind: "last", last: ALL }],
    ["last=nonsense", { kind: "last", last: "15m" }],
    ["since=60", { kind: "last", last: "60s" }],
    ["start=5&end=9&last=1h", { kind: "between", start: 5, end: 9 }],
    ["start=9&end=5", { kind: "last", last: "15m" }],
    ["start=5", { kind: "last", last: "15m" }],
    ["start=5&end=99999999999999999999", { kind: "last", last: "15m" }],
  ])("%j", (search, range) => expect(of(search)).toEqual(range));
});

test("a length has a number and a unit", () => {
  expect(["90s", "5m", "1h", "1d", "all", "0m", "5", "-5m"].map(lengthOf)).toEqual([
    90e6,
    5 * MINUTE,
    60 * MINUTE,
    1440 * MINUTE,
    null,
    null,
    null,
    null,
  ]);
});

test("the range before is as long and ends where this one starts; there is none after now", () => {
  const now = 100 * MINUTE;
  const last = of("last=15m");
  expect(boundsOf(last, now)).toEqual([85 * MINUTE, now]);
  const before = neighbor(last, -1, now)!;
  expect(before).toEqual([70 * MINUTE, 85 * MINUTE]);
  expect(neighbor({ kind: "between", start: before[0], end: before[1] }, 1, now)).toEqual([85 * MINUTE, now]);
  expect(neighbor(last, 1, now)).toBeNull();
  expect(neighbor(of("last=all"), -1, now)).toBeNull();
});

test("a request counts back from the moment when it is sent", () => {
  expect(resolved("/api/logs?q=a&last=5m&limit=3", 10 * MINUTE + 1)).toBe(`/api/logs?q=a&start=${5 * MINUTE}&limit=3`);
  expect(resolved("/api/logs?q=last=5m", 10 * MINUTE)).toBe("/api/logs?q=last=5m");
  expect(timeParams(of("last=all"))).toEqual({ last: null });
  expect(timeParams(of("start=5&end=9"))).toEqual({ start: "5", end: "9" });
});

test("a range says its length or its times, and the day once", () => {
  const start = Date.parse("2025-11-12T10:04:00Z") * 1e3;
  expect(rangeLabel(of("last=1h"))).toBe("Last hour");
  expect(rangeLabel(of("since=900"))).toBe("Last 15 minutes");
  expect(rangeLabel(of("last=90s")).replaceAll("\u202f", " ")).toBe("Last 1 min 30 s");
  expect(betweenLabel(start, start + 2 * MINUTE)).toBe("12 Nov 2025 10:04:00 – 10:06:00");
  expect(betweenLabel(start, start + 1440 * MINUTE)).toBe("12 Nov 2025 10:04:00 – 13 Nov 2025 10:04:00");
  expect(betweenLabel(start, start + 5e6)).toBe("12 Nov 2025 10:04:00 – 10:04:05");
  expect(betweenLabel(start, start + 0.5e6)).toBe("12 Nov 2025 10:04:00.000 – 10:04:00.500");
});
