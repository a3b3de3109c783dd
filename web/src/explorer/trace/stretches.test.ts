import { expect, test } from "vitest";
import { CELLS, FEW, stretches } from "./stretches.ts";
import type { Section } from "./trace.ts";

const every = (count: number, step: number, length: number): Section[] =>
  Array.from({ length: count }, (_, i) => [i * step, i * step + length]);

test("few sections are drawn as they are, cut to the window", () => {
  const sections: Section[] = [
    [0, 16],
    [40, 48],
    [64, 130],
  ];
  expect(stretches(sections, [8, 72])).toEqual([
    { from: 0, to: 0.125, share: 1 },
    { from: 0.5, to: 0.625, share: 1 },
    { from: 0.875, to: 1, share: 1 },
  ]);
});

test("of very many sections the last is drawn too, to the end of the window", () => {
  const found = stretches(every(14_000, 10, 10), [0, 140_000]);
  expect(found).toEqual([{ from: 0, to: 1, share: 1 }]);
});

test("slivers between calls do not look like a solid bar", () => {
  const found = stretches(every(14_000, 10, 1), [0, 140_000]);
  expect(found.length).toBeLessThanOrEqual(CELLS);
  for (const { share } of found) expect(share).toBeLessThanOrEqual(0.25);
});

test("of many sections a gap wider than a pixel stays a gap", () => {
  const sections = [...every(FEW, 10, 10), ...every(FEW, 10, 10).map(([from, to]): Section => [from + 4000, to + 4000])];
  const found = stretches(sections, [0, 6000]);
  const gap = found.findIndex(({ from }) => from > 0.5);
  expect(found[gap]!.from - found[gap - 1]!.to).toBeCloseTo(1 / 3, 1);
});

test("zoomed in on a few of very many, each has its true place", () => {
  expect(stretches(every(14_000, 10, 5), [100, 120])).toEqual([
    { from: 0, to: 0.25, share: 1 },
    { from: 0.5, to: 0.75, share: 1 },
  ]);
});
