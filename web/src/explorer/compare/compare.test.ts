import { expect, test } from "vitest";
import { compare, growth, ownGrowth, ownTime } from "./compare.ts";
import { span, traceOf } from "../trace/trace.fixture.ts";

test("alike spans at the same place are one line; a span that only one trace has keeps its own", () => {
  const here = traceOf(
    span("root", 0, 100),
    span("1", 10, 20, { parent: 0, title: "SELECT" }),
    span("2", 40, 30, { parent: 0, title: "SELECT" }),
  );
  const there = traceOf(
    span("root", 0, 60),
    span("1", 10, 20, { parent: 0, title: "SELECT" }),
    span("new", 30, 5, { parent: 0 }),
  );

  const lines = compare(here, there);

  expect(lines.map(({ name, depth, here, there }) => [name, depth, here.spans, there.spans])).toEqual([
    ["root", 0, 1, 1],
    ["SELECT", 1, 2, 1],
    ["new", 1, 0, 1],
  ]);
  expect(lines.map(growth)).toEqual([40_000, 30_000, -5_000]);
  expect(lines.map(ownGrowth)).toEqual([15_000, 30_000, -5_000]);
});

test("own time is what no child covers, however the children overlap or outlast", () => {
  const { root } = traceOf(
    span("root", 0, 100),
    span("a", 10, 30, { parent: 0 }),
    span("b", 20, 30, { parent: 0 }),
    span("c", 90, 50, { parent: 0 }),
  );
  expect(ownTime(root)).toBe(50_000);
});

test("a trace as deep as it is long is compared without a stack overflow", () => {
  const spans = Array.from({ length: 20_000 }, (_, i) => span(`${i}`, 0, 1, { parent: i ? i - 1 : null }));
  expect(compare(traceOf(...spans), traceOf(...spans))).toHaveLength(20_000);
});
