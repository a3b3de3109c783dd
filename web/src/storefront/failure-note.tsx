import type { ComponentChildren } from "preact";
import { TraceLink } from "./trace-link.tsx";
import type { Failure } from "./api.ts";
import { advice } from "./words.ts";
import "./failure-note.css";

interface Props {
  title: string;
  failure: Failure;
  retry?: () => Promise<void>;
  children?: ComponentChildren;
}

/** What went wrong and what to do, with commands set as such. */
export function FailureNote({ title, failure, retry, children }: Props) {
  return (
    <div class="failure" role="alert">
      <h3>{title}</h3>
      <p>
        {advice(failure)
          .split("`")
          .map((text, index) => (index % 2 ? <code key={index}>{text}</code> : text))}
      </p>
      {children}
      {failure.problem?.trace_id && <TraceLink id={failure.problem.trace_id} />}
      {retry && (
        <button type="button" class="button small" onClick={() => void retry()}>
          Try again
        </button>
      )}
    </div>
  );
}
