// The spans of a trace as its waterfall lists them: those that pass the filter with their ancestors, equal siblings together.
import type { Section, Span, Trace } from "./trace.ts";

/** Equal siblings from which they have a row of their own, and from which they are folded at first. */
export const GROUPED_FROM = 5;
export const FOLDED_FROM = 10;

/** Spans of one parent that did the same. */
export interface Group {
  key: string;
  title: string;
  first: Span;
  spans: readonly Span[];
  /** Their durations added up (µs). */
  time: number;
  failed: number;
  refused: number;
}
export type Item = Span | Group;

export interface Layout {
  /** What is listed below a span; null: at the top. */
  below: ReadonlyMap<Span | null, readonly Item[]>;
  groupOf: ReadonlyMap<Span, Group>;
  /** Spans that pass the filter, in the order of the rows. */
  order: readonly Span[];
  /** Spans that are listed only because one below them passes. */
  context: ReadonlySet<Span>;
  /** What stays unfolded when all is folded: down to where the trace first branches. */
  trunk: ReadonlySet<Span>;
}

export const isGroup = (item: Item): item is Group => "spans" in item;

/** What spans with the same words are, in the table of operations, too. */
export const operationOf = (span: Span): string => `${span.service} ${span.title}`;

export function layoutOf(trace: Trace, passes: ((span: Span) => boolean) | null): Layout {
  const listed = passes && withAncestors(trace.spans.filter(passes));
  const context = new Set(listed && passes ? [...listed].filter((span) => !passes(span)) : []);
  const below = new Map<Span | null, readonly Item[]>();
  const groupOf = new Map<Span, Group>();
  const order: Span[] = [];
  const seen = (spans: readonly Span[]): readonly Span[] => (listed ? spans.filter((span) => listed.has(span)) : spans);
  const list = (parent: Span | null, spans: readonly Span[]): readonly Item[] => {
    const items = grouped(seen(spans));
    if (items.length) below.set(parent, items);
    for (const item of items) if (isGroup(item)) for (const span of item.spans) groupOf.set(span, item);
    return items;
  };
  const stack: Item[] = [...list(null, trace.roots)].reverse();
  for (let item = stack.pop(); item; item = stack.pop()) {
    if (!isGroup(item) && !context.has(item)) order.push(item);
    const inside = isGroup(item) ? item.spans : item.children.length ? list(item, item.children) : [];
    for (let i = inside.length - 1; i >= 0; i--) stack.push(inside[i]!);
  }
  return { below, groupOf, order, context, trunk: trunkOf(trace) };
}

function withAncestors(spans: readonly Span[]): Set<Span> {
  const found = new Set<Span>();
  for (const span of spans) for (let up: Span | null = span; up && !found.has(up); up = up.parent) found.add(up);
  return found;
}

function trunkOf(trace: Trace): Set<Span> {
  const trunk = new Set([trace.root]);
  for (const span of trunk) if (span.children.length === 1) trunk.add(span.children[0]!);
  return trunk;
}

/** Siblings, of which many equal ones are a group at the place of the first. */
function grouped(siblings: readonly Span[]): readonly Item[] {
  if (siblings.length < GROUPED_FROM) return siblings;
  const equal = new Map<string, Span[]>();
  for (const span of siblings) {
    const key = `${span.kind} ${operationOf(span)}`;
    const those = equal.get(key);
    if (those) those.push(span);
    else equal.set(key, [span]);
  }
  const items: Item[] = [];
  for (const spans of equal.values()) {
    if (spans.length < GROUPED_FROM) items.push(...spans);
    else items.push(groupOf(spans));
  }
  return items.sort((a, b) => startOf(a) - startOf(b));
}

const startOf = (item: Item): number => (isGroup(item) ? item.first.start : item.start);

function groupOf(spans: readonly Span[]): Group {
  const first = spans[0]!;
  const group = { key: `${first.spanID}*`, title: first.title, first, spans, time: 0, failed: 0, refused: 0 };
  for (const span of spans) {
    group.time += span.duration;
    group.failed += span.failed ? 1 : 0;
    group.refused += span.refused ? 1 : 0;
  }
  return group;
}

/** The time that spans cover together, in order and without overlap. */
export function covered(spans: readonly Span[]): Section[] {
  const found: [number, number][] = [];
  for (const { start, duration } of spans.toSorted((a, b) => a.start - b.start)) {
    const last = found.at(-1);
    if (last && start <= last[1]) last[1] = Math.max(last[1], start + duration);
    else found.push([start, start + duration]);
  }
  return found;
}
