import { expect, test } from "vitest";
import { cellsOf, findFrame, framesOf } from "./flame.ts";
import { COLUMNS, minimapShapes } from "./minimap-shapes.ts";
import { operationsOf, orderOf, sorted } from "./operations.ts";
import { span, traceOf } from "./trace.fixture.ts";

const trace = traceOf(
  span("root", 0, 100, { title: "POST /orders", selfTime: 40_000 }),
  span("one", 0, 30, { parent: 0, title: "SELECT" }),
  span("two", 40, 30, { parent: 0, title: "SELECT", failed: true }),
  span("call", 80, 10, { parent: 0, title: "SELECT", process: 1, selfTime: 0 }),
  span("below", 80, 10, { parent: 3, title: "INSERT", process: 1 }),
);

test("operations are added up by service and title, beside their P95 in all traces", () => {
  const rows = operationsOf(trace, [{ service: "order-service", title: "SELECT", count: 9, p50: 1, p95: 25_000 }]);
  const [select] = rows.filter((row) => row.key === "order-service SELECT");
  expect(select).toMatchObject({ count: 2, total: 60_000, self: 60_000, longest: 30_000, failed: 1, p95: 25_000 });
  expect(rows.find((row) => row.key === "payment-service SELECT")).toMatchObject({ count: 1, self: 0, p95: undefined });
});

test("they are in order of their self time, or as the address says", () => {
  const rows = operationsOf(trace, []);
  const titles = (order: string | null) => sorted(rows, orderOf(order)).map((row) => row.title);
  expect(titles(null)).toEqual(["SELECT", "POST /orders", "INSERT", "SELECT"]);
  expect(titles("total")[0]).toBe("POST /orders");
  expect(titles("-count").at(-1)).toBe("SELECT");
  expect(titles("nonsense")).toEqual(titles(null));
});

test("a flame is as wide as the self times below it, equal calls together", () => {
  const top = framesOf(trace.roots);
  expect(top.map((frame) => frame.value)).toEqual([110_000]);
  const { cells } = cellsOf(top, null);
  expect(cells.map(({ frame, level }) => `${level} ${frame.first.title} ${frame.count} ${frame.value}`).toSorted()).toEqual([
    "0 POST /orders 1 110000",
    "1 SELECT 1 10000",
    "1 SELECT 2 60000",
    "2 INSERT 1 10000",
  ]);
  const inside = cells.filter(({ level }) => level === 1);
  expect(inside.reduce((sum, cell) => sum + cell.width, 0)).toBeLessThanOrEqual(1);
  const focus = findFrame(top, "call")!;
  const alone = cellsOf(top, focus).cells.find(({ frame }) => frame === focus)!;
  expect([alone.left, alone.width, alone.level]).toEqual([0, 1, 1]);
});

test("in a flame ten thousand different steps are one frame, and what is equal below them is another", () => {
  const calls = Array.from({ length: 10_000 }, (_, i) => span(`s${i}`, i, 1, { parent: 0, title: `call ${i}`, selfTime: 0 }));
  const queries = calls.map((_, i) => span(`q${i}`, i, 1, { parent: i + 1, title: "SELECT" }));
  const trace = traceOf(span("root", 0, 10_000, { selfTime: 0 }), ...calls, ...queries);
  const { cells, left } = cellsOf(framesOf(trace.roots), null);
  expect(cells.map(({ frame, level, width }) => [level, frame.merged, frame.count, width])).toEqual([
    [0, 1, 1, 1],
    [1, 10_000, 10_000, 1],
    [2, 1, 10_000, 1],
  ]);
  expect(left).toBe(0);
});

test("the minimap of many spans has no more shapes than cells", () => {
  const many = Array.from({ length: 20_000 }, (_, i) => span(`s${i}`, i, 1, { parent: i ? 0 : null, process: i % 2 }));
  const whole = traceOf(...many);
  const shapes = minimapShapes(whole.spans, [whole.start, whole.end]);
  expect([...shapes.keys()]).toEqual(["order-service", "payment-service"]);
  expect([...shapes.values()].join("").match(/M/g)!.length).toBeLessThan(COLUMNS * 30);
});

test("the minimap shows each span of a few at its time", () => {
  const few = traceOf(span("root", 0, 100), span("half", 50, 50, { parent: 0, process: 1 }));
  const shapes = minimapShapes(few.spans, [few.start, few.end]);
  expect(shapes.get("order-service")).toBe(`M0 0h${COLUMNS}v15h-${COLUMNS}z`);
  expect(shapes.get("payment-service")).toBe(`M${COLUMNS / 2} 15h${COLUMNS / 2}v15h-${COLUMNS / 2}z`);
});
