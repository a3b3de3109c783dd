import { useEffect, useMemo, useState } from "preact/hooks";
import { ago, duration, plural, time } from "../../shared/format.ts";
import { serviceColor } from "../common/service-color.ts";
import { type Log, POLL_MS, useQuery } from "../common/api.ts";
import { Comparison } from "../compare/comparison.tsx";
import { Empty, Failure, Icon, ICONS, Service, Tabs } from "../common/parts.tsx";
import { address, setParams, traceLink, url } from "../common/router.ts";
import { SpanDetails } from "./span-details.tsx";
import { title } from "../common/titles.ts";
import { TraceLog } from "./trace-log.tsx";
import {
  type Bottleneck,
  bottleneck,
  type CriticalPath,
  criticalPath,
  isFailed,
  type JaegerTrace,
  kindOf,
  readTrace,
  total,
  type Trace,
} from "./trace-tree.ts";
import { Waterfall } from "./waterfall.tsx";
import { notesOf } from "./waterfall-rows.ts";
import "./trace-page.css";

const STILL_ARRIVING_MS = 60_000;

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
  const asked = useQuery<JaegerTrace[]>(address("/api/traces", { traceID: traceId }), every);
  const logs = useQuery<Log[]>(address("/api/logs", { trace_id: traceId, limit: "10000" }), every);
  const trace = useMemo(() => (asked.data?.[0] ? readTrace(asked.data[0]) : null), [asked.data]);
  useEffect(() => {
    if (!trace) return;
    const timer = setTimeout(() => setOld(true), Math.max(0, trace.end / 1000 + STILL_ARRIVING_MS - Date.now()));
    return () => clearTimeout(timer);
  }, [trace]);
  if (trace) return <Loaded trace={trace} logs={logs.data ?? []} />;
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

function Loaded({ trace, logs }: { trace: Trace; logs: readonly Log[] }) {
  const path = useMemo(() => criticalPath(trace.root), [trace]);
  const worst = useMemo(() => bottleneck(trace.root, path), [trace, path]);
  const notes = useMemo(() => notesOf(trace, logs), [trace, logs]);
  const params = url.value.searchParams;
  const view = params.get("view") ?? "waterfall";
  const selected = trace.spans.get(params.get("span") ?? "");
  const lines = useMemo(() => [...notes.values()].flat().sort((a, b) => a.at - b.at), [notes]);
  const toView = (name: string | null): string => address(url.value.pathname, { span: params.get("span"), view: name });
  return (
    <main class="trace-page">
      <Head trace={trace} worst={worst} path={path} />
      <Tabs
        label="Views of this trace"
        current={view}
        tabs={[
          { id: "waterfall", label: "Waterfall", href: toView(null) },
          {
            id: "log",
            label: (
              <>
                Log <span class="tab-count">{lines.length}</span>
              </>
            ),
            href: toView("log"),
          },
          { id: "compare", label: "Compare", href: toView("compare") },
        ]}
      />
      <div class={`trace-body ${selected && view !== "compare" ? "with-details" : ""}`}>
        {view === "log" ? (
          <TraceLog trace={trace} notes={lines} selected={selected} />
        ) : view === "compare" ? (
          <Comparison trace={trace} with={params.get("with")} />
        ) : (
          <Waterfall trace={trace} path={path} notes={notes} worst={worst?.span} selected={selected} />
        )}
        {selected && view !== "compare" && (
          <SpanDetails key={selected.spanId} span={selected} trace={trace} path={path} notes={notes.get(selected) ?? []} />
        )}
      </div>
    </main>
  );
}

function Head({ trace, worst, path }: { trace: Trace; worst: Bottleneck | null; path: CriticalPath }) {
  const failed = [...trace.spans.values()].filter(isFailed).length;
  const odd = [...trace.spans.values()].filter((span) => span.warnings.length);
  const { root } = trace;
  return (
    <header class="trace-head">
      <div class="trace-title">
        <h1>
          <Service name={root.service} />{" "}
          <span class="clamped" title={title(root)}>
            {title(root)}
          </span>
        </h1>
        <div class="actions">
          <CopyLink />
          <a
            class="button small"
            href={`/api/traces/${trace.traceId}/otlp`}
            download={`trace-${trace.traceId}.json`}
            title="The trace with its logs as OTLP JSON, which any user can import"
          >
            <Icon path={ICONS.down} />
            Export
          </a>
        </div>
      </div>
      <p class="facts">
        <b>{duration(root.duration)}</b>
        <span>{plural(trace.spans.size, "span")}</span>
        <span>{plural(trace.services.length, "service")}</span>
        {failed > 0 && <span class="badge bad">{failed} failed</span>}
        <span title={ago(trace.start)}>{time(trace.start)}</span>
        <code class="trace-id">{trace.traceId}</code>
      </p>
      {worst && (
        <p class="bottleneck">
          <button type="button" class="clamped" onClick={() => setParams({ span: worst.span.spanId, view: null })}>
            <span class="eyebrow">Bottleneck</span> <b>{duration(worst.time)}</b> of {duration(worst.total)} in{" "}
            <b>
              {worst.service} {kindOf(worst.span) === "server" ? worst.name : title(worst.span)}
            </b>
          </button>
        </p>
      )}
      <Shares trace={trace} path={path} />
      {trace.missing.size > 0 && (
        <p class="notice">{plural(trace.missing.size, "parent span")} did not arrive (yet), so the trace shows in parts.</p>
      )}
      {trace.warnings.map((warning) => (
        <p key={warning} class="notice">
          {warning}.
        </p>
      ))}
      {odd[0] && (
        <p class="notice">
          {plural(odd.length, "span")} with a warning: <a href={traceLink(trace.traceId, odd[0].spanId)}>{odd[0].warnings[0]}</a>
        </p>
      )}
    </header>
  );
}

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
function Shares({ trace, path }: { trace: Trace; path: CriticalPath }) {
  const held = new Map<string, number>(trace.services.map((name) => [name, 0]));
  for (const [span, sections] of path) held.set(span.service, held.get(span.service)! + total(sections));
  const parts = [...held].filter(([, us]) => us > 0);
  return (
    <div class="shares" aria-label="Critical path by service" role="group">
      <div class="shares-bar" aria-hidden="true">
        {parts.map(([name, us]) => (
          <span key={name} style={{ flexGrow: us, background: serviceColor(name) }} />
        ))}
      </div>
      <ul class="shares-key">
        {[...held].map(([name, us]) => (
          <li key={name}>
            <Service name={name} isShort /> <span class="muted">{duration(us)}</span>
          </li>
        ))}
      </ul>
    </div>
  );
}
