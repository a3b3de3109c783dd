// A part of the scatter that was chosen: `box` in the address, as the read API takes it.
import { time } from "../../shared/format.ts";
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

/** The same as filters of the list: what the address has to say to show these alone. */
export const boxFilters = ({ from, to, low, high }: Box): Params => ({
  start: String(from),
  end: String(to),
  last: null,
  min: low > 0 ? goDuration(low) : null,
  max: goDuration(high),
});

export const betweenText = ({ from, to }: Area): string => {
  const digits = to - from < 10e6 ? 3 : 0;
  return `${time(from, digits)} to ${time(to, digits)}`;
};
