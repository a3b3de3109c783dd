// Two traces of the same operation side by side: alike spans at the same place in the tree are one line.
import { endOf, type Span, type Trace } from "../trace/trace.ts";

/** `own` is the time (µs) in which none of a span's children ran. */
export interface Side {
  spans: number;
  duration: number;
  own: number;
}
export interface Line {
  service: string;
  name: string;
  depth: number;
  here: Side;
  there: Side;
}

export function compare(here: Trace, there: Trace): Line[] {
  const root: Node = { line: null, children: new Map() };
  merge(root, here, "here");
  merge(root, there, "there");
  const lines: Line[] = [];
  const stack = [...root.children.values()].reverse();
  for (let node = stack.pop(); node; node = stack.pop()) {
    lines.push(node.line!);
    stack.push(...[...node.children.values()].reverse());
  }
  return lines;
}

export const growth = (line: Line): number => line.here.duration - line.there.duration;
export const ownGrowth = (line: Line): number => line.here.own - line.there.own;

interface Node {
  line: Line | null;
  children: Map<string, Node>;
}

function merge(root: Node, trace: Trace, side: "here" | "there"): void {
  const nodes = new Map<Span, Node>();
  for (const span of trace.spans) {
    const { service, title: name, depth } = span;
    const parent = (span.parent && nodes.get(span.parent)) ?? root;
    const key = JSON.stringify([service, name]);
    let node = parent.children.get(key);
    if (!node) {
      node = { line: { service, name, depth, here: nothing(), there: nothing() }, children: new Map() };
      parent.children.set(key, node);
    }
    const sum = node.line![side];
    sum.spans += 1;
    sum.duration += span.duration;
    sum.own += ownTime(span);
    nodes.set(span, node);
  }
}

const nothing = (): Side => ({ spans: 0, duration: 0, own: 0 });

export function ownTime(span: Span): number {
  let own = span.duration;
  let cursor = span.start;
  for (const child of span.children) {
    const from = Math.max(cursor, child.start);
    const to = Math.min(endOf(span), endOf(child));
    if (to > from) own -= to - from;
    cursor = Math.max(cursor, to);
  }
  return own;
}
