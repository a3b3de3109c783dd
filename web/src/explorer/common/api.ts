// The read API: its answers' shapes and a hook that asks, again and again where a view is live.
import { signal } from "@preact/signals";
import type { LogJson, SummaryJson } from "./search-api.ts";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { resolved } from "./time-range.ts";
import type { TagValue } from "../trace/trace.ts";

export type Summary = SummaryJson;
export type Log = LogJson;
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
/** Rates per second, none of too short a time; `errors` and `refused` are shares of 1, percentiles are in µs. */
export interface Requests {
  count: number;
  rate: number | null;
  errors: number;
  refused: number;
  p50: number | null;
  p95: number | null;
  p99: number | null;
}
/** What services call that sends no spans: `kind` is database, cache, messaging, rpc, http or other. */
export interface Dependency extends Requests {
  id: string;
  kind: string;
  system: string;
  name: string;
  address: string;
  /** Finds its calls. */
  query: string;
  callers: (Requests & { service: string })[];
}
export interface ServiceMap {
  services: (Requests & { service: string })[];
  calls: (Requests & { parent: string; child: string })[];
  dependencies: Dependency[];
}
export interface ServiceDetail {
  operations: (Requests & { operation: string })[];
  points: (Requests & { time: number })[];
  slowest: { traceID: string; operation: string; startTime: number; duration: number; outcome: "ok" | "refused" | "failed" }[];
}

export const LEVELS = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"] as const;
export const POLL_MS = 2000;
/** Characters of an answer that is asked for half as often: to take in a long one is felt. */
const LONG = 500_000;
const MOST_ANSWERS = 30;
const NOTHING = { data: undefined, next: null };

/** Whether the server stopped responding, and when it last did (ms). */
export const isLost = signal(false);
export const heard = signal(Date.now());
/** Counts how often the server came back: what is shown is asked for again. */
const returns = signal(0);

export class ApiError extends Error {
  readonly status: number;
  /** Where in the query the problem is, from 0. */
  readonly position: number | null;
  constructor(message: string, status: number, position: number | null = null) {
    super(message);
    this.status = status;
    this.position = position;
  }
}

/** The body of an answer, as text; throws ApiError with what to do. */
export async function ask(path: string, init: RequestInit = {}): Promise<string> {
  const response = await fetch(resolved(path, Date.now() * 1000), init).catch((error: unknown) => {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    lose();
    throw new ApiError("The explorer's server does not respond. Is it still running?", 0);
  });
  const text = await response.text();
  hear();
  if (response.ok) return text;
  const problem = problemOf(text);
  throw new ApiError(problem?.msg || `${path} answers ${response.status}`, response.status, problem?.position ?? null);
}

function hear(): void {
  heard.value = Date.now();
  if (!isLost.value) return;
  isLost.value = false;
  returns.value += 1;
}

/** Not every view polls, so the server is looked for until it is back. */
function lose(): void {
  if (isLost.value) return;
  isLost.value = true;
  const look = (): void => {
    if (isLost.value) void fetch("/healthz").then(hear, () => setTimeout(look, POLL_MS));
  };
  setTimeout(look, POLL_MS);
}

function problemOf(text: string): { msg: string; position?: number } | null {
  try {
    const body = JSON.parse(text) as { errors?: { msg: string; position?: number }[]; message?: string };
    return body.errors?.[0] ?? { msg: body.message ?? "" };
  } catch {
    return null;
  }
}

interface Answer<T> {
  data: T;
  /** Continues a list that is cut. */
  next?: string | null;
}

export const getAnswer = async <T>(path: string, signal?: AbortSignal): Promise<Answer<T>> =>
  JSON.parse(await ask(path, signal ? { signal } : {})) as Answer<T>;

export const getData = async <T>(path: string, signal?: AbortSignal): Promise<T> => (await getAnswer<T>(path, signal)).data;

export interface Query<T> {
  /** Of an earlier address until the answer is there: then `isBusy`. */
  data: T | undefined;
  /** Continues a list that is cut. */
  next: string | null;
  error: ApiError | undefined;
  /** Of which address `data` and `error` are. */
  path: string | null;
  isBusy: boolean;
}
type State<T> = Omit<Query<T>, "isBusy">;

/** The last answers, so that a view that is gone back to is there immediately, at its place. */
const answers = new Map<string, string>();

function keep(path: string, text: string): void {
  answers.delete(path);
  if (text.length < LONG) answers.set(path, text);
  const [oldest] = answers.keys();
  if (answers.size > MOST_ANSWERS) answers.delete(oldest!);
}

function stateOf<T>(path: string | null): State<T> {
  const text = path === null ? undefined : answers.get(path);
  return text === undefined ? { ...NOTHING, error: undefined, path: null } : read(text, path!);
}

function read<T>(text: string, path: string): State<T> {
  const { data, next = null } = JSON.parse(text) as Answer<T>;
  return { data, next, error: undefined, path };
}

/** What `path` answers, asked again every `every` ms (0: once) while the page is looked at. */
export function useQuery<T>(path: string | null, every = 0): Query<T> {
  const [state, setState] = useState<State<T>>(() => stateOf(path));
  const returned = returns.value;
  const lastReturned = useRef<number | null>(null);
  // Not useEffect: that would ask only once the empty page is painted.
  useLayoutEffect(() => {
    if (path === null) return;
    if (state.path !== path && answers.has(path)) setState(stateOf(path));
    const abort = new AbortController();
    let timer = 0;
    let before: string | undefined;
    const run = async (): Promise<void> => {
      try {
        if (document.hidden && before !== undefined) return;
        const text = await ask(path, { signal: abort.signal });
        if (text === before) return;
        before = text;
        keep(path, text);
        setState(read(text, path));
      } catch (error) {
        if (abort.signal.aborted) return;
        before = undefined;
        setState((old) => ({ ...(old.path === path ? old : NOTHING), error: error as ApiError, path }));
      } finally {
        if (every && !abort.signal.aborted) timer = setTimeout(() => void run(), every * (1 + (before?.length ?? 0) / LONG));
      }
    };
    // To pause is not to ask once more.
    const isPaused = !every && state.path === path && lastReturned.current === returned;
    lastReturned.current = returned;
    if (!isPaused) void run();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [path, every, returned]);
  return { ...state, isBusy: path !== null && state.path !== path };
}
