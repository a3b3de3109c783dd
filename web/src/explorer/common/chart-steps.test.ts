import { expect, test } from "vitest";
import { namesOf, stepsOf } from "./chart-steps.ts";

const line = (label: string, points: [number, number | null][]) => ({ label, color: "", points });
const cell = (from: number, low: number, name: string, count: number) => ({
  ...{ from, to: from + 10, low, high: low + 1, share: 1, label: "" },
  ...{ name, count },
});

test("a point of a line is the end of its step, and steps without a value are left out", () => {
  const lines = [
    line("P50", [
      [10, 1],
      [20, null],
      [30, 3],
    ]),
    line("P95", [
      [10, 2],
      [20, null],
      [30, null],
    ]),
  ];
  expect(stepsOf(lines, [], [0, 30])).toEqual([
    { from: 0, to: 10, values: new Map(Object.entries({ P50: 1, P95: 2 })) },
    { from: 20, to: 30, values: new Map([["P50", 3]]) },
  ]);
  expect(namesOf(lines, [])).toEqual(["P50", "P95"]);
});

test("a single point is of the whole range", () => {
  expect(stepsOf([line("rate", [[30, 1]])], [], [0, 30])[0]).toMatchObject({ from: 0, to: 30 });
});

test("cells of a step are one row, and the names are in the order of their height", () => {
  const cells = [cell(20, 1, "1 s", 4), cell(0, 1, "1 s", 1), cell(0, 0, "100 ms", 2)];
  expect(stepsOf([], cells, [0, 30])).toEqual([
    { from: 0, to: 10, values: new Map(Object.entries({ "1 s": 1, "100 ms": 2 })) },
    { from: 20, to: 30, values: new Map([["1 s", 4]]) },
  ]);
  expect(namesOf([], cells)).toEqual(["100 ms", "1 s"]);
});
