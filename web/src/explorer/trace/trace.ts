// A trace as /api/trees gives it, its spans linked. The server has computed order, depth, clocks, critical path,
// titles and bottlenecks. Times are µs.
import type { BottleneckJson, EventJson, SpanJson, TreeJson } from "./tree-api.ts";

export type TagValue = string | number | boolean;
export type Tags = Readonly<Record<string, TagValue>>;
export type Section = readonly [start: number, end: number];
export type { EventJson as SpanEvent, TreeJson };

export interface Span extends Omit<SpanJson, "parent" | "process"> {
  parent: Span | null;
  children: Span[];
  service: string;
  resource: Tags;
}
export interface Bottleneck extends Omit<BottleneckJson, "span"> {
  span: Span;
}
export interface Trace extends Omit<TreeJson, "spans" | "root" | "bottlenecks"> {
  spans: readonly Span[];
  byId: ReadonlyMap<string, Span>;
  roots: readonly Span[];
  root: Span;
  bottlenecks: readonly Bottleneck[];
}

export const endOf = (span: Span): number => span.start + span.duration;
export const total = (sections: Iterable<Section>): number => {
  let sum = 0;
  for (const [start, end] of sections) sum += end - start;
  return sum;
};

/** The trace with references where the answer has indexes. */
export function linked(tree: TreeJson): Trace {
  const spans: Span[] = [];
  for (const { parent, process, ...facts } of tree.spans) {
    const above = parent === null ? null : spans[parent]!;
    const { service, tags: resource } = tree.processes[process]!;
    const span = { ...facts, parent: above, children: [], service, resource };
    above?.children.push(span);
    spans.push(span);
  }
  return {
    ...tree,
    spans,
    byId: new Map(spans.map((span) => [span.spanID, span])),
    roots: spans.filter((span) => !span.parent),
    root: spans[tree.root]!,
    bottlenecks: tree.bottlenecks.map((one) => ({ ...one, span: spans[one.span]! })),
  };
}
