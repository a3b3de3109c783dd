import { expect, test } from "vitest";
import { filterOf, flipped, foldsOf, microseconds, moved, passes, scaled, zoomOf, zoomParam } from "./choice.ts";
import { covered, isGroup, layoutOf } from "./layout.ts";
import { span, traceOf } from "./trace.fixture.ts";
import type { Trace } from "./trace.ts";
import { finder, foldedAbove, folding, notesOf, type Row, rowsOf } from "./waterfall-rows.ts";

const BEGAN = 1_700_000_000_000_000;
const paramsOf = (search: string): URLSearchParams => new URLSearchParams(search);

/** The rows of a trace at an address: names, a group as `12 x SELECT`, with the depth in front. */
function shown(trace: Trace, search = ""): string[] {
  const params = paramsOf(search);
  const layout = layoutOf(trace, passes(filterOf(params)));
  return rowsOf(layout, folding(layout, foldsOf(params)), new Map()).map(wordsOf);
}
const wordsOf = (row: Row): string =>
  `${row.depth} ${row.kind === "group" ? `${row.group.spans.length} x ${row.group.title}` : row.kind === "span" ? row.span.title : row.note.text}`;

const selects = (count: number, title = "SELECT") =>
  Array.from({ length: count }, (_, i) => span(`${title}${i}`, 1 + i, 1, { parent: 0, title, process: 1 }));

test("many equal siblings are one row that unfolds", () => {
  const trace = traceOf(span("root", 0, 50), ...selects(12), span("last", 40, 1, { parent: 0 }));
  expect(shown(trace)).toEqual(["0 root", "1 12 x SELECT", "1 last"]);
  const unfolded = shown(trace, "flip=SELECT0*");
  expect(unfolded.slice(0, 3)).toEqual(["0 root", "1 12 x SELECT", "2 SELECT"]);
  expect(unfolded).toHaveLength(15);
  expect(shown(trace, "fold=none")).toEqual(unfolded);
});

test("a few equal siblings are together but open, and fewer are as they are", () => {
  expect(shown(traceOf(span("root", 0, 50), ...selects(5)))).toHaveLength(7);
  expect(shown(traceOf(span("root", 0, 50), ...selects(4)))).toEqual(["0 root", ...Array<string>(4).fill("1 SELECT")]);
});

test("equal siblings are together when others run between them, and say their time and failures", () => {
  const steps = Array.from({ length: 12 }, (_, i) => [
    span(`a${i}`, 2 * i, 1, { parent: 0, title: "SELECT", failed: i === 3 }),
    span(`b${i}`, 2 * i + 1, 1, { parent: 0, title: "UPDATE" }),
  ]).flat();
  const trace = traceOf(span("root", 0, 50), ...steps);
  expect(shown(trace)).toEqual(["0 root", "1 12 x SELECT", "1 12 x UPDATE"]);
  const [group] = layoutOf(trace, null).below.get(trace.root)!;
  expect(isGroup(group!) && [group.time, group.failed]).toEqual([12_000, 1]);
});

test("a filter keeps what its spans are in", () => {
  const trace = traceOf(
    span("root", 0, 50),
    span("call", 1, 40, { parent: 0 }),
    span("charge", 2, 30, { parent: 1, process: 1, failed: true, tags: { "otel.scope.name": "flask" } }),
    span("quick", 45, 1, { parent: 0 }),
  );
  expect(shown(trace, "errors=1")).toEqual(["0 root", "1 call", "2 charge"]);
  expect(shown(trace, "least=35ms")).toEqual(["0 root", "1 call"]);
  expect(shown(trace, "hide=service:payment-service")).toEqual(["0 root", "1 call", "1 quick"]);
  expect(shown(trace, "hide=library:flask&errors=1")).toEqual([]);
  const layout = layoutOf(trace, passes(filterOf(paramsOf("errors=1"))));
  expect([...layout.context].map((one) => one.title).toSorted()).toEqual(["call", "root"]);
  expect(layout.order.map((one) => one.title)).toEqual(["charge"]);
});

