// Traces in Jaeger's JSON, for tests; times are milliseconds after a moment in 2023.
import type { JaegerSpan, JaegerTrace } from "./trace-tree.ts";

export const EPOCH = 1_700_000_000_000_000;

interface Options {
  parent?: string;
  refType?: "CHILD_OF" | "FOLLOWS_FROM";
  kind?: string;
  service?: string;
}

export function span(spanID: string, start: number, duration: number, options: Options = {}): JaegerSpan {
  const { parent, refType = "CHILD_OF", kind = "internal", service = "order-service" } = options;
  return {
    traceID: "t",
    spanID,
    operationName: spanID,
    references: parent === undefined ? [] : [{ refType, traceID: "t", spanID: parent }],
    startTime: EPOCH + start * 1000,
    duration: duration * 1000,
    tags: [{ key: "span.kind", value: kind }],
    logs: [],
    processID: service,
  };
}

export function traceOf(...spans: JaegerSpan[]): JaegerTrace {
  const processes = Object.fromEntries(spans.map(({ processID }) => [processID, { serviceName: processID, tags: [] }]));
  return { traceID: "t", spans, processes };
}
