// What of a trace is shown, as the address has it: filters, what is folded, the zoom. Times are µs.
import type { Params } from "../common/router.ts";
import type { Section, Span, Trace } from "./trace.ts";

export interface Filter {
  /** Only spans that failed or were refused. */
  isErrors: boolean;
  /** Spans take at least this long. */
  least: number;
  /** `service:…` and `library:…` (an instrumentation library, which OTLP calls a scope) that are left out. */
  hidden: readonly string[];
}

export const libraryOf = (span: Span): string => String(span.tags["otel.scope.name"] ?? "");

export const filterOf = (params: URLSearchParams): Filter => ({
  isErrors: params.get("errors") === "1",
  least: microseconds(params.get("least") ?? "") ?? 0,
  hidden: params.getAll("hide"),
});

/** Whether a span passes; null where every span does. */
export function passes({ isErrors, least, hidden }: Filter): ((span: Span) => boolean) | null {
  if (!isErrors && !least && !hidden.length) return null;
  const left = new Set(hidden);
  return (span) =>
    (!isErrors || span.failed || span.refused) &&
    span.duration >= least &&
    !left.has(`service:${span.service}`) &&
    !left.has(`library:${libraryOf(span)}`);
}

const UNITS: Record<string, number> = { us: 1, µs: 1, "": 1e3, ms: 1e3, s: 1e6, m: 60e6, min: 60e6 };

/** `1.5ms`, `2 s`; a bare number is milliseconds. Null for anything else. */
export function microseconds(text: string): number | null {
  const [, figures, unit] = /^\s*(\d+(?:\.\d+)?)\s*([a-zµ]*)\s*$/.exec(text) ?? [];
  const scale = UNITS[unit ?? "?"];
  return figures && scale ? Number(figures) * scale : null;
}

/** Which rows are folded: as it is at first, all or none, and then those that were changed by hand. */
export interface Folds {
  base: "" | "all" | "none";
  changed: readonly string[];
}

export function foldsOf(params: URLSearchParams): Folds {
  const base = params.get("fold");
  return { base: base === "all" || base === "none" ? base : "", changed: params.getAll("flip") };
}

/** The folds with some rows the other way. */
export function flipped({ changed }: Folds, keys: readonly string[]): Params {
  const next = new Set(changed);
  for (const key of keys) if (!next.delete(key)) next.add(key);
  return { flip: [...next] };
}

/** The part of the trace that is looked at, null for all of it; in the address it counts from the trace's start. */
export function zoomOf(params: URLSearchParams, trace: Trace): Section | null {
  const [, from, to] = /^(\d+)-(\d+)$/.exec(params.get("zoom") ?? "") ?? [];
  const start = trace.start + Number(from);
  const end = Math.min(trace.end, trace.start + Number(to));
  return start < end ? [start, end] : null;
}

export const wholeOf = (trace: Trace): Section => [trace.start, Math.max(trace.end, trace.start + 1)];

/** A zoom as the address has it: none where it is the whole trace. */
export function zoomParam(trace: Trace, zoom: Section | null): Params {
  if (!zoom) return { zoom: null };
  const [first, last] = wholeOf(trace);
  const from = Math.max(first, Math.floor(zoom[0]));
  const to = Math.min(last, Math.max(from + 1, Math.ceil(zoom[1])));
  return { zoom: from <= first && to >= last ? null : `${from - first}-${to - first}` };
}

/** A window of `factor` times the length around the same middle, inside the trace. */
export function scaled(trace: Trace, [from, to]: Section, factor: number): Section {
  const [first, last] = wholeOf(trace);
  const length = Math.min(last - first, Math.max(1, (to - from) * factor));
  const start = Math.min(last - length, Math.max(first, (from + to - length) / 2));
  return [start, start + length];
}

/** The window a share of its length later (or earlier), inside the trace. */
export function moved(trace: Trace, [from, to]: Section, share: number): Section {
  const [first, last] = wholeOf(trace);
  const start = Math.min(last - (to - from), Math.max(first, from + (to - from) * share));
  return [start, start + (to - from)];
}

export const NO_FILTER: Params = { errors: null, least: null, hide: null };

/** The waterfall with the spans of one operation as what is found, none of them filtered. */
export const selecting = (operation: string): Params => ({
  ...NO_FILTER,
  ...{ view: null, span: null, frame: null, find: null, zoom: null },
  op: operation,
});
