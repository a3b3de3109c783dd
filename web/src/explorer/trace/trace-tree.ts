// A trace in Jaeger's JSON -> a tree of spans, its critical path and its bottleneck. Pure functions, times in µs.
// The same algorithms as local/trace_tree.py, which a test holds this file to.

export type TagValue = string | number | boolean;
export type Tags = Map<string, TagValue>;
export type Section = readonly [start: number, end: number];
export type CriticalPath = Map<Span, Section[]>;

export interface JaegerTag {
  key: string;
  type?: string;
  value: TagValue;
}
export interface JaegerSpan {
  traceID: string;
  spanID: string;
  operationName: string;
  references: { refType: string; traceID: string; spanID: string }[] | null;
  startTime: number;
  duration: number;
  tags: JaegerTag[] | null;
  logs: { timestamp: number; fields: JaegerTag[] | null }[] | null;
  processID: string;
  warnings?: string[] | null;
}
export interface JaegerTrace {
  traceID: string;
  spans: JaegerSpan[];
  processes: Record<string, { serviceName: string; tags?: JaegerTag[] | null }>;
  warnings?: string[] | null;
}

export interface SpanEvent {
  timestamp: number;
  name: string;
  attributes: Tags;
}
export interface Link {
  traceId: string;
  spanId: string;
}
/** One span; `shift` is what was added to its clock (µs), `warnings` say what the backend found odd about it. */
export interface Span {
  spanId: string;
  parentId: string | null;
  service: string;
  name: string;
  start: number;
  duration: number;
  tags: Tags;
  resource: Tags;
  events: SpanEvent[];
  links: Link[];
  asynchronous: boolean;
  process: string;
  shift: number;
  warnings: string[];
  children: Span[];
}
/** A trace as a forest; `root` is the request itself, `missing` are parents that are named but not there. */
export interface Trace {
  traceId: string;
  spans: Map<string, Span>;
  roots: Span[];
  root: Span;
  missing: Set<string>;
  start: number;
  end: number;
  services: string[];
  warnings: string[];
}
/** Where the request's time went: `time` µs of `total` µs in `name` of `service`; `span` is the one to look at. */
export interface Bottleneck {
  service: string;
  name: string;
  time: number;
  total: number;
  span: Span;
}

export const endOf = (span: Span): number => span.start + span.duration;
export const kindOf = (span: Span): string => String(span.tags.get("span.kind") ?? "internal");
export const isFailed = (span: Span): boolean =>
  [true, "true"].includes(span.tags.get("error") as string | boolean) || span.tags.get("otel.status_code") === "ERROR";
export const total = (sections: Iterable<Section>): number => {
  let sum = 0;
  for (const [start, end] of sections) sum += end - start;
  return sum;
};

/** Each span before its children. Iterative: a hostile trace may be deeper than the stack. */
export function* walk(roots: readonly Span[]): Generator<Span> {
  const stack = roots.toReversed();
  for (let span = stack.pop(); span; span = stack.pop()) {
    yield span;
    for (let i = span.children.length - 1; i >= 0; i--) stack.push(span.children[i]!);
  }
}

/** Children in order of time; throws when the trace has no span. */
export function readTrace(data: JaegerTrace): Trace {
  const spans = new Map<string, Span>();
  for (const raw of data.spans) {
    const span = readSpan(raw, data.processes ?? {});
    // Not every backend makes ids unique, and no span may get lost by it.
    while (spans.has(span.spanId)) span.spanId += "-2";
    spans.set(span.spanId, span);
  }
  if (!spans.size) throw new Error("the trace has no spans");
  const roots: Span[] = [];
  for (const span of spans.values()) (spans.get(span.parentId ?? "")?.children ?? roots).push(span);
  breakCycles(spans, roots);
  alignClocks(roots);
  let start = Infinity;
  let end = -Infinity;
  for (const span of spans.values()) {
    span.children.sort((a, b) => a.start - b.start || b.duration - a.duration);
    start = Math.min(start, span.start);
    end = Math.max(end, endOf(span));
  }
  const missing = roots.map((root) => root.parentId).filter((id): id is string => !!id && !spans.has(id));
  const root = roots.reduce((best, one) => (isBetterRoot(one, best) ? one : best));
  roots.sort((a, b) => a.start - b.start);
  const services = [...new Set([...walk(roots)].map((span) => span.service))];
  const warnings = data.warnings ?? [];
  return { traceId: data.traceID, spans, roots, root, missing: new Set(missing), start, end, services, warnings };
}

const isBetterRoot = (one: Span, best: Span): boolean =>
  (one.parentId !== null) === (best.parentId !== null) ? one.start < best.start : one.parentId === null;

/** The spans by the id with which they were sent and their service: log records name no other. */
export const ownersOf = (trace: Trace): Map<string, Span> =>
  new Map(
    [...trace.spans.values()]
      .reverse()
      .map((span) => [ownerKey(String(span.tags.get("otel.span_id") ?? span.spanId), span.service), span]),
  );

export const ownerKey = (spanId: string, service: string): string => `${spanId} ${service}`;

export const tagsOf = (tags: JaegerTag[] | null | undefined): Tags => new Map((tags ?? []).map(({ key, value }) => [key, value]));

