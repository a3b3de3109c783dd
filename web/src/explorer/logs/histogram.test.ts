import { expect, test } from "vitest";
import { barsOf, levelsOf } from "./histogram.ts";

const POINTS = [
  { time: 0, counts: { INFO: 5, ERROR: 2 } },
  { time: 10, counts: {} },
  { time: 20, counts: { "": 1, WARN: 3 } },
];

test("levels are in the order of their severity, what has none is last", () => {
  expect(levelsOf(POINTS)).toEqual(["ERROR", "WARN", "INFO", ""]);
});

test("a bar is above that of a worse level, and steps without a line have none", () => {
  const bars = barsOf(POINTS, 10);
  expect(bars.map(({ from, to, name, low, high }) => [from, to, name, low, high])).toEqual([
    [0, 10, "ERROR", 0, 2],
    [0, 10, "INFO", 2, 7],
    [20, 30, "WARN", 0, 3],
    [20, 30, "no level", 3, 4],
  ]);
  expect(bars[1]!.label).toContain("ERROR  2 lines\nINFO  5 lines");
});
