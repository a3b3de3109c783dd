// The read API: its answers' shapes and a hook that asks, again and again where a view is live.
import { signal } from "@preact/signals";
import { useLayoutEffect, useState } from "preact/hooks";
import type { TagValue } from "../trace/trace.ts";

export interface Summary {
  traceID: string;
  service: string;
  operation: string;
  startTime: number;
  duration: number;
  spans: number;
  errors: number;
  services: string[];
}
export interface Log {
  timestamp: number;
  service: string;
  level: string;
  body: string;
  trace_id: string;
  span_id: string;
  attributes: Record<string, unknown>;
  logger: string;
}
export interface Instrument {
  name: string;
  type: "sum" | "gauge" | "histogram" | "exponential_histogram" | "summary";
  unit: string;
  description: string;
  monotonic: boolean | null;
  services: string[];
  attributes: string[];
}
export interface Series {
  attributes: Record<string, TagValue>;
  points: [number, number | null][];
  exemplars: { timestamp: number; value: number | null; trace_id: string; span_id: string }[];
}
export interface HeatStep {
  time: number;
  buckets: [number | null, number | null, number][];
}
/** Rates per second, `errors` a share of 1, percentiles in µs. */
export interface Requests {
  count: number;
  rate: number;
  errors: number;
  p50: number | null;
  p95: number | null;
  p99: number | null;
}
export interface ServiceMap {
  services: (Requests & { service: string })[];
  calls: (Requests & { parent: string; child: string })[];
}
export interface ServiceDetail {
  operations: (Requests & { operation: string })[];
  points: (Requests & { time: number })[];
  slowest: { traceID: string; operation: string; startTime: number; duration: number; failed: boolean }[];
}

export const LEVELS = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"] as const;
export const POLL_MS = 2000;
/** Characters of an answer that is asked for half as often: to take in a long one is felt. */
const LONG = 500_000;

/** Whether the views follow what arrives. */
export const live = signal(true);

export class ApiError extends Error {
  readonly status: number;
  constructor(message: string, status: number) {
    super(message);
    this.status = status;
  }
}

/** The body of an answer, as text; throws ApiError with what to do. */
export async function ask(path: string, init: RequestInit = {}): Promise<string> {
  const response = await fetch(path, init).catch((error: unknown) => {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError("The explorer's server does not respond. Is it still running?", 0);
  });
  const text = await response.text();
  if (!response.ok) throw new ApiError(messageOf(text) || `${path} answers ${response.status}`, response.status);
  return text;
}

function messageOf(text: string): string {
  try {
    const body = JSON.parse(text) as { errors?: { msg: string }[]; message?: string };
    return body.errors?.[0]?.msg ?? body.message ?? "";
  } catch {
    return "";
  }
}

export const getData = async <T>(path: string, signal?: AbortSignal): Promise<T> =>
  (JSON.parse(await ask(path, signal ? { signal } : {})) as { data: T }).data;

export interface Query<T> {
  /** Of an earlier address until the answer is there; see `path`. */
  data: T | undefined;
  error: ApiError | undefined;
  path: string | null;
}

/** What `path` answers, asked again every `every` ms (0: once) while the page is looked at. */
export function useQuery<T>(path: string | null, every = 0): Query<T> {
  const [state, setState] = useState<Query<T>>({ data: undefined, error: undefined, path: null });
  // Not useEffect: that would ask only once the empty page is painted.
  useLayoutEffect(() => {
    if (path === null) return;
    const abort = new AbortController();
    let timer = 0;
    let before: string | undefined;
    const run = async (): Promise<void> => {
      try {
        if (document.hidden && before !== undefined) return;
        const text = await ask(path, { signal: abort.signal });
        if (text === before) return;
        before = text;
        setState({ data: (JSON.parse(text) as { data: T }).data, error: undefined, path });
      } catch (error) {
        if (abort.signal.aborted) return;
        before = undefined;
        setState((old) => ({ data: old.path === path ? old.data : undefined, error: error as ApiError, path }));
      } finally {
        if (every && !abort.signal.aborted) timer = setTimeout(() => void run(), every * (1 + (before?.length ?? 0) / LONG));
      }
    };
    void run();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [path, every]);
  return state;
}
