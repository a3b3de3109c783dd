// Written by `make api-types` from the explorer's difference.py; a test keeps it fresh.

export interface Schemas {
  DifferenceRow: DifferenceRow;
  FactJson: FactJson;
  DifferenceJson: DifferenceJson;
}
/**
 * A fact with its number of traces and share (0 to 1) in both groups, and others that are as frequent.
 */
export interface DifferenceRow {
  kind: string;
  service: string;
  key: string;
  value: string;
  query: string;
  selected: number;
  others: number;
  selectedShare: number;
  othersShare: number;
  score: number;
  sentence: string;
  alike: FactJson[];
}
/**
 * What traces have in common: `kind` is `attribute`, `operation`, `duration`, `service` or `outcome`.
 *
 * Of a duration, `key` is the operation and `value` how long it took at least. `query` finds it in
 * the query language; it is empty where the value is too long for that.
 */
export interface FactJson {
  kind: string;
  service: string;
  key: string;
  value: string;
  query: string;
}
/**
 * What the selected traces have more often than the others; the most telling first.
 *
 * `selected` and `others` are how many there are, `selectedRead` and `othersRead` how many were read. `noun` names the
 * selected ones, `note` says what was read or why nothing can be said.
 */
export interface DifferenceJson {
  noun: string;
  selected: number;
  others: number;
  selectedRead: number;
  othersRead: number;
  tested: number;
  note: string;
  rows: DifferenceRow[];
}
