// Traces as the server gives them, for tests; times are milliseconds after a moment in 2023.
import { linked, type Trace } from "./trace.ts";
import type { SpanJson } from "./tree-api.ts";

const EPOCH = 1_700_000_000_000_000;

/** One span; `parent` is the index of an earlier one. */
export function span(spanID: string, start: number, duration: number, options: Partial<SpanJson> = {}): SpanJson {
  return {
    spanID,
    parent: null,
    depth: 0,
    process: 0,
    name: spanID,
    title: spanID,
    peer: "",
    kind: "internal",
    failed: false,
    refused: false,
    isSql: false,
    start: EPOCH + start * 1000,
    duration: duration * 1000,
    selfTime: duration * 1000,
    shift: 0,
    critical: [],
    tags: {},
    events: [],
    links: [],
    warnings: [],
    ...options,
  };
}

/** A trace of these spans, each after its parent; the first is the root. */
export function traceOf(...given: SpanJson[]): Trace {
  const spans: SpanJson[] = [];
  for (const one of given) spans.push({ ...one, depth: one.parent === null ? 0 : spans[one.parent]!.depth + 1 });
  return linked({
    traceID: "t",
    start: Math.min(...spans.map((one) => one.start)),
    end: Math.max(...spans.map((one) => one.start + one.duration)),
    root: 0,
    services: [{ service: "order-service", time: 0 }],
    missing: [],
    isRooted: true,
    bottlenecks: [],
    warnings: [],
    processes: [
      { service: "order-service", tags: {} },
      { service: "payment-service", tags: {} },
    ],
    spans,
  });
}
