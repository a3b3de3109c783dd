// Written by `make api-types` from the explorer's searches; a test keeps it fresh.

export interface Schemas {
  SummaryJson: SummaryJson;
  LogJson: LogJson;
  LogPoint: LogPoint;
  LogHistogram: LogHistogram;
  Facet: Facet;
  FacetValue: FacetValue;
  LogFacets: LogFacets;
  Suggestion: Suggestion;
  Suggestions: Suggestions;
}
/**
 * A trace as one line of a list; times in µs. `service` and `operation` are those of its root.
 *
 * `errors` and `refusals` are how many spans failed and were refused, `problem` is what the first of them says. While
 * the root is `awaited`, `operation` is of another span; `missing`, it may be in another system.
 */
export interface SummaryJson {
  traceID: string;
  service: string;
  operation: string;
  startTime: number;
  duration: number;
  spans: number;
  errors: number;
  refusals: number;
  problem: string;
  root: "stored" | "awaited" | "missing";
  services: string[];
}
/**
 * A log line; its time is in microseconds, integers that JavaScript cannot hold are text.
 */
export interface LogJson {
  id: number;
  timestamp: number;
  service: string;
  level: string;
  body: string;
  trace_id: string;
  span_id: string;
  attributes: {
    [k: string]: unknown;
  };
  resource: {
    [k: string]: unknown;
  };
  logger: string;
}
/**
 * How many lines of each level a step has, which begins at `time` (µs).
 */
export interface LogPoint {
  time: number;
  counts: {
    [k: string]: number;
  };
}
/**
 * The lines of a time, by step (s) and level; steps without lines are left out.
 *
 * `every` is 1 if all were counted. If every n-th was, it is n, and the counts are multiplied by it.
 */
export interface LogHistogram {
  step: number;
  every: number;
  points: LogPoint[];
}
/**
 * The most frequent values of a field or an attribute, and how many it has; `field` is what a query calls it.
 */
export interface Facet {
  field: string;
  distinct: number;
  values: FacetValue[];
}
/**
 * A value and how many lines have it.
 */
export interface FacetValue {
  value: string;
  count: number;
}
/**
 * What the lines of a time have in common. `lines` fit; `every` is as in LogHistogram.
 */
export interface LogFacets {
  lines: number;
  every: number;
  facets: Facet[];
}
/**
 * What replaces the word, and in how many traces or log lines it is, if that is known.
 */
export interface Suggestion {
  text: string;
  count: number | null;
}
export interface Suggestions {
  from: number;
  items: Suggestion[];
}
