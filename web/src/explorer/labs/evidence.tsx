import { useState } from "preact/hooks";
import { useQuery } from "../common/api.ts";
import { address } from "../common/router.ts";
import { draftOf, setDraft } from "./drafts.ts";
import { NOW, type Now } from "./labs-api.ts";
import { openQuestions, withEvidence } from "./open-questions.ts";
import "./evidence.css";

/** Puts a span into the answer to a question of the lab that is on, of those that want one. */
export function Evidence({ traceId, spanId }: { traceId: string; spanId: string }) {
  const { data } = useQuery<Now>(NOW);
  const [used, setUsed] = useState("");
  const attempt = data?.attempt;
  const open = attempt && !attempt.solved ? openQuestions(attempt) : [];
  if (!attempt || !open.length) return null;
  return (
    <p class="evidence">
      {open.map(({ key, kind, ask }) => (
        <button
          key={key}
          type="button"
          class="button small"
          title={ask}
          onClick={() => {
            setDraft(attempt.id, key, withEvidence(kind, draftOf(attempt.id, key) ?? "", traceId, spanId));
            setUsed(key);
          }}
        >
          Use as evidence{open.length > 1 && `: ${key}`}
        </button>
      ))}
      <span role="status">
        {used && (
          <>
            It is in <a href={address("/labs", { question: used })}>the question {used}</a>.
          </>
        )}
      </span>
    </p>
  );
}