test("all is folded down to where the trace branches", () => {
  const trace = traceOf(
    span("click", 0, 50),
    span("POST", 0, 50, { parent: 0 }),
    span("step", 1, 20, { parent: 1 }),
    span("inner", 2, 1, { parent: 2 }),
    span("other", 30, 1, { parent: 1 }),
  );
  expect(shown(trace, "fold=all")).toEqual(["0 click", "1 POST", "2 step", "2 other"]);
  expect(shown(trace, "fold=all&flip=step")).toContain("3 inner");
});

test("what hides a span is known, so that it can be unfolded", () => {
  const trace = traceOf(span("root", 0, 50), ...selects(12), span("below", 5, 1, { parent: 3 }));
  const params = paramsOf("flip=root");
  const layout = layoutOf(trace, null);
  const isFolded = folding(layout, foldsOf(params));
  const keys = foldedAbove(layout, isFolded, trace.byId.get("below")!);
  expect(keys.toSorted()).toEqual(["SELECT0*", "root"]);
  expect(flipped(foldsOf(params), keys)).toEqual({ flip: ["SELECT0*"] });
});

test("words are found in names, attributes and log lines, whatever their capitals", () => {
  const trace = traceOf(span("root", 0, 50, { tags: { "order.id": "Abc" } }), span("other", 1, 1, { parent: 0 }));
  const log = {
    timestamp: BEGAN,
    service: "order-service",
    level: "WARN",
    body: "Card DECLINED",
    trace_id: "t",
    span_id: "other",
  };
  const has = finder(notesOf(trace, [{ ...log, id: 1, attributes: {}, resource: {}, logger: "" }]));
  const found = (text: string) => trace.spans.filter((one) => has(one, text)).map((one) => one.title);
  expect(found("abc")).toEqual(["root"]);
  expect(found("declined")).toEqual(["other"]);
  expect(found("ORDER.ID")).toEqual(["root"]);
  expect(found("nowhere")).toEqual([]);
});

test("a chain of twenty thousand spans has rows", () => {
  const chain = Array.from({ length: 20_000 }, (_, i) => span(`s${i}`, i, 20_000 - i, { parent: i ? i - 1 : null }));
  expect(shown(traceOf(...chain))).toHaveLength(20_000);
});

test("the time that spans cover has no overlaps", () => {
  const trace = traceOf(span("a", 0, 10), span("b", 5, 10), span("c", 20, 5));
  expect(covered(trace.spans).map(([from, to]) => [from - BEGAN, to - BEGAN])).toEqual([
    [0, 15_000],
    [20_000, 25_000],
  ]);
});

test("a zoom is in the address, inside the trace", () => {
  const trace = traceOf(span("root", 0, 100));
  expect(zoomOf(paramsOf("zoom=10000-20000"), trace)).toEqual([BEGAN + 10_000, BEGAN + 20_000]);
  expect(zoomOf(paramsOf("zoom=20000-10000"), trace)).toBeNull();
  expect(zoomOf(paramsOf("zoom=x"), trace)).toBeNull();
  expect(zoomParam(trace, [BEGAN + 10_000, BEGAN + 20_000])).toEqual({ zoom: "10000-20000" });
  expect(zoomParam(trace, [BEGAN, BEGAN + 100_000])).toEqual({ zoom: null });
  expect(scaled(trace, [BEGAN + 80_000, BEGAN + 100_000], 2)).toEqual([BEGAN + 60_000, BEGAN + 100_000]);
  expect(scaled(trace, [BEGAN + 40_000, BEGAN + 60_000], 0.5)).toEqual([BEGAN + 45_000, BEGAN + 55_000]);
  expect(moved(trace, [BEGAN + 80_000, BEGAN + 90_000], 5)).toEqual([BEGAN + 90_000, BEGAN + 100_000]);
});

test("a duration is read with its unit, a bare number as milliseconds", () => {
  expect([microseconds("10"), microseconds("1.5 s"), microseconds("20us"), microseconds("x"), microseconds("5 parsec")]).toEqual([
    10_000,
    1_500_000,
    20,
    null,
    null,
  ]);
});
