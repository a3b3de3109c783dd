import { expect, test } from "vitest";
import { compare, growth, ownGrowth, ownTime } from "./compare.ts";
import { span, traceOf } from "../trace/jaeger-json.fixture.ts";
import { type JaegerSpan, readTrace } from "../trace/trace-tree.ts";

const read = (...spans: JaegerSpan[]) => readTrace(traceOf(...spans));

test("alike spans at the same place are one line; a span that only one trace has keeps its own", () => {
  const here = read(
    span("root", 0, 100),
    { ...span("1", 10, 20, { parent: "root" }), operationName: "SELECT" },
    { ...span("2", 40, 30, { parent: "root" }), operationName: "SELECT" },
  );
  const there = read(
    span("root", 0, 60),
    { ...span("1", 10, 20, { parent: "root" }), operationName: "SELECT" },
    span("new", 30, 5, { parent: "root" }),
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
  const { root } = read(
    span("root", 0, 100),
    span("a", 10, 30, { parent: "root" }),
    span("b", 20, 30, { parent: "root" }),
    span("c", 90, 50, { parent: "root" }),
  );
  expect(ownTime(root)).toBe(50_000);
});

test("a trace as deep as it is long is compared without a stack overflow", () => {
  const spans = Array.from({ length: 20_000 }, (_, i) => span(`${i}`, 0, 1, i ? { parent: `${i - 1}` } : {}));
  expect(compare(read(...spans), read(...spans))).toHaveLength(20_000);
});
