// Which questions want a span or a trace, and how one gets into the answer.
import type { Attempt, Question } from "./labs-api.ts";

/** What wants the id of a trace, and what the id of a span with it. */
const OF_A_TRACE: readonly string[] = ["order", "two-traces", "unfinished", "untraced"];
const OF_SPANS: readonly string[] = ["span", "two-spans"];

/** The questions for which a span or its trace is evidence, and that have no right answer yet. */
export const openQuestions = (attempt: Attempt): Question[] =>
  attempt.questions.filter(({ key, kind }) => [...OF_A_TRACE, ...OF_SPANS].includes(kind) && !attempt.answers[key]?.right);

/** The answer to a question with one more span in it; one that is complete begins again. */
export function withEvidence(kind: Question["kind"], before: string, traceId: string, spanId: string): string {
  const isPair = kind === "two-spans" || kind === "two-traces";
  const piece = OF_A_TRACE.includes(kind) ? traceId : `${traceId} ${spanId}`;
  const length = piece.split(" ").length;
  const known = before.split(/\s+/).filter(Boolean);
  return isPair && known.length === length ? [...known, piece].join(" ") : piece;
}
