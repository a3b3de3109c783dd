// The answers of `/api/labs`, and what one can do there.
import { ApiError, ask } from "../common/api.ts";

export interface LabSummary {
  name: string;
  title: string;
  minutes: number;
  lessons: string[];
  story: string;
  best: number | null;
}
export interface Question {
  key: string;
  part: string;
  ask: string;
  kind: "choice" | "text" | "number" | "span" | "two-spans" | "two-traces" | "order" | "unfinished" | "untraced" | "two-instances";
  choices: string[];
}
export interface Given {
  value: string;
  right: boolean;
  reason: string;
  tries: number;
}
interface Summary {
  id: string;
  lab: string;
  /** Seconds since 1970. */
  started: number;
  answers: Record<string, Given>;
  fixed: boolean;
  solved: boolean;
  score: number;
  parts: Record<string, { earned: number; possible: number }>;
}
export interface Attempt extends Summary {
  title: string;
  minutes: number;
  /** Seconds since 1970. */
  ends_at: number;
  /** These and the hints and the debrief are Markdown. */
  story: string;
  questions: Question[];
  hints: { read: string[]; of: number; cost: number };
  fixable: boolean;
  solution: Record<string, string>;
  fix: string;
  debrief: string;
}
export interface Now {
  attempt: Attempt | null;
  /** What else is on, so that no lab can start. */
  other: string;
  last: (Summary & { finished: boolean }) | null;
  /** What is under way; else what the last one has to say, or its problem. */
  doing: string;
  said: string;
  problem: string;
}

export const NOW = "/api/labs/now";

/** Do something in the labs; throws ApiError with what is wrong. */
export async function act(what: string, body: Record<string, unknown> = {}): Promise<void> {
  await ask(`/api/labs/${what}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
}

/** What to show of a failure. */
export const messageOf = (error: unknown): string => (error instanceof ApiError ? error.message : String(error));
