import { useEffect, useRef, useState } from "preact/hooks";
import { number } from "../../shared/format.ts";
import { namesOf, type Step } from "./chart-steps.ts";
import type { Cell, Line } from "./chart.tsx";
import { showBetween } from "./now.ts";
import { useDismiss } from "./popover.tsx";
import { address } from "./router.ts";
import { betweenLabel, betweenParams } from "./time-range.ts";
import "./moment-links.css";

interface Moment {
  /** µs. */
  from: number;
  to: number;
  /** What is looked for there. */
  query?: string | undefined;
}

/** Where the traces and the logs of a moment are. */
export function MomentLinks({ from, to, query }: Moment) {
  const params = { ...betweenParams(from, to), q: query };
  const of = `of ${betweenLabel(from, to)}`;
  return (
    <span class="moment-links">
      <a href={address("/", params)} aria-label={`Traces ${of}`}>
        Traces
      </a>
      <a href={address("/logs", params)} aria-label={`Logs ${of}`}>
        Logs
      </a>
    </span>
  );
}

/** What one can do with a moment that was clicked in a chart. */
export function MomentMenu({ onClose, x, ...moment }: Moment & { x: number; onClose: () => void }) {
  const root = useRef<HTMLDivElement>(null);
  useDismiss(root, true, onClose);
  useEffect(() => root.current?.querySelector("a")?.focus(), [moment.from]);
  const label = betweenLabel(moment.from, moment.to);
  return (
    <div
      class="popover card moment-menu"
      role="dialog"
      aria-label={label}
      ref={root}
      style={{ left: `clamp(0px, calc(${x}px - 8.5rem), calc(100% - 17rem))` }}
    >
      <b class="number">{label}</b>
      <span class="moment-choices">
        <MomentLinks {...moment} />
        <button
          type="button"
          class="button small"
          onClick={() => {
            onClose();
            showBetween(moment.from, moment.to);
          }}
        >
          Zoom in
        </button>
      </span>
    </div>
  );
}

interface TableProps {
  label: string;
  lines: readonly Line[];
  cells: readonly Cell[];
  steps: readonly Step[];
  format: (value: number) => string;
  query: string | undefined;
}

/** The figures of a chart as text, newest first, each with the way to its traces and logs. */
export function ChartTable({ label, lines, cells, steps, format, query }: TableProps) {
  const [isOpen, setOpen] = useState(false);
  const names = isOpen ? namesOf(lines, cells) : [];
  const written = lines.length ? format : number;
  return (
    <details class="chart-table" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary class="muted">As a table</summary>
      {isOpen && (
        <div class="table-scroll" tabIndex={0} role="region" aria-label={`${label}, as a table`}>
          <table class="table">
            <thead>
              <tr>
                <th scope="col">Time</th>
                {names.map((name) => (
                  <th key={name} scope="col" class="number">
                    {name}
                  </th>
                ))}
                <th scope="col">Of this time</th>
              </tr>
            </thead>
            <tbody>
              {steps.toReversed().map(({ from, to, values }) => (
                <tr key={to}>
                  <th scope="row">
                    <time dateTime={new Date(from / 1e3).toISOString()}>{betweenLabel(from, to)}</time>
                  </th>
                  {names.map((name) => (
                    <td key={name} class="number">
                      {values.has(name) ? written(values.get(name)!) : "–"}
                    </td>
                  ))}
                  <td>
                    <MomentLinks from={from} to={to} query={query} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </details>
  );
}
