import { useState } from "preact/hooks";
import { duration } from "../../shared/format.ts";
import { Empty, Service } from "../common/parts.tsx";
import { setParams } from "../common/router.ts";
import { Pairs } from "./span-details.tsx";
import type { Span, Trace } from "./trace.ts";
import { levelClass } from "./waterfall-row.tsx";
import type { Note } from "./waterfall-rows.ts";
import "../common/log-line.css";
import "./trace-log.css";

/** Every log line and event of a trace, of all its services, in order of time. */
export function TraceLog({ trace, notes, selected }: { trace: Trace; notes: readonly Note[]; selected: Span | undefined }) {
  const [text, setText] = useState("");
  if (!notes.length) {
    return (
      <Empty title="No log lines in this trace">
        <p>A service's log records show up here when they are sent over OTLP and written inside a span.</p>
      </Empty>
    );
  }
  const wanted = text.toLowerCase();
  const shown = notes.filter((note) => `${note.level} ${note.span.service} ${note.text}`.toLowerCase().includes(wanted));
  return (
    <section class="card trace-log-card">
      <div class="waterfall-bar">
        <input
          class="input find"
          type="search"
          data-search=""
          aria-label="Find in these lines"
          placeholder="Find in these lines"
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
        />
      </div>
      <ol class="trace-log">
        {shown.map((note, i) => (
          <li key={i} class={`${levelClass(note.level)} ${note.span === selected ? "selected" : ""}`}>
            <button type="button" onClick={() => setParams({ span: note.span.spanID })} aria-pressed={note.span === selected}>
              <span class="mono log-time">+{duration(Math.max(0, note.at - trace.start))}</span>
              <span class={`level ${levelClass(note.level)}`}>{note.level}</span>
              <Service name={note.span.service} isShort />
              <span class="log-body">
                {note.text} {note.log && <Pairs pairs={Object.entries(note.log.attributes)} />}
                <span class="log-span">in {note.span.title}</span>
              </span>
            </button>
          </li>
        ))}
      </ol>
    </section>
  );
}
