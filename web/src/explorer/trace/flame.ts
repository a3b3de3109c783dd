// A flame graph: spans that did the same below the same are one frame, as wide as their self times added up.
import { operationOf } from "./layout.ts";
import type { Span } from "./trace.ts";

export interface Frame {
  /** The first of its spans names it in the address. */
  first: Span;
  /** The self times (µs) of its spans and of all below them: so children are never wider than their parent. */
  value: number;
  self: number;
  count: number;
  failed: number;
  parent: Frame | null;
  children: Frame[];
  /** How many different frames this one stands for, each too narrow to draw; 1 for an ordinary one. */
  merged: number;
}
/** A frame in the picture: where it begins and how wide it is, as shares of 1. */
export interface Cell {
  frame: Frame;
  level: number;
  left: number;
  width: number;
}

/** Frames narrower than this share, and deeper than this many levels, are not drawn. */
const NARROWEST = 1 / 500;
const DEEPEST = 80;

/** The frames at the top. Iterative: a hostile trace may be deeper than the stack. */
export function framesOf(roots: readonly Span[]): Frame[] {
  const all: Frame[] = [];
  const stack: { parent: Frame | null; spans: readonly Span[] }[] = [{ parent: null, spans: roots }];
  for (let part = stack.pop(); part; part = stack.pop()) {
    const equal = new Map<string, Span[]>();
    for (const span of part.spans) {
      const key = operationOf(span);
      const those = equal.get(key);
      if (those) those.push(span);
      else equal.set(key, [span]);
    }
    for (const spans of equal.values()) {
      const frame = frameOf(spans, part.parent);
      all.push(frame);
      part.parent?.children.push(frame);
      const below = spans.flatMap((span) => span.children);
      if (below.length) stack.push({ parent: frame, spans: below });
    }
  }
  for (const frame of all.toReversed()) if (frame.parent) frame.parent.value += frame.value;
  for (const frame of all) frame.children.sort((a, b) => b.value - a.value);
  return all.filter((frame) => !frame.parent).sort((a, b) => b.value - a.value);
}

function frameOf(spans: readonly Span[], parent: Frame | null): Frame {
  const frame: Frame = { first: spans[0]!, value: 0, self: 0, count: spans.length, failed: 0, parent, children: [], merged: 1 };
  for (const span of spans) {
    frame.self += span.selfTime;
    frame.failed += span.failed ? 1 : 0;
  }
  frame.value = frame.self;
  return frame;
}

/**
 * What is drawn: all at the top, or one frame below those that it is in. Frames beside each other that are too narrow are
 * one, and what is below them is added up by operation. `left` is how many are still too small.
 */
export function cellsOf(top: readonly Frame[], focus: Frame | null): { cells: Cell[]; left: number } {
  const cells: Cell[] = [];
  let hidden = 0;
  const above: Frame[] = [];
  for (let frame = focus?.parent ?? null; frame; frame = frame.parent) above.unshift(frame);
  for (const [level, frame] of above.entries()) cells.push({ frame, level, left: 0, width: 1 });
  const shown = focus ? [focus] : top;
  const whole = shown.reduce((sum, frame) => sum + frame.value, 0);
  const widthOf = (frame: Frame): number => (whole ? frame.value / whole : 0);
  const stack = [{ frames: shown, level: above.length, left: 0, isMixed: false }];
  for (let part = stack.pop(); part; part = stack.pop()) {
    let { left } = part;
    const frames = part.isMixed ? byOperation(part.frames) : part.frames;
    const wide = frames.filter((frame) => widthOf(frame) >= NARROWEST);
    const narrow = frames.filter((frame) => widthOf(frame) < NARROWEST);
    const others = narrow.length > 1 ? [together(narrow, narrow.length)] : narrow;
    for (const frame of [...wide, ...others]) {
      const width = widthOf(frame);
      if (width < NARROWEST || part.level - above.length >= DEEPEST) hidden += frame.merged;
      else {
        cells.push({ frame, level: part.level, left, width });
        stack.push({ frames: frame.children, level: part.level + 1, left, isMixed: part.isMixed || frame.merged > 1 });
      }
      left += width;
    }
  }
  return { cells, left: hidden };
}

/** Frames as one; what is below them is left as it is. */
function together(frames: readonly Frame[], merged: number): Frame {
  const all: Frame = { ...frames[0]!, value: 0, self: 0, count: 0, failed: 0, children: [], merged };
  for (const frame of frames) {
    all.value += frame.value;
    all.self += frame.self;
    all.count += frame.count;
    all.failed += frame.failed;
    for (const child of frame.children) all.children.push(child);
  }
  return all;
}

/** Frames from several places, those of one operation as one. */
function byOperation(frames: readonly Frame[]): Frame[] {
  const equal = new Map<string, Frame[]>();
  for (const frame of frames) {
    const key = operationOf(frame.first);
    const those = equal.get(key);
    if (those) those.push(frame);
    else equal.set(key, [frame]);
  }
  return [...equal.values()].map((those) => together(those, 1)).sort((x, y) => y.value - x.value);
}

export function findFrame(top: readonly Frame[], spanID: string): Frame | null {
  const stack = [...top];
  for (let frame = stack.pop(); frame; frame = stack.pop()) {
    if (frame.first.spanID === spanID) return frame;
    stack.push(...frame.children);
  }
  return null;
}
