import type { ComponentChildren } from "preact";
import type { Line } from "./chart.tsx";
import "./panel.css";

interface PanelProps {
  title: string;
  note?: string;
  legend?: readonly Line[];
  /** Whether the chart is of an earlier choice until its own data are there. */
  isBusy?: boolean;
  children: ComponentChildren;
}
/** A chart in a card, with its title and what its lines mean. */
export const Panel = ({ title, note, legend, isBusy = false, children }: PanelProps) => (
  <section class={`card panel ${isBusy ? "stale" : ""}`} aria-label={title} aria-busy={isBusy}>
    <p class="chart-caption">
      <span class="eyebrow">{title}</span>
      {note && <span class="muted">{note}</span>}
      {legend && legend.length > 0 && (
        <span class="chart-key legend">
          {legend.map((line) => (
            <span key={line.label} class="legend-item">
              <i style={{ background: line.color }} /> {line.label}
            </span>
          ))}
        </span>
      )}
    </p>
    {children}
  </section>
);
