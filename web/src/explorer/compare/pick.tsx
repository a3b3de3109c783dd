import { duration } from "../../shared/format.ts";
import type { Summary } from "../common/api.ts";
import { address, setParams, url } from "../common/router.ts";
import "./pick.css";

const picked = (): string => url.value.searchParams.get("compare") ?? "";

/** The address where one trace is beside another. */
export const comparisonLink = (traceId: string, other: string): string =>
  address(`/trace/${encodeURIComponent(traceId)}`, { view: "compare", with: other });

/** In a row of a list: the first press picks its trace, the press in another row compares both. */
export function PickToCompare({ trace }: { trace: Summary }) {
  const first = picked();
  const name = `${trace.service} ${trace.operation}, ${duration(trace.duration)}`;
  if (first === trace.traceID) return <span class="pick muted">picked</span>;
  return first ? (
    <a class="pick" href={comparisonLink(trace.traceID, first)} aria-label={`Compare the picked trace with ${name}`}>
      with this
    </a>
  ) : (
    <button
      type="button"
      class="pick"
      title="Compare this trace with another"
      aria-label={`Compare ${name} with another trace`}
      onClick={() => setParams({ compare: trace.traceID })}
    >
      compare
    </button>
  );
}

/** Says which trace was picked, and what comes next. */
export function Picked({ traces }: { traces: readonly Summary[] }) {
  const first = picked();
  const trace = traces.find((one) => one.traceID === first);
  return (
    <p class={first ? "picked" : "visually-hidden"} role="status">
      {first && (
        <>
          Compare <b>{trace ? `${trace.service} ${trace.operation}, ${duration(trace.duration)}` : first}</b> with: choose another
          trace below.{" "}
          <button type="button" class="button small" onClick={() => setParams({ compare: null })}>
            Cancel
          </button>
        </>
      )}
    </p>
  );
}
