import { useEffect, useRef, useState } from "preact/hooks";
import { type Log, useQuery } from "../common/api.ts";
import { CopyButton, Failure, Service, Time } from "../common/parts.tsx";
import { UseAsEvidence } from "../common/evidence.tsx";
import { attributeTerm, fieldTerm, withTerm } from "../common/query-terms.ts";
import { address, traceLink } from "../common/router.ts";
import { Pairs } from "../trace/span-details.tsx";
import { levelClass } from "../trace/waterfall.tsx";
import "../common/log-line.css";

const AROUND = "20";

/** A line; it opens its trace, or all that it says. */
export function LogLine({ log, query }: { log: Log; query: string }) {
  const [isOpen, setOpen] = useState(false);
  return (
    <li class={`log-line ${levelClass(log.level)} ${isOpen ? "open" : ""}`}>
      {log.trace_id ? (
        <a class="log-main" href={traceLink(log.trace_id, log.span_id)} title="Open its trace at its span">
          <LineText log={log} />
        </a>
      ) : (
        <div class="log-main">
          <LineText log={log} />
        </div>
      )}
      <button
        type="button"
        class="log-more"
        aria-expanded={isOpen}
        aria-label="Show all of the line"
        onClick={() => setOpen(!isOpen)}
      >
        <span class={`twisty ${isOpen ? "unfolded" : "folded"}`} />
      </button>
      {isOpen && <LineDetails log={log} query={query} />}
    </li>
  );
}

const LineText = ({ log }: { log: Log }) => (
  <>
    <Time at={log.timestamp} class="log-time" />
    <span class={`level ${levelClass(log.level)}`}>{log.level}</span>
    <Service name={log.service} isShort />
    <span class="log-body">
      {log.body} <Pairs pairs={Object.entries(log.attributes)} />
    </span>
  </>
);

function LineDetails({ log, query }: { log: Log; query: string }) {
  const [isInContext, setInContext] = useState(false);
  const known = [
    ["service", log.service, log.service && fieldTerm("service", log.service)],
    ["level", log.level, log.level && fieldTerm("level", log.level)],
    ["logger", log.logger, log.logger && fieldTerm("logger", log.logger)],
    ["trace", log.trace_id, log.trace_id && fieldTerm("trace", log.trace_id)],
    ["span", log.span_id, ""],
  ] as const;
  return (
    <div class="log-details">
      <p class="log-actions">
        <button type="button" class="button small" aria-pressed={isInContext} onClick={() => setInContext(!isInContext)}>
          Lines around it
        </button>
        {log.trace_id && (
          <a class="button small" href={traceLink(log.trace_id, log.span_id)}>
            Open its trace
          </a>
        )}
        <CopyButton text={log.body} name="Copy the text" label="Copy the text" />
      </p>
      {log.trace_id && log.span_id && <UseAsEvidence traceId={log.trace_id} spanId={log.span_id} />}
      {isInContext && <Context log={log} />}
      <dl class="log-values">
        {known.map(([key, value, term]) => value && <Value key={key} name={key} value={value} term={term} query={query} />)}
        <Values values={log.attributes} query={query} />
      </dl>
      {Object.keys(log.resource).length > 0 && (
        <>
          <h2 class="eyebrow">Resource</h2>
          <dl class="log-values">
            <Values values={log.resource} query={query} />
          </dl>
        </>
      )}
    </div>
  );
}

const Values = ({ values, query }: { values: Record<string, unknown>; query: string }) => (
  <>
    {Object.entries(values).map(([key, value]) => {
      const text = typeof value === "string" ? value : JSON.stringify(value);
      return <Value key={key} name={key} value={text} term={attributeTerm(key, text)} query={query} />;
    })}
  </>
);

const Value = ({ name, value, term, query }: { name: string; value: string; term: string; query: string }) => (
  <div>
    <dt>{name}</dt>
    <dd>
      {term ? (
        <a href={address("/logs", { q: withTerm(query, term) })} title={`Only lines with ${term}`}>
          {value || "(empty)"}
        </a>
      ) : (
        value
      )}{" "}
      <CopyButton text={value} name={`Copy ${name}`} />
    </dd>
  </div>
);

/** The lines before and after one, of its service or of all. */
function Context({ log }: { log: Log }) {
  const [isOfAll, setOfAll] = useState(false);
  const path = address("/api/logs/context", { id: String(log.id), before: AROUND, after: AROUND, all: isOfAll ? "1" : "" });
  const asked = useQuery<Log[]>(path);
  const list = useRef<HTMLOListElement>(null);
  useEffect(() => {
    const here = list.current?.querySelector<HTMLElement>("[aria-current]");
    if (here) list.current!.scrollTop = here.offsetTop - (list.current!.clientHeight - here.offsetHeight) / 2;
  }, [asked.data]);
  return (
    <section class="log-context" aria-label="Lines around it" aria-busy={asked.isBusy}>
      <label class="toggle">
        <input type="checkbox" checked={isOfAll} onChange={(event) => setOfAll(event.currentTarget.checked)} /> of all services
      </label>
      {asked.error && <Failure error={asked.error} />}
      <ol ref={list} tabIndex={0} aria-label="Lines, oldest first">
        {asked.data?.map((other) => (
          <li key={other.id} class={levelClass(other.level)} aria-current={other.id === log.id || undefined}>
            <span class="log-main">
              <LineText log={other} />
            </span>
          </li>
        ))}
      </ol>
    </section>
  );
}
