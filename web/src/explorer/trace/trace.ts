// A trace as /api/trees gives it, its spans linked. The server has computed order, depth, clocks, critical path,
// titles and bottleneck (explorer/waybill_explorer/tree_json.py). Times are µs.

export type TagValue = string | number | boolean;
export type Tags = Readonly<Record<string, TagValue>>;
export type Section = readonly [start: number, end: number];

export interface SpanEvent {
  timestamp: number;
  name: string;
  attributes: Tags;
}
/** What the server says of a span; `start` has `shift` added to its clock, `critical` are its own sections of the path. */
interface SpanFacts {
  spanID: string;
  depth: number;
  name: string;
  title: string;
  /** Where a call went, if the title does not say it. */
  peer: string;
  kind: string;
  failed: boolean;
  isSql: boolean;
  start: number;
  duration: number;
  shift: number;
  critical: readonly Section[];
  tags: Tags;
  events: readonly SpanEvent[];
  links: readonly { traceID: string; spanID: string }[];
  warnings: readonly string[];
}
interface TraceFacts {
  traceID: string;
  start: number;
  end: number;
  /** In the order in which the request reached them, with their time on the critical path. */
  services: readonly { service: string; time: number }[];
  /** Parents that are named but not there. */
  missing: readonly string[];
  warnings: readonly string[];
}
interface BottleneckFacts {
  service: string;
  title: string;
  time: number;
  total: number;
}
/** The answer of /api/trees: spans in the order of the waterfall, each before its children; `root` is the request. */
export interface Tree extends TraceFacts {
  root: number;
  bottleneck: (BottleneckFacts & { span: number }) | null;
  processes: readonly { service: string; tags: Tags }[];
  spans: readonly (SpanFacts & { parent: number | null; process: number })[];
}

export interface Span extends SpanFacts {
  parent: Span | null;
  children: Span[];
  service: string;
  resource: Tags;
}
export interface Trace extends TraceFacts {
  spans: readonly Span[];
  byId: ReadonlyMap<string, Span>;
  roots: readonly Span[];
  root: Span;
  bottleneck: (BottleneckFacts & { span: Span }) | null;
}

export const endOf = (span: Span): number => span.start + span.duration;
export const total = (sections: Iterable<Section>): number => {
  let sum = 0;
  for (const [start, end] of sections) sum += end - start;
  return sum;
};

/** The trace with references where the answer has indexes. */
export function linked(tree: Tree): Trace {
  const spans: Span[] = [];
  for (const { parent, process, ...facts } of tree.spans) {
    const above = parent === null ? null : spans[parent]!;
    const { service, tags: resource } = tree.processes[process]!;
    const span = { ...facts, parent: above, children: [], service, resource };
    above?.children.push(span);
    spans.push(span);
  }
  const { bottleneck } = tree;
  return {
    ...tree,
    spans,
    byId: new Map(spans.map((span) => [span.spanID, span])),
    roots: spans.filter((span) => !span.parent),
    root: spans[tree.root]!,
    bottleneck: bottleneck && { ...bottleneck, span: spans[bottleneck.span]! },
  };
}
