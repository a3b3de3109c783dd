// What a chart shows, step by step in time: its table, and the moment that is under the pointer.
import type { Cell, Line } from "./chart.tsx";

/** All times in µs; `values` by the name of a line or of a row of cells. */
export interface Step {
  from: number;
  to: number;
  values: ReadonlyMap<string, number>;
}

/** The steps of lines, whose points are the ends of steps, or of cells; those in which nothing was measured are left out. */
export function stepsOf(lines: readonly Line[], cells: readonly Cell[], range: readonly [number, number]): Step[] {
  return lines.length ? ofLines(lines, range) : ofCells(cells);
}

/** The names of all values, in the order of their lines or of their height. */
export const namesOf = (lines: readonly Line[], cells: readonly Cell[]): string[] =>
  lines.length ? lines.map((line) => line.label) : [...new Set(cells.toSorted((a, b) => a.low - b.low).map((cell) => cell.name))];

function ofLines(lines: readonly Line[], range: readonly [number, number]): Step[] {
  const times = [...new Set(lines.flatMap((line) => line.points.map(([at]) => at)))].sort((a, b) => a - b);
  const gaps = times.slice(1).map((at, i) => at - times[i]!);
  const width = gaps.length ? Math.min(...gaps) : range[1] - range[0];
  const values = new Map(times.map((at) => [at, new Map<string, number>()]));
  for (const line of lines) {
    for (const [at, value] of line.points) if (value !== null) values.get(at)!.set(line.label, value);
  }
  return times.map((to) => ({ from: to - width, to, values: values.get(to)! })).filter((step) => step.values.size > 0);
}

function ofCells(cells: readonly Cell[]): Step[] {
  const steps = new Map<number, { from: number; to: number; values: Map<string, number> }>();
  for (const { from, to, name, count } of cells) {
    const step = steps.get(from) ?? { from, to, values: new Map<string, number>() };
    step.values.set(name, (step.values.get(name) ?? 0) + count);
    steps.set(from, step);
  }
  return [...steps.values()].sort((a, b) => a.from - b.from);
}
