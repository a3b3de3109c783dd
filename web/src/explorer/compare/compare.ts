// Two traces of the same operation side by side: alike spans at the same place in the tree are one line.
import { endOf, type Span, type Trace } from "../trace/trace-tree.ts";
import { title } from "../common/titles.ts";

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
  const stack: [Node, Span, number][] = trace.roots.map((span): [Node, Span, number] => [root, span, 0]).reverse();
  for (let next = stack.pop(); next; next = stack.pop()) {
    const [parent, span, depth] = next;
    const name = title(span);
    const key = JSON.stringify([span.service, name]);
    let node = parent.children.get(key);
    if (!node) {
      node = { line: { service: span.service, name, depth, here: nothing(), there: nothing() }, children: new Map() };
      parent.children.set(key, node);
    }
    const sum = node.line![side];
    sum.spans += 1;
    sum.duration += span.duration;
    sum.own += ownTime(span);
    for (let i = span.children.length - 1; i >= 0; i--) stack.push([node, span.children[i]!, depth + 1]);
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
