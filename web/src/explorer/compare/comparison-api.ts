// Written by `make api-types` from the explorer's comparison.py, groups.py and versions.py; a test keeps it fresh.

export interface Schemas {
  LineJson: LineJson;
  SideJson: SideJson;
  TracesComparedJson: TracesComparedJson;
  FiguresJson: FiguresJson;
  GroupJson: GroupJson;
  OperationFiguresJson: OperationFiguresJson;
  OperationJson: OperationJson;
  GroupsComparedJson: GroupsComparedJson;
  VersionJson: VersionJson;
}
/**
 * Spans of one service with one title under the same line, in both traces; in the order of a waterfall.
 */
export interface LineJson {
  service: string;
  name: string;
  depth: number;
  here: SideJson;
  there: SideJson;
}
/**
 * What a line is in one of the traces: `own` is the time in which no child of its `spans` ran.
 */
export interface SideJson {
  spans: number;
  duration: number;
  own: number;
}
/**
 * Two traces; `most` is the index of the line whose own time differs most between them, if any differs.
 */
export interface TracesComparedJson {
  here: string;
  there: string;
  lines: LineJson[];
  most: number | null;
}
/**
 * Figures of spans or traces: rates per second, shares of 1, percentiles in µs.
 */
export interface FiguresJson {
  count: number;
  rate: number | null;
  errors: number;
  refused: number;
  p50: number | null;
  p95: number | null;
  p99: number | null;
}
/**
 * One group: how many traces it has and how many were read, and the figures of whole traces.
 */
export interface GroupJson {
  traces: number;
  read: number;
  whole: FiguresJson;
}
/**
 * Figures of an operation in one group.
 */
export interface OperationFiguresJson {
  count: number;
  rate: number | null;
  errors: number;
  refused: number;
  p50: number | null;
  p95: number | null;
  p99: number | null;
  perTrace: number;
}
/**
 * An operation in both groups; None where it does not occur.
 */
export interface OperationJson {
  service: string;
  operation: string;
  a: OperationFiguresJson | null;
  b: OperationFiguresJson | null;
}
/**
 * Both groups; the operation whose time per trace differs most comes first.
 */
export interface GroupsComparedJson {
  a: GroupJson;
  b: GroupJson;
  operations: OperationJson[];
  left_out: number;
}
/**
 * A version of a service, when telemetry of it first and last came (µs), and from how many instances.
 *
 * `isNew` is whether another version of the service was there before; else it is the oldest that is known.
 */
export interface VersionJson {
  service: string;
  version: string;
  first: number;
  last: number;
  instances: number;
  isNew: boolean;
}
