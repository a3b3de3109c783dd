import { useState } from "preact/hooks";
import { traceLink } from "../common/router.ts";
import { draftOf, setDraft } from "./drafts.ts";
import type { Act } from "./labs.tsx";
import type { Attempt, Question } from "./labs-api.ts";

const FORMS: Partial<Record<Question["kind"], string>> = {
  number: "a number",
  span: "trace id and span id",
  "two-spans": "trace id, span id, trace id, span id",
  "two-traces": "two trace ids",
  order: "a trace id",
  unfinished: "a trace id",
  untraced: "a trace id",
};

interface Props {
  attempt: Attempt;
  question: Question;
  isBusy: boolean;
  act: Act;
}

/** A question, the learner's answer and what is said of it. */
export function OneQuestion({ attempt, question, isBusy, act }: Props) {
  const { key, kind, ask, choices } = question;
  const given = attempt.answers[key];
  const value = draftOf(attempt.id, key) ?? given?.value ?? "";
  const [isJudged, setJudged] = useState(false);
  const isDone = given?.right === true || attempt.solved;
  const change = (text: string): void => {
    setJudged(false);
    setDraft(attempt.id, key, text);
  };
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (!value.trim() || isBusy) return;
    await act("answer", { key, value });
    setJudged(true);
  };
  const isOfThisValue = given && (isJudged || given.value === value);
  return (
    <li class="card lab-part question">
      <form onSubmit={(event) => void submit(event)}>
        <fieldset disabled={isDone}>
          <legend>
            <span class="eyebrow">{question.part}</span> {ask}
          </legend>
          {kind === "choice" ? (
            <div class="choices">
              {choices.map((choice, i) => (
                <label key={choice} class="toggle">
                  <input
                    type="radio"
                    name={key}
                    data-question={i === 0 ? key : undefined}
                    checked={choice === value}
                    onChange={() => change(choice)}
                  />{" "}
                  {choice}
                </label>
              ))}
            </div>
          ) : (
            <input
              class="input"
              data-question={key}
              aria-label={`${key}${kind in FORMS ? `, ${FORMS[kind]}` : ""}`}
              placeholder={FORMS[kind]}
              inputMode={kind === "number" ? "decimal" : undefined}
              autoComplete="off"
              spellcheck={false}
              value={value}
              onInput={(event) => change(event.currentTarget.value)}
            />
          )}
        </fieldset>
        {!isDone && (
          <button type="submit" class="button small" disabled={isBusy || !value.trim()} aria-label={`Answer ${key}`}>
            Answer
          </button>
        )}
      </form>
      <div role="status">
        {given?.right ? (
          <p class="good-text">
            <span aria-hidden="true">✓</span> Right{given.tries > 1 && `, at the ${ordinal(given.tries)} attempt`}
          </p>
        ) : (
          given && isOfThisValue && <p class="bad-text">{given.reason}</p>
        )}
      </div>
      {attempt.solved && attempt.solution[key] && (
        <p>
          Right is: <Solution text={attempt.solution[key]} />
        </p>
      )}
    </li>
  );
}

/** A right answer; a trace or a span in it is a link. */
function Solution({ text }: { text: string }) {
  const ids = text.split(" ");
  if (!ids.every((id) => /^([0-9a-f]{32}|[0-9a-f]{16})$/.test(id))) return <b>{text}</b>;
  const spans = ids.flatMap((id, i) =>
    id.length === 32 ? [[id, ids[i + 1]?.length === 16 ? ids[i + 1] : undefined] as const] : [],
  );
  return (
    <>
      {spans.map(([trace, span], i) => (
        <span key={trace + span}>
          {i > 0 && " and "}
          <a href={traceLink(trace, span)}>{span ? `the span ${span}` : `the trace ${trace.slice(0, 8)}`}</a>
        </span>
      ))}
    </>
  );
}

const ordinal = (count: number): string => ({ 2: "second", 3: "third" })[count] ?? `${count}th`;
