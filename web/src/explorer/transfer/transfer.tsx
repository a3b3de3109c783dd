// Files into the explorer, by a button or by dropping them on any view, and what came of them.
import { signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { percent, plural } from "../../shared/format.ts";
import { Icon, ICONS } from "../common/parts.tsx";
import { navigate, traceLink } from "../common/router.ts";
import { type Imported, importFile } from "./import-file.ts";
import "./transfer.css";

interface Transfer {
  id: number;
  name: string;
  /** 0 to 1. */
  done: number;
  result: Imported | null;
  problem: string;
}

const transfers = signal<readonly Transfer[]>([]);
const LINKS = 8;
let count = 0;

/** Import files one after the other. A file with one trace opens it; what came of the others is listed. */
async function importFiles(files: readonly File[]): Promise<void> {
  for (const file of files) {
    count += 1;
    let own: Transfer = { id: count, name: file.name, done: 0, result: null, problem: "" };
    const change = (part: Partial<Transfer>): void => {
      const before = own;
      own = { ...own, ...part };
      transfers.value = transfers.value.map((one) => (one === before ? own : one));
    };
    transfers.value = [...transfers.value, own];
    try {
      const result = await importFile(file, (done) => change({ done }));
      change({ done: 1, result });
      if (files.length === 1 && result.traceCount === 1) navigate(traceLink(result.traces[0]!.traceID));
    } catch (error) {
      change({ problem: (error as Error).message });
    }
  }
}

export function ImportButton() {
  const input = useRef<HTMLInputElement>(null);
  return (
    <>
      <button
        type="button"
        class="button small"
        onClick={() => input.current?.click()}
        title="OTLP JSON, the Collector's file exporter or Jaeger's JSON; or drop files on the page"
      >
        <Icon path={ICONS.up} />
        Import
      </button>
      <input
        ref={input}
        class="visually-hidden"
        type="file"
        multiple
        accept="application/json,.json,.jsonl,.ndjson,.gz"
        aria-label="Files to import"
        tabIndex={-1}
        onChange={(event) => {
          void importFiles([...(event.currentTarget.files ?? [])]);
          event.currentTarget.value = "";
        }}
      />
    </>
  );
}

/** Save what a search of the read API finds, as OTLP JSON. */
export const ExportLink = ({ href }: { href: string }) => (
  <a class="button small" href={href} download="traces.json" title="These traces with their logs as OTLP JSON">
    <Icon path={ICONS.down} />
    Export
  </a>
);

/** Takes files that are dropped on any view, and says what came of each. */
export function Transfers() {
  const [isOver, setOver] = useState(false);
  useEffect(() => {
    const hasFiles = (event: DragEvent): boolean => event.dataTransfer?.types.includes("Files") ?? false;
    const over = (event: DragEvent): void => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      setOver(true);
    };
    const leave = (event: DragEvent): void => {
      if (!event.relatedTarget) setOver(false);
    };
    const drop = (event: DragEvent): void => {
      setOver(false);
      if (!hasFiles(event)) return;
      event.preventDefault();
      void importFiles([...event.dataTransfer!.files]);
    };
    const listeners = { dragover: over, dragleave: leave, drop } as const;
    for (const [name, listener] of Object.entries(listeners)) addEventListener(name as "drop", listener);
    return () => {
      for (const [name, listener] of Object.entries(listeners)) removeEventListener(name as "drop", listener);
    };
  }, []);
  return (
    <>
      {isOver && <div class="drop-target">Drop to import</div>}
      {transfers.value.length > 0 && (
        <section class="transfers" aria-label="Imported files">
          {transfers.value.map((one) => (
            <Report key={one.id} transfer={one} />
          ))}
        </section>
      )}
    </>
  );
}

function Report({ transfer }: { transfer: Transfer }) {
  const { name, done, result, problem } = transfer;
  const close = (): void => {
    transfers.value = transfers.value.filter((one) => one !== transfer);
  };
  const isOver = result !== null || problem !== "";
  return (
    <div class={`transfer card ${problem ? "failed" : ""}`} role={problem ? "alert" : "status"}>
      <p class="transfer-head">
        <b>{name}</b>
        {!isOver && <span>{percent(done)}</span>}
        {isOver && (
          <button type="button" class="button small quiet" aria-label={`Close the report on ${name}`} onClick={close}>
            <Icon path={ICONS.close} />
          </button>
        )}
      </p>
      {!isOver && (
        <span class="bar-track" aria-hidden="true">
          <span class="bar" style={{ width: `${done * 100}%` }} />
        </span>
      )}
      {problem && <p>{problem}</p>}
      {result && <Outcome result={result} />}
    </div>
  );
}

function Outcome({ result }: { result: Imported }) {
  const { traces, traceCount, problems, summary } = result;
  return (
    <>
      <p>{summary}.</p>
      {problems.length > 0 && (
        <ul class="transfer-problems">
          {problems.map((problem) => (
            <li key={problem}>{problem}</li>
          ))}
        </ul>
      )}
      {traceCount > 0 && (
        <ul class="transfer-traces" aria-label={plural(traceCount, "trace")}>
          {traces.slice(0, LINKS).map(({ traceID, stored }) => (
            <li key={traceID}>
              <a href={traceLink(traceID)}>
                <code>{traceID.slice(0, 16)}…</code>
              </a>{" "}
              {stored === 0 && <span class="muted">already stored</span>}
            </li>
          ))}
          {traceCount > LINKS && <li class="muted">and {plural(traceCount - LINKS, "more trace")}</li>}
        </ul>
      )}
    </>
  );
}
