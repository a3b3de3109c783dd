// What can be seen of thousands of sections in a bar of some hundred pixels.
import type { Section } from "./trace.ts";

/** A part of the bar, 0 to 1 of the window, and the share of it that is covered. */
export interface Stretch {
  from: number;
  to: number;
  share: number;
}

/** Sections that are drawn one by one, and cells for more of them: about one per pixel. */
export const FEW = 200;
export const CELLS = 800;
const SHADES = 8;

/**
 * The sections as they are; of many, how much of each cell they cover. Without that, slivers between calls would look
 * like one solid bar. Sections are in order of time; `withPoints` keeps those of no length.
 */
export function stretches(sections: readonly Section[], [start, end]: Section, withPoints = false): Stretch[] {
  const scale = 1 / (end - start);
  const seen: Section[] = [];
  for (const [from, to] of sections) {
    if (withPoints ? to >= start && from <= end : to > start && from < end)
      seen.push([(Math.max(from, start) - start) * scale, (Math.min(to, end) - start) * scale]);
  }
  return seen.length > FEW ? shaded(seen) : seen.map(([from, to]) => ({ from, to, share: 1 }));
}

function shaded(sections: readonly Section[]): Stretch[] {
  const covered = new Float64Array(CELLS);
  for (const [from, to] of sections) {
    for (let cell = Math.floor(from * CELLS); cell < CELLS && cell / CELLS < to; cell++) {
      covered[cell]! += Math.min(to, (cell + 1) / CELLS) - Math.max(from, cell / CELLS);
    }
  }
  const found: Stretch[] = [];
  for (const [cell, part] of covered.entries()) {
    const share = Math.ceil(Math.min(1, part * CELLS) * SHADES - 1e-6) / SHADES;
    const last = found.at(-1);
    if (last && last.share === share && last.to === cell / CELLS) last.to = (cell + 1) / CELLS;
    else if (share > 0) found.push({ from: cell / CELLS, to: (cell + 1) / CELLS, share });
  }
  return found;
}
