import { useEffect, useReducer, useState } from "preact/hooks";
import { POLL_MS, useQuery } from "../common/api.ts";
import { Failure } from "../common/parts.tsx";
import { url } from "../common/router.ts";
import { Catalog } from "./catalog.tsx";
import { act, messageOf, NOW, type Now } from "./labs-api.ts";
import { Running } from "./running.tsx";
import "./labs.css";

/** Do something in the labs, and look immediately what has become of it. */
export type Act = (what: string, body?: Record<string, unknown>) => Promise<void>;

/** The lab that is on, or those that one can start. */
export function Labs() {
  const [count, look] = useReducer((n: number) => n + 1, 0);
  const { data: now, error } = useQuery<Now>(`${NOW}?n=${count}`, POLL_MS);
  const [problem, setProblem] = useState("");
  const [isPosting, setPosting] = useState(false);
  const doing: Act = async (what, body) => {
    setPosting(true);
    setProblem("");
    try {
      await act(what, body);
    } catch (failure) {
      setProblem(messageOf(failure));
    }
    setPosting(false);
    look(undefined);
  };
  const attempt = now?.attempt;
  // The answer of a question that was opened from a span is where one wants to be.
  const question = url.value.searchParams.get("question");
  useEffect(() => {
    if (attempt && question) document.querySelector<HTMLElement>(`[data-question="${CSS.escape(question)}"]`)?.focus();
  }, [attempt?.id, question]);
  const isBusy = isPosting || !!now?.doing;
  return (
    <main class="page labs">
      {error && <Failure error={error} />}
      {!now && !error && <p class="loading">Loading …</p>}
      {now && (
        <div role="status" class="labs-state">
          {now.doing ? <p class="notice">{now.doing}</p> : now.said && <p class="notice">{now.said}</p>}
        </div>
      )}
      {(problem || now?.problem) && (
        <p class="failure" role="alert">
          {problem || now?.problem}
        </p>
      )}
      {attempt ? (
        <Running attempt={attempt} isBusy={isBusy} act={doing} />
      ) : (
        now && <Catalog now={now} isBusy={isBusy} act={doing} />
      )}
    </main>
  );
}
