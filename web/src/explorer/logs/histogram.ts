// Log lines per step in time, one bar above the other for each level.
import { plural } from "../../shared/format.ts";
import { LEVELS } from "../common/api.ts";
import type { Cell } from "../common/chart.tsx";
import { betweenLabel } from "../common/time-range.ts";
import type { LogPoint } from "../common/search-api.ts";

const COLORS: Record<string, string> = {
  FATAL: "var(--bad)",
  ERROR: "var(--bad)",
  WARN: "var(--warn)",
  INFO: "var(--accent)",
};
const OTHER = "var(--ink-3)";

/** The worst first, then what is no level of OpenTelemetry's. */
const places = (level: string): number => LEVELS.length - 1 - (LEVELS as readonly string[]).indexOf(level);

export const colorOfLevel = (level: string): string => COLORS[level] ?? OTHER;

/** The levels that occur, the worst first. */
export const levelsOf = (points: readonly LogPoint[]): string[] =>
  [...new Set(points.flatMap((point) => Object.keys(point.counts)))].sort((a, b) => places(a) - places(b));

/** The bars, of `width` µs each; the worst level is at the bottom, where it is seen among thousands. */
export function barsOf(points: readonly LogPoint[], width: number): Cell[] {
  const levels = levelsOf(points);
  return points.flatMap(({ time, counts }) => {
    const present = levels.filter((level) => counts[level]);
    const label = [
      betweenLabel(time, time + width),
      ...present.map((level) => `${level || "no level"}  ${plural(counts[level]!, "line")}`),
    ].join("\n");
    let low = 0;
    return present.map((level): Cell => {
      const high = low + counts[level]!;
      const bar = { from: time, to: time + width, low, high, share: 1, label, name: level || "no level" };
      low = high;
      return { ...bar, count: counts[level]!, color: colorOfLevel(level) };
    });
  });
}
