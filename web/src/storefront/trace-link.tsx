import { config } from "./shop.ts";
import "./trace-link.css";

/** A link to a trace; where nothing shows traces, its id. */
export function TraceLink({ id, text = "See its trace", primary = false }: { id: string; text?: string; primary?: boolean }) {
  const base = config.value.traces_url;
  if (!base) return <code class="trace-id">trace {id}</code>;
  return (
    <a class={primary ? "button primary" : "trace-link"} href={`${base}/trace/${id}`}>
      {text}
      <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
        <path d="M5 12h14m-6-6 6 6-6 6" />
      </svg>
    </a>
  );
}
