import { useEffect, useMemo, useState } from "preact/hooks";
import { duration, number, plural, time } from "../../shared/format.ts";
import { serviceColor } from "../common/service-color.ts";
import { type Log, POLL_MS, useQuery } from "../common/api.ts";
import { Comparison } from "../compare/comparison.tsx";
import { Ago, Empty, Failure, Icon, ICONS, Service, Tabs } from "../common/parts.tsx";
import { address, setParams, traceLink, url, withParams } from "../common/router.ts";
import { FlameView } from "./flame-view.tsx";
import { OperationTable } from "./operation-table.tsx";
import { SpanDetails } from "./span-details.tsx";
import { TraceLog } from "./trace-log.tsx";
import { type Bottleneck, linked, type Trace, type TreeJson } from "./trace.ts";
import { Waterfall } from "./waterfall.tsx";
import { notesOf } from "./waterfall-rows.ts";
import "./trace-page.css";

const STILL_ARRIVING_MS = 60_000;
/** Whether more of a trace is expected; then it is asked for again. */
const isYoung = (trace: Trace): boolean => Date.now() < trace.end / 1000 + STILL_ARRIVING_MS;

/** What follows /trace/ in the address. */
export const TracePage = ({ traceId }: { traceId: string }) =>
  /^[0-9a-f]{1,32}$/.test(traceId) ? (
    <OneTrace traceId={traceId} />
  ) : (
    <main class="page">
      <Empty title="This is not a trace id">
        <p>
          A trace id has 32 digits, 0 to 9 and a to f. <a href="/">All traces</a>
        </p>
      </Empty>
    </main>
  );

/** One trace: what it was, where its time went, its waterfall with the logs in it. */
function OneTrace({ traceId }: { traceId: string }) {
  const [isOld, setOld] = useState(false);
  const every = isOld ? 0 : POLL_MS;
  const asked = useQuery<TreeJson[]>(address("/api/trees", { traceID: traceId }), every);
  const logs = useQuery<Log[]>(address("/api/logs", { trace_id: traceId, limit: "10000" }), every);
  const trace = useMemo(() => (asked.data?.[0] ? linked(asked.data[0]) : null), [asked.data]);
  useEffect(() => {
    if (!trace) return;
    const timer = setTimeout(() => setOld(true), Math.max(0, trace.end / 1000 + STILL_ARRIVING_MS - Date.now()));
    return () => clearTimeout(timer);
  }, [trace]);
  if (trace) return <Loaded trace={trace} logs={logs.data ?? []} isArriving={!isOld && isYoung(trace)} />;
  if (asked.data) return <NotHere traceId={traceId} />;
  return <main class="page">{asked.error ? <Failure error={asked.error} /> : <p class="loading">Loading the trace …</p>}</main>;
}

const NotHere = ({ traceId }: { traceId: string }) => (
  <main class="page">
    <Empty title="This trace is not here yet">
      <p>
        Spans arrive up to 5 s after they end, and the oldest are dropped once the store is full. This page keeps looking for{" "}
        <code>{traceId}</code>.
      </p>
      <p>
        <a href="/">All traces</a>
      </p>
    </Empty>
  </main>
);

const VIEWS_WITH_DETAILS = ["waterfall", "log"];

function Loaded({ trace, logs, isArriving }: { trace: Trace; logs: readonly Log[]; isArriving: boolean }) {
  const notes = useMemo(() => notesOf(trace, logs), [trace, logs]);
  const params = url.value.searchParams;
  const view = params.get("view") ?? "waterfall";
  const selected = VIEWS_WITH_DETAILS.includes(view) ? trace.byId.get(params.get("span") ?? "") : undefined;
  const lines = useMemo(() => [...notes.values()].flat().sort((a, b) => a.at - b.at), [notes]);
  const toView = (name: string | null): string => withParams(url.value, { view: name });
  return (
    <main class="trace-page">
      <Head trace={trace} isArriving={isArriving} />
      <Tabs
        label="Views of this trace"
        current={view}
        tabs={[
          { id: "waterfall", label: "Waterfall", href: toView(null) },
          { id: "flame", label: "Flame", href: toView("flame") },
          { id: "operations", label: "Operations", href: toView("operations") },
          {
            id: "log",
            label: (
              <>
                Log <span class="tab-count">{number(lines.length)}</span>
              </>
            ),
            href: toView("log"),
          },
          { id: "compare", label: "Compare", href: toView("compare") },
        ]}
      />
      <div class={`trace-body ${selected ? "with-details" : ""}`}>
        {view === "log" ? (
          <TraceLog trace={trace} notes={lines} selected={selected} />
        ) : view === "compare" ? (
          <Comparison trace={trace} with={params.get("with")} />
        ) : view === "operations" ? (
          <OperationTable trace={trace} />
        ) : view === "flame" ? (
          <FlameView trace={trace} />
        ) : (
          <Waterfall trace={trace} notes={notes} selected={selected} />
        )}
        {selected && <SpanDetails key={selected.spanID} span={selected} trace={trace} notes={notes.get(selected) ?? []} />}
      </div>
    </main>
  );
}

