// Which time the views are of, and whether they follow what arrives.
import { computed, effect, signal } from "@preact/signals";
import { isUtc } from "../../shared/format.ts";
import { setParams, url } from "./router.ts";
import { ALL, betweenParams, neighbor, rangeOf } from "./time-range.ts";

/** Views whose content has no time: one trace has its own, and an exercise is now. */
const TIMELESS = /^\/(trace\/|labs$)/;
/** What a view shows when its address names no time: charts over all times would cost much and tell little. */
const USUAL: Record<string, string> = { services: "15m", metrics: "15m" };

/** Whether the view of this address has a time at all: one trace has its own. */
export const hasTime = computed(() => !TIMELESS.test(url.value.pathname));
export const range = computed(() => rangeOf(url.value.searchParams, USUAL[url.value.pathname.split("/")[1]!] ?? ALL));
export const nowUs = (): number => Date.now() * 1000;

const isWanted = signal(true);
const isFixed = computed(() => hasTime.value && range.value.kind === "between");
/** Whether the views follow what arrives: never while they show a time that was chosen. */
export const live = computed(() => isWanted.value && !isFixed.value);

/** Pause, or follow what arrives; of a time that was chosen, back to the usual one. */
export function toggleLive(): void {
  const isLive = live.value;
  isWanted.value = !isLive;
  if (!isLive && isFixed.value) setParams({ start: null, end: null }, false);
}

export const showBetween = (start: number, end: number): void => setParams(betweenParams(start, end), false);

/** Show the time of the same length before (-1) or after (1), if there is one. */
export function showNeighbor(direction: -1 | 1): void {
  const bounds = neighbor(range.value, direction, nowUs());
  if (hasTime.value && bounds) showBetween(...bounds);
}

effect(() => {
  isUtc.value = url.value.searchParams.get("utc") === "1";
});
