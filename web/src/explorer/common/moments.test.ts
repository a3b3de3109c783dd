import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { isUtc } from "../../shared/format.ts";
import { readMoment, writeMoment } from "./moments.ts";

const NOW = Date.parse("2026-11-30T12:00:00Z") * 1e3;
const utc = (text: string): number => Date.parse(`${text}Z`) * 1e3;

beforeEach(() => {
  isUtc.value = true;
});
afterEach(() => {
  isUtc.value = false;
});

describe("a moment is read as it is typed", () => {
  test.each([
    ["10:05", "2026-11-30T10:05:00"],
    [" 10:05:30.25 ", "2026-11-30T10:05:30.250"],
    ["13:00", "2026-11-29T13:00:00"],
    ["9 am", "2026-11-30T09:00:00"],
    ["12:30 AM", "2026-11-30T00:30:00"],
    ["yesterday 14:00", "2026-11-29T14:00:00"],
    ["today", "2026-11-30T00:00:00"],
    ["2026-11-30 10:05", "2026-11-30T10:05:00"],
    ["2026-11-30T10:05:07", "2026-11-30T10:05:07"],
    ["2026-11-30T10:05:07+02:00", "2026-11-30T08:05:07"],
    ["2026-11-30t10:05:07z", "2026-11-30T10:05:07"],
    ["30 Nov 10:05", "2026-11-30T10:05:00"],
    ["November 30, 10:05", "2026-11-30T10:05:00"],
    ["31 Dec", "2025-12-31T00:00:00"],
    ["5 March", "2026-03-05T00:00:00"],
    ["90 min ago", "2026-11-30T10:30:00"],
    ["30.11.2026 10:05", "2026-11-30T10:05:00"],
    ["11/30/2026 at 10:05", "2026-11-30T10:05:00"],
    ["now", "2026-11-30T12:00:00"],
    ["15m ago", "2026-11-30T11:45:00"],
    ["\u22122 hours", "2026-11-30T10:00:00"],
    ["1796032800", "2026-11-30T10:00:00"],
    ["1796032800000", "2026-11-30T10:00:00"],
    ["1796032800000000", "2026-11-30T10:00:00"],
    ["1796032800000000000", "2026-11-30T10:00:00"],
  ])("%j is %s", (typed, meant) => expect(readMoment(typed, NOW)).toBe(utc(meant)));

  test.each(["", "soon", "25:00", "10:75", "13 pm", "2026-02-30 10:00", "7", "30 Foo"])("%j is none", (typed) =>
    expect(readMoment(typed, NOW)).toBeNull(),
  );
});

test("a time without a day that ends a range is the first after its start", () => {
  expect(readMoment("10:06", NOW, utc("2026-11-12T10:04:00"))).toBe(utc("2026-11-12T10:06:00"));
  expect(readMoment("00:10", NOW, utc("2026-11-12T23:50:00"))).toBe(utc("2026-11-13T00:10:00"));
});

test("what is written is read as the same moment, in either zone", () => {
  for (const zone of [true, false]) {
    isUtc.value = zone;
    for (const us of [NOW, NOW + 123_000]) expect(readMoment(writeMoment(us), NOW)).toBe(us);
  }
  expect(writeMoment(NOW).slice(0, 10)).toBe("2026-11-30");
});
