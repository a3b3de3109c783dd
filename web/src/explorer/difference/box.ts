// A part of the scatter that was chosen: `box` in the address, as the read API takes it.
import { time } from "../../shared/format.ts";
import { betweenParams } from "../common/time-range.ts";
import { NO_OLD_FILTERS, withoutBounds, withTerm } from "../common/query-terms.ts";
import type { Params } from "../common/router.ts";
import { goDuration } from "../common/words.ts";

/** Times and durations in µs. */
interface Area {
  from: number;
  to: number;
  low: number;
  high: number;
}
export interface Box extends Area {
  text: string;
}

/** An area that was dragged over, for the address; what is at `floor` (µs) or below it took any shorter time too. */
export const boxParam = ({ from, to, low, high }: Area, floor: number): string =>
  [from, to, low <= floor ? 0 : low, high].map((value) => Math.round(Math.max(0, value))).join();

export function boxOf(text: string): Box | null {
  if (!/^\d{1,19}(,\d{1,19}){3}$/.test(text)) return null;
  const [from, to, low, high] = text.split(",").map(Number) as [number, number, number, number];
  return { from, to, low, high, text };
}

/** The same as a search: what the address has to say to show these alone. */
export function boxSearch({ from, to, low, high }: Box, query: string): Params {
  let q = withTerm(withoutBounds(query, "total"), `total<=${goDuration(high)}`);
  if (low > 0) q = withTerm(q, `total>=${goDuration(low)}`);
  return { ...NO_OLD_FILTERS, q, ...betweenParams(from, to), box: null };
}

export const betweenText = ({ from, to }: Area): string => {
  const digits = to - from < 10e6 ? 3 : 0;
  return `${time(from, digits)} to ${time(to, digits)}`;
};
