import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { duration, plural, time } from "../../shared/format.ts";
import { Icon, ICONS, Service } from "../common/parts.tsx";
import { address, setParams, traceLink } from "../common/router.ts";
import { UseAsEvidence } from "../common/evidence.tsx";
import { formatSql } from "./sql.ts";
import { type Span, type SpanEvent, type TagValue, total, type Trace } from "./trace.ts";
import { levelClass } from "./waterfall-row.tsx";
import type { Note } from "./waterfall-rows.ts";
import "../common/log-line.css";
import "./span-details.css";

const STATEMENTS = ["db.query.text", "db.statement"];
/** Shown elsewhere in the details. */
const TOLD = new Set([...STATEMENTS, "otel.status_description", "error", "span.kind"]);

interface Props {
  span: Span;
  trace: Trace;
  notes: readonly Note[];
}

/** All that one span says. */
export function SpanDetails({ span, trace, notes }: Props) {
  const { parent } = span;
  const attributes = Object.entries(span.tags);
  const resource = Object.entries(span.resource);
  const statement = String(STATEMENTS.map((key) => span.tags[key]).find(Boolean) ?? "");
  const why = String(span.tags["otel.status_description"] ?? "");
  const panel = useRef<HTMLElement>(null);
  useEffect(() => {
    if (matchMedia("(max-width: 60rem)").matches) panel.current?.focus();
  }, []);
  const close = (): void => {
    setParams({ span: null });
    document.querySelector<HTMLElement>(".waterfall")?.focus();
  };
  return (
    <aside
      class="details card"
      aria-label="Span details"
      tabIndex={-1}
      ref={panel}
      onKeyDown={(event) => event.key === "Escape" && close()}
    >
      <header>
        <h2>{span.title}</h2>
        <button type="button" class="button small quiet" aria-label="Close the details" onClick={close}>
          <Icon path={ICONS.close} />
        </button>
      </header>
      <p class="facts">
        <Service name={span.service} />
        <span class="badge">{span.kind}</span>
        {span.failed && <span class="badge bad">failed</span>}
        {span.refused && <span class="badge warn">refused</span>}
      </p>
      <UseAsEvidence traceId={trace.traceID} spanId={span.spanID} />
      <dl class="figures">
        <Figure name="Took" value={duration(span.duration)} />
        <Figure name="Started at" value={`+${duration(span.start - trace.start)}`} />
        <Figure name="On the critical path" value={duration(total(span.critical))} />
      </dl>
      {why && <p class={span.refused ? "notice" : "failure"}>{why}</p>}
      {span.shift !== 0 && (
        <p class="notice">
          Its clock is {duration(Math.abs(span.shift))} {span.shift > 0 ? "behind" : "ahead of"} its caller's; shown where it must
          have been.
        </p>
      )}
      {span.warnings.map((warning) => (
        <p key={warning} class="notice">
          {warning}
        </p>
      ))}
      {statement && (
        <Part title={span.isSql ? "SQL" : "Statement"}>
          <Statement text={statement} isSql={span.isSql} />
        </Part>
      )}
      {span.events.map((event, i) => (
        <Event key={i} event={event} start={trace.start - span.shift} />
      ))}
      {notes.some((note) => note.log) && (
        <Part title="Log lines" count={notes.filter((note) => note.log).length}>
          <ol class="detail-log">
            {notes.map(
              (note, i) =>
                note.log && (
                  <li key={i}>
                    <span class={`level ${levelClass(note.level)}`}>{note.level}</span>
                    <span class="muted mono">+{duration(Math.max(0, note.at - trace.start))}</span>
                    <span class="detail-text">{note.text}</span>
                    <Pairs pairs={Object.entries(note.log.attributes)} />
                  </li>
                ),
            )}
          </ol>
        </Part>
      )}
      <Part title="Attributes" count={attributes.length}>
        <Attributes pairs={attributes.filter(([key]) => !TOLD.has(key))} isFilter />
      </Part>
      {span.links.length > 0 && (
        <Part title="Links" count={span.links.length}>
          <ul class="links">
            {span.links.map((link) => (
              <li key={link.spanID}>
                <a href={traceLink(link.traceID, link.spanID)}>
                  {link.traceID === trace.traceID ? "a span of this trace" : "trace"} <code>{link.traceID.slice(0, 16)}…</code>
                </a>
              </li>
            ))}
          </ul>
        </Part>
      )}
      <Part title="Resource" count={resource.length} isClosed>
        <Attributes pairs={resource} isFilter />
      </Part>
      <p class="muted ids">
        Span <code>{span.spanID}</code>
        {parent && (
          <>
            {" "}
            in <a href={traceLink(trace.traceID, parent.spanID)}>{parent.title}</a>
          </>
        )}
        <br />
        {time(span.start - span.shift)} · {plural(span.children.length, "child", "children")}
      </p>
    </aside>
  );
}

const Figure = ({ name, value }: { name: string; value: string }) => (
  <div>
    <dt class="eyebrow">{name}</dt>
    <dd>{value}</dd>
  </div>
);

interface PartProps {
  title: string;
  count?: number;
  isClosed?: boolean;
  children: ComponentChildren;
}
const Part = ({ title: name, count, isClosed = false, children }: PartProps) => (
  <details class="part" open={!isClosed}>
    <summary>
      <h3>{name}</h3>
      {count !== undefined && <span class="tab-count">{count}</span>}
    </summary>
    {children}
  </details>
);

function Attributes({ pairs, isFilter = false }: { pairs: readonly [string, TagValue][]; isFilter?: boolean }) {
  if (!pairs.length) return <p class="muted">None.</p>;
  return (
    <table class="attributes">
      <tbody>
        {pairs.map(([key, value]) => (
          <tr key={key}>
            <th scope="row">{key}</th>
            <td>
              {isFilter && String(value).length < 200 ? (
                <a class="value" href={address("/", { tag: `${key}=${value}` })} title="Traces with this attribute">
                  {String(value)}
                </a>
              ) : (
                <span class="value">{String(value)}</span>
              )}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

export const Pairs = ({ pairs }: { pairs: readonly (readonly [string, unknown])[] }) => (
  <span class="pairs">
    {pairs.map(([key, value]) => (
      <span key={key} class="pair">
        <span class="pair-key">{key}</span>={typeof value === "string" ? value : JSON.stringify(value)}
      </span>
    ))}
  </span>
);

const Statement = ({ text, isSql }: { text: string; isSql: boolean }) => (
  <pre class="statement" tabIndex={0}>
    {isSql
      ? formatSql(text).map((token, i) => (
          <span key={i} class={`sql-${token.kind}`}>
            {token.text}
          </span>
        ))
      : text}
  </pre>
);

function Event({ event, start }: { event: SpanEvent; start: number }) {
  const stack = String(event.attributes["exception.stacktrace"] ?? "");
  const rest = Object.entries(event.attributes).filter(([key]) => !key.startsWith("exception."));
  const isException = event.name === "exception";
  return (
    <Part title={isException ? "Exception" : `Event: ${event.name}`}>
      <p class="muted">at +{duration(Math.max(0, event.timestamp - start))}</p>
      {isException && (
        <p class="failure">
          <b>{String(event.attributes["exception.type"] ?? "exception")}</b>
          <br />
          {String(event.attributes["exception.message"] ?? "")}
        </p>
      )}
      {stack && (
        <pre class="stack" tabIndex={0}>
          {stack}
        </pre>
      )}
      {rest.length > 0 && <Attributes pairs={rest} />}
    </Part>
  );
}