function readSpan(raw: JaegerSpan, processes: JaegerTrace["processes"]): Span {
  const tags = tagsOf(raw.tags);
  const references = raw.references ?? [];
  // Jaeger writes a span link as FOLLOWS_FROM; only a reference inside this trace can be a parent.
  const inside = references.filter((reference) => reference.traceID === raw.traceID);
  const parent = inside.find((reference) => reference.refType === "CHILD_OF") ?? inside[0];
  const process = Object.hasOwn(processes, raw.processID) ? processes[raw.processID] : undefined;
  return {
    spanId: raw.spanID,
    parentId: parent?.spanID ?? null,
    service: process?.serviceName ?? "unknown",
    name: raw.operationName,
    start: raw.startTime,
    duration: Math.max(0, raw.duration),
    tags,
    resource: tagsOf(process?.tags),
    events: (raw.logs ?? []).map(readEvent),
    links: references.filter((r) => r !== parent).map((r) => ({ traceId: r.traceID, spanId: r.spanID })),
    asynchronous: (!!parent && parent.refType !== "CHILD_OF") || tags.get("span.kind") === "consumer",
    process: raw.processID,
    shift: 0,
    warnings: raw.warnings ?? [],
    children: [],
  };
}

function readEvent(raw: { timestamp: number; fields: JaegerTag[] | null }): SpanEvent {
  const attributes = tagsOf(raw.fields);
  const name = String(attributes.get("event") ?? "event");
  attributes.delete("event");
  return { timestamp: raw.timestamp, name, attributes };
}

function breakCycles(spans: Map<string, Span>, roots: Span[]): void {
  const reached = new Set(walk(roots));
  for (const span of spans.values()) {
    if (reached.has(span)) continue;
    const siblings = spans.get(span.parentId ?? "")!.children;
    siblings.splice(siblings.indexOf(span), 1);
    roots.push(span);
    for (const below of walk([span])) reached.add(below);
  }
}

/** Center a SERVER span that sticks out of its CLIENT span inside it: an answered call cannot outlast its caller. */
function alignClocks(roots: Span[]): void {
  for (const parent of walk(roots)) {
    for (const child of parent.children) {
      if (child.process === parent.process) child.shift = parent.shift;
      else if (kindOf(child) === "server" && kindOf(parent) === "client" && child.duration <= parent.duration) {
        const inside = parent.start <= child.start && endOf(child) <= endOf(parent);
        const centered = parent.start + Math.floor((parent.duration - child.duration) / 2);
        child.shift = inside ? 0 : centered - child.start;
      }
      child.start += child.shift;
    }
  }
}

/**
 * The sections in which each span itself was on the critical path; together they cover `root` exactly once.
 *
 * The algorithm of Jaeger's UI and of Uber's CRISP (USENIX ATC 2022): walk back from the end through the child that
 * finished last. Children are clipped to their parent; asynchronous ones delay no span.
 */
export function criticalPath(root: Span): CriticalPath {
  const path: CriticalPath = new Map();
  const stack: [Span, number, number][] = [[root, root.start, endOf(root)]];
  for (let next = stack.pop(); next; next = stack.pop()) {
    const [span, start] = next;
    const last = next[2];
    let cursor = last;
    const windows = span.children
      .filter((child) => !child.asynchronous)
      .map((child) => ({ child, end: Math.min(endOf(child), last), start: Math.max(child.start, start) }))
      .sort((a, b) => b.end - a.end || a.start - b.start);
    const own: Section[] = [];
    for (const window of windows) {
      // A child still running when its sibling on the path began cannot have caused that beginning.
      if (window.start < window.end && window.end <= cursor) {
        own.push([window.end, cursor]);
        stack.push([window.child, window.start, window.end]);
        cursor = window.start;
      }
    }
    own.push([start, cursor]);
    path.set(
      span,
      own.reverse().filter(([from, to]) => from < to),
    );
  }
  return path;
}

/** One span if it held more than half of the time, else the endpoint (by service and operation) that held most. */
export function bottleneck(root: Span, path: CriticalPath): Bottleneck | null {
  if (!root.duration) return null;
  const held = new Map<Span, number>();
  const owners = new Map<Span, Span>([[root, root]]);
  const endpoints = new Map<string, { time: number; owner: Span }>();
  let worst = root;
  for (const span of walk([root])) {
    const time = total(path.get(span) ?? []);
    held.set(span, time);
    if (time > (held.get(worst) ?? 0)) worst = span;
    const owner = owners.get(span)!;
    const key = JSON.stringify([owner.service, owner.name]);
    const endpoint = endpoints.get(key) ?? { time: 0, owner };
    endpoint.time += time;
    if (held.get(owner)! > held.get(endpoint.owner)!) endpoint.owner = owner;
    endpoints.set(key, endpoint);
    for (const child of span.children) owners.set(child, kindOf(child) === "server" ? child : owner);
  }
  const time = held.get(worst)!;
  if (time * 2 > root.duration) {
    return { service: worst.service, name: worst.name, time, total: root.duration, span: worst };
  }
  const most = [...endpoints.values()].reduce((best, one) => (one.time > best.time ? one : best));
  const { service, name } = most.owner;
  return { service, name, time: most.time, total: root.duration, span: most.owner };
}