function Head({ trace, isArriving }: { trace: Trace; isArriving: boolean }) {
  const failed = trace.spans.filter((span) => span.failed).length;
  const refused = trace.spans.filter((span) => span.refused).length;
  const odd = trace.spans.filter((span) => span.warnings.length);
  const { root, bottlenecks } = trace;
  return (
    <header class="trace-head">
      <div class="trace-title">
        <h1>
          <Service name={root.service} />{" "}
          <span class="clamped" title={root.title}>
            {trace.isRooted ? root.title : isArriving ? "Still arriving …" : `${root.title} · part of a trace`}
          </span>
        </h1>
        <div class="actions">
          <CopyLink />
          <a
            class="button small"
            href={`/api/traces/${trace.traceID}/otlp`}
            download={`trace-${trace.traceID}.json`}
            title="The trace with its logs as OTLP JSON, which any user can import"
          >
            <Icon path={ICONS.down} />
            Export
          </a>
        </div>
      </div>
      <p class="facts">
        <b>{duration(root.duration)}</b>
        {isArriving && (!trace.isRooted || trace.missing.length > 0) && <span class="badge info">still arriving</span>}
        <span>{plural(trace.spans.length, "span")}</span>
        <span>{plural(trace.services.length, "service")}</span>
        {failed > 0 && <span class="badge bad">{number(failed)} failed</span>}
        {refused > 0 && <span class="badge warn">{number(refused)} refused</span>}
        <span>
          {time(trace.start)}, <Ago at={trace.start} />
        </span>
        <code class="trace-id">{trace.traceID}</code>
      </p>
      <Bottlenecks bottlenecks={bottlenecks} />
      <Shares services={trace.services} />
      {trace.missing.length > 0 && (
        <p class="notice">{plural(trace.missing.length, "parent span")} did not arrive (yet), so the trace shows in parts.</p>
      )}
      {trace.warnings.map((warning) => (
        <p key={warning} class="notice">
          {warning}.
        </p>
      ))}
      {odd[0] && (
        <p class="notice">
          {plural(odd.length, "span")} with a warning: <a href={traceLink(trace.traceID, odd[0].spanID)}>{odd[0].warnings[0]}</a>
        </p>
      )}
    </header>
  );
}

/** Where the time of the request went, the largest part first. */
function Bottlenecks({ bottlenecks }: { bottlenecks: readonly Bottleneck[] }) {
  const [worst, ...others] = bottlenecks;
  if (!worst) return null;
  return (
    <div class="bottleneck">
      <Part part={worst} title="Bottleneck" />
      {others.length > 0 && (
        <details>
          <summary>next {others.length}</summary>
          <ol>
            {others.map((part) => (
              <li key={part.span.spanID}>
                <Part part={part} />
              </li>
            ))}
          </ol>
        </details>
      )}
    </div>
  );
}

const Part = ({ part, title }: { part: Bottleneck; title?: string }) => (
  <button type="button" class="clamped" onClick={() => setParams({ span: part.span.spanID, view: null })}>
    {title && <span class="eyebrow">{title}</span>} <b>{duration(part.time)}</b> of {duration(part.total)}: <b>{part.what}</b>,{" "}
    {part.where}
  </button>
);

function CopyLink() {
  const [isCopied, setCopied] = useState(false);
  const copy = async (): Promise<void> => {
    await navigator.clipboard.writeText(location.href);
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  };
  return (
    <button type="button" class="button small" onClick={() => void copy()}>
      <Icon path={ICONS.copy} />
      <span aria-live="polite">{isCopied ? "Copied" : "Copy link"}</span>
    </button>
  );
}

/** What share of the request's time each service held. */
function Shares({ services }: Pick<Trace, "services">) {
  return (
    <div class="shares" aria-label="Critical path by service" role="group">
      <div class="shares-bar" aria-hidden="true">
        {services
          .filter(({ time }) => time > 0)
          .map(({ service, time }) => (
            <span key={service} style={{ flexGrow: time, background: serviceColor(service) }} />
          ))}
      </div>
      <ul class="shares-key">
        {services.map(({ service, time }) => (
          <li key={service}>
            <Service name={service} isShort /> <span class="muted">{duration(time)}</span>
          </li>
        ))}
      </ul>
    </div>
  );
}
