// The read API's answers about log lines.

export interface HistogramPoint {
  /** The start of the step (µs). */
  time: number;
  counts: Record<string, number>;
}
export interface LogHistogram {
  /** Seconds. */
  step: number;
  /** 1 if all lines were counted; n if every n-th was, and its count multiplied. */
  every: number;
  /** Steps without lines are left out. */
  points: HistogramPoint[];
}
export interface Facet {
  /** `service`, `level`, `logger`, or the key of an attribute. */
  field: string;
  /** How many values there are; `values` has the most frequent. */
  distinct: number;
  values: { value: string; count: number }[];
}
export interface LogFacets {
  lines: number;
  every: number;
  facets: Facet[];
}
