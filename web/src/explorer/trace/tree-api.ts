// Written by `make api-types` from the explorer's tree_json.py and operations.py; a test keeps it fresh.

export interface Schemas {
  BottleneckJson: BottleneckJson;
  EventJson: EventJson;
  LinkJson: LinkJson;
  ProcessJson: ProcessJson;
  ServiceTime: ServiceTime;
  SpanJson: SpanJson;
  TreeJson: TreeJson;
  OperationJson: OperationJson;
  OperationsJson: OperationsJson;
}
/**
 * Where the request's time went: `time` of `total` µs, `count` spans; `span` is the index of the longest.
 *
 * `where` and `what` are words, as in "in order-service POST /orders" and "waiting for the write lock".
 */
export interface BottleneckJson {
  kind: string;
  where: string;
  what: string;
  count: number;
  time: number;
  total: number;
  span: number;
}
/**
 * Something that happened inside a span, by the span's own clock (µs).
 */
export interface EventJson {
  timestamp: number;
  name: string;
  attributes: {
    [k: string]: string | number | boolean;
  };
}
/**
 * A span that a span points at, of this trace or of another.
 */
export interface LinkJson {
  traceID: string;
  spanID: string;
}
/**
 * What sent spans: its service and the attributes of its resource.
 */
export interface ProcessJson {
  service: string;
  tags: {
    [k: string]: string | number | boolean;
  };
}
/**
 * A service and its time on the critical path (µs).
 */
export interface ServiceTime {
  service: string;
  time: number;
}
/**
 * One span; `parent` and `process` are indexes, times are µs, `start` has `shift` added to its clock.
 *
 * `selfTime` is what its children do not cover, `critical` are its sections of the critical path. `peer` says where
 * a call went if the title does not.
 */
export interface SpanJson {
  spanID: string;
  parent: number | null;
  depth: number;
  process: number;
  name: string;
  title: string;
  peer: string;
  kind: string;
  failed: boolean;
  refused: boolean;
  isSql: boolean;
  start: number;
  duration: number;
  selfTime: number;
  shift: number;
  critical: [number, number][];
  tags: {
    [k: string]: string | number | boolean;
  };
  events: EventJson[];
  links: LinkJson[];
  warnings: string[];
}
/**
 * A trace; `spans` are in the order in which the page shows them, each before its children.
 *
 * `root` is the index of the request itself, or, until it arrives (`isRooted`), of the span that takes its place.
 * `missing` are parents that are named but not there; the largest of the `bottlenecks` comes first.
 */
export interface TreeJson {
  traceID: string;
  start: number;
  end: number;
  root: number;
  isRooted: boolean;
  services: ServiceTime[];
  missing: string[];
  bottlenecks: BottleneckJson[];
  warnings: string[];
  processes: ProcessJson[];
  spans: SpanJson[];
}
/**
 * An operation, or a statement, of a service: spans of that title in the traces that were read, times in µs.
 */
export interface OperationJson {
  service: string;
  title: string;
  count: number;
  p50: number;
  p95: number;
}
/**
 * The operations and statements of one trace, over the newest `traces` that have one of them.
 *
 * `isSampled` is whether there are more such traces than were read.
 */
export interface OperationsJson {
  traces: number;
  isSampled: boolean;
  operations: OperationJson[];
}
