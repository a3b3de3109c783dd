import { describe, expect, test } from "vitest";
import { EPOCH, span, traceOf } from "./jaeger-json.fixture.ts";
import { bottleneck, criticalPath, type JaegerSpan, readTrace, total } from "./trace-tree.ts";

const childrenOf = (...spans: JaegerSpan[]): Record<string, string[]> =>
  Object.fromEntries([...readTrace(traceOf(...spans)).spans].map(([id, one]) => [id, one.children.map((child) => child.spanId)]));
const criticalMs = (...spans: JaegerSpan[]): Record<string, number> =>
  Object.fromEntries(
    [...criticalPath(readTrace(traceOf(...spans)).root)].map(([one, sections]) => [one.spanId, total(sections) / 1000]),
  );

describe("the tree", () => {
  test("has children in order of time, in whatever order the spans come", () =>
    expect(
      childrenOf(span("late", 20, 5, { parent: "root" }), span("early", 10, 5, { parent: "root" }), span("root", 0, 50)),
    ).toEqual({
      root: ["early", "late"],
      early: [],
      late: [],
    }));

  test("keeps both of two spans with one id", () =>
    expect([...readTrace(traceOf(span("a", 0, 9), span("a", 1, 2))).spans.keys()]).toEqual(["a", "a-2"]));

  test("keeps spans whose parents form a ring", () => {
    const trace = readTrace(traceOf(span("a", 0, 9, { parent: "b" }), span("b", 1, 2, { parent: "a" })));
    expect(trace.spans.size).toBe(2);
    expect(trace.roots.map((root) => root.spanId)).toEqual(["a"]);
  });

  test("names parents that are not there, and prefers a root without one", () => {
    const trace = readTrace(traceOf(span("orphan", 0, 9, { parent: "gone" }), span("root", 5, 2)));
    expect([...trace.missing]).toEqual(["gone"]);
    expect(trace.root.spanId).toBe("root");
  });

  test("moves a server span with a wrong clock into the middle of its call, and what is below it along", () => {
    const trace = readTrace(
      traceOf(
        span("call", 10, 40, { kind: "client" }),
        span("served", 500, 20, { parent: "call", kind: "server", service: "payment-service" }),
        span("inside", 505, 5, { parent: "served", service: "payment-service" }),
      ),
    );
    expect(trace.spans.get("served")?.start).toBe(EPOCH + 20_000);
    expect(trace.spans.get("inside")?.start).toBe(EPOCH + 25_000);
  });

  test("without a span is refused", () => expect(() => readTrace(traceOf())).toThrow("no spans"));
});

describe("the critical path", () => {
  test("walks back through the child that finished last", () =>
    expect(
      criticalMs(span("root", 0, 100), span("early", 10, 30, { parent: "root" }), span("late", 50, 40, { parent: "root" })),
    ).toEqual({
      root: 30,
      early: 30,
      late: 40,
    }));

  test("leaves out the quicker of two that run at the same time", () =>
    expect(
      criticalMs(span("root", 0, 100), span("quick", 10, 40, { parent: "root" }), span("slow", 10, 80, { parent: "root" })),
    ).toEqual({
      root: 20,
      slow: 80,
    }));

  test("clips a child to its parent, and leaves out an asynchronous one", () =>
    expect(
      criticalMs(
        span("root", 0, 100),
        span("outlasts", 60, 500, { parent: "root" }),
        span("queued", 0, 60, { parent: "root", refType: "FOLLOWS_FROM" }),
      ),
    ).toEqual({ root: 60, outlasts: 40 }));
});

describe("the bottleneck", () => {
  const worstOf = (...spans: JaegerSpan[]) => {
    const { root } = readTrace(traceOf(...spans));
    return bottleneck(root, criticalPath(root));
  };

  test("is the span that took more than half", () =>
    expect(worstOf(span("root", 0, 100), span("slow", 10, 80, { parent: "root" }))).toMatchObject({
      name: "slow",
      time: 80_000,
    }));

  test("is else the endpoint that took most in all", () => {
    const calls = [0, 1, 2, 3].map((i) =>
      span("charge", 5 + i * 24, 20, { parent: "root", kind: "server", service: "payment-service" }),
    );
    const ids = calls.map((call, i) => ({ ...call, spanID: `charge-${i}` }));
    expect(worstOf(span("root", 0, 100, { kind: "server" }), ...ids)).toMatchObject({
      service: "payment-service",
      name: "charge",
      time: 80_000,
      total: 100_000,
    });
  });

  test("of a trace that took no time is none", () => expect(worstOf(span("root", 0, 0))).toBeNull());
});
