import { useQuery } from "../common/api.ts";
import { Failure } from "../common/parts.tsx";
import { address, url } from "../common/router.ts";
import type { Act } from "./labs.tsx";
import type { LabSummary, Now } from "./labs-api.ts";
import { Prose } from "./prose.tsx";

interface Props {
  now: Now;
  isBusy: boolean;
  act: Act;
}

/** The labs, how the last one went, and a button to start each. */
export function Catalog({ now, isBusy, act }: Props) {
  const { data: labs, error } = useQuery<LabSummary[]>(`/api/labs?after=${now.last?.id ?? ""}`);
  const debrief = url.value.searchParams.get("debrief");
  const isBlocked = isBusy || now.other !== "";
  return (
    <>
      <header class="page-head">
        <h1>Labs</h1>
        <button type="button" class="button small" disabled={isBlocked} onClick={() => void act("start")}>
          Start any lab, unnamed
        </button>
      </header>
      <p class="muted labs-intro">
        Something happens to the stack, as it does in life. Find out what by its telemetry, prove it with a span or a trace, and
        repair it. A wrong attempt costs nothing and says what it overlooks.
      </p>
      {now.other && !now.doing && <p class="notice">{now.other}</p>}
      {now.last && !debrief && (
        <p class="notice">
          The last lab was <b>{now.last.lab}</b>: {now.last.score} points.{" "}
          {now.last.finished ? (
            <a href={address("/labs", { debrief: now.last.lab })}>What it was, and how to find it faster</a>
          ) : (
            "Start it again to finish it, or let it show its solution."
          )}
        </p>
      )}
      {debrief && <Debrief name={debrief} />}
      {error && <Failure error={error} />}
      <ul class="lab-list">
        {labs?.map((lab) => (
          <li key={lab.name} class="card lab-card">
            <h2>{lab.title}</h2>
            <p>{lab.story}</p>
            <p class="facts">
              <code>{lab.name}</code>
              <span>{lab.minutes} min</span>
              {lab.best !== null && <span class={`badge ${lab.best === 100 ? "good" : "info"}`}>best: {lab.best} points</span>}
            </p>
            <p class="lessons">
              {lab.lessons.map((lesson) => (
                <span key={lesson} class="badge">
                  {lesson.replaceAll("-", " ")}
                </span>
              ))}
            </p>
            <button
              type="button"
              class="button small"
              aria-label={`Start ${lab.title}`}
              disabled={isBlocked}
              onClick={() => void act("start", { name: lab.name })}
            >
              Start
            </button>
          </li>
        ))}
      </ul>
      {labs?.length === 0 && <p class="muted">There is no lab in the catalog.</p>}
    </>
  );
}

/** What a lab was; the server tells it only to one who has finished it. */
function Debrief({ name }: { name: string }) {
  const { data, error } = useQuery<string>(`/api/labs/${encodeURIComponent(name)}/debrief`);
  return (
    <section class="card lab-part" aria-label={`Debrief of ${name}`}>
      {error && <Failure error={error} />}
      {data && <Prose text={data} />}
      <p>
        <a href={address("/labs")}>Close the debrief</a>
      </p>
    </section>
  );
}
