import { useQuery } from "./api.ts";
import { nowUs, range } from "./now.ts";
import type { Params } from "./router.ts";
import { timeParams, widthOf } from "./time-range.ts";

export interface ChartTime {
  params: Params;
  /** Seconds from point to point. */
  step: number;
}

const DAY = 86_400e6;

/**
 * The time that charts show, in about `steps` steps of `least` seconds or more. All time begins with what is stored: null until
 * that is known.
 */
export function useChartTime(steps: number, least: number): ChartTime | null {
  const width = widthOf(range.value);
  const stats = useQuery<{ oldest?: number | null }>(width === null ? "/api/stats" : null);
  const stepOf = (us: number): number => Math.max(least, Math.ceil(us / 1e6 / steps));
  if (width !== null) return { params: timeParams(range.value), step: stepOf(width) };
  if (!stats.data) return null;
  const oldest = stats.data.oldest ?? nowUs() - DAY; // nothing is stored yet
  return { params: { start: String(oldest) }, step: stepOf(nowUs() - oldest) };
}
