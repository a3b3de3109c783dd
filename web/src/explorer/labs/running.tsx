import { useEffect, useState } from "preact/hooks";
import { number } from "../../shared/format.ts";
import { FixCard } from "./fix-card.tsx";
import type { Act } from "./labs.tsx";
import type { Attempt } from "./labs-api.ts";
import { Prose } from "./prose.tsx";
import { OneQuestion } from "./question.tsx";

interface Props {
  attempt: Attempt;
  isBusy: boolean;
  act: Act;
}

/** The lab that is on: what happened, the questions, and beside them clock, points, hints and the fix. */
export function Running({ attempt, isBusy, act }: Props) {
  return (
    <div class="lab">
      <div class="lab-main">
        <header class="page-head">
          <h1>{attempt.title}</h1>
        </header>
        <section class="card lab-part" aria-label="What happened">
          <Prose text={attempt.story.replace(/^# .*\n/, "")} />
        </section>
        {attempt.debrief && (
          <section class="card lab-part" aria-label="Debrief">
            <Prose text={attempt.debrief} />
            {attempt.fix && (
              <p>
                It is fixed by <code>{attempt.fix}</code>.
              </p>
            )}
          </section>
        )}
        <ol class="questions" aria-label="Questions">
          {attempt.questions.map((question) => (
            <OneQuestion key={question.key} attempt={attempt} question={question} isBusy={isBusy} act={act} />
          ))}
        </ol>
      </div>
      <aside class="lab-side" aria-label="State of the lab">
        <Score attempt={attempt} />
        {attempt.fixable && <FixCard attempt={attempt} isBusy={isBusy} act={act} />}
        {!attempt.solved && <Hints attempt={attempt} isBusy={isBusy} act={act} />}
        <End attempt={attempt} isBusy={isBusy} act={act} />
      </aside>
    </div>
  );
}

function Score({ attempt }: { attempt: Attempt }) {
  const { parts, hints } = attempt;
  return (
    <section class="card lab-part" aria-label="Time and points">
      <p class="clock">
        <Clock attempt={attempt} />
      </p>
      <table class="points">
        <tbody>
          {Object.entries(parts).map(([part, { earned, possible }]) => (
            <tr key={part}>
              <th scope="row">{part}</th>
              <td>
                <span class="bar-track" aria-hidden="true">
                  <span class="bar" style={{ width: `${(100 * earned) / possible}%` }} />
                </span>
              </td>
              <td class="number">
                {number(Math.round(earned))} of {number(Math.round(possible))}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      <p>
        <b>{attempt.score} points</b>
        {hints.read.length > 0 && <span class="muted">, less {hints.cost * hints.read.length} for hints</span>}
      </p>
    </section>
  );
}

function Clock({ attempt }: { attempt: Attempt }) {
  const [at, setAt] = useState(Date.now() / 1000);
  useEffect(() => {
    const timer = setInterval(() => setAt(Date.now() / 1000), 1000);
    return () => clearInterval(timer);
  }, []);
  const left = Math.max(0, Math.round((attempt.ends_at - at) / 60));
  return (
    <>
      <b role="timer" aria-label="Time since the start">
        {minutes(at - attempt.started)}
      </b>{" "}
      <span class="muted">
        of {attempt.minutes} min; it ends by itself in {left} min
      </span>
    </>
  );
}

/** Seconds -> `4:07`. */
function minutes(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

function Hints({ attempt, isBusy, act }: Props) {
  const { read, of, cost } = attempt.hints;
  return (
    <section class="card lab-part" aria-label="Hints">
      <h2>Hints</h2>
      {read.map((hint, i) => (
        <Prose key={i} text={hint} level={3} />
      ))}
      {read.length < of ? (
        <button type="button" class="button small" disabled={isBusy} onClick={() => void act("hint")}>
          Show hint {read.length + 1} of {of}, for {cost} points
        </button>
      ) : (
        <p class="muted">There is no further hint.</p>
      )}
    </section>
  );
}

function End({ attempt, isBusy, act }: Props) {
  const [isSure, setSure] = useState(false);
  return (
    <section class="card lab-part lab-end" aria-label="The end">
      {!attempt.solved &&
        (isSure ? (
          <button type="button" class="button small" disabled={isBusy} onClick={() => void act("solve")}>
            Show it: the points stay as they are
          </button>
        ) : (
          <button type="button" class="button small" disabled={isBusy} onClick={() => setSure(true)}>
            Show the solution
          </button>
        ))}
      <button type="button" class="button small" disabled={isBusy} onClick={() => void act("stop")}>
        End the lab
      </button>
    </section>
  );
}
