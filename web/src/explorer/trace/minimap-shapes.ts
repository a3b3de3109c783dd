// A whole trace in a strip of some hundred by thirty cells: what is drawn does not grow with the spans.
import { endOf, type Section, type Span } from "./trace.ts";

export const COLUMNS = 400;
export const LINES = 30;

/** An SVG path for each service, in units of cells; spans are in order, the deeper one wins a cell. */
export function minimapShapes(spans: readonly Span[], [start, end]: Section): Map<string, string> {
  const services = [...new Set(spans.map((span) => span.service))];
  const numbers = new Map(services.map((service, i) => [service, i + 1]));
  const lines = Math.min(LINES, spans.length);
  const cells = new Uint16Array(lines * COLUMNS);
  const scale = COLUMNS / (end - start);
  for (const [i, span] of spans.entries()) {
    const line = Math.floor((i * lines) / spans.length) * COLUMNS;
    const from = Math.min(COLUMNS - 1, Math.floor((span.start - start) * scale));
    const to = Math.max(from + 1, Math.min(COLUMNS, Math.ceil((endOf(span) - start) * scale)));
    cells.fill(numbers.get(span.service)!, line + from, line + to);
  }
  const height = LINES / lines;
  const paths = services.map(() => "");
  for (let line = 0; line < lines; line++) {
    for (let from = 0; from < COLUMNS; ) {
      const service = cells[line * COLUMNS + from]!;
      let to = from + 1;
      while (to < COLUMNS && cells[line * COLUMNS + to] === service) to += 1;
      if (service) paths[service - 1] += `M${from} ${round(line * height)}h${to - from}v${round(height)}h${from - to}z`;
      from = to;
    }
  }
  return new Map(services.map((service, i) => [service, paths[i]!]));
}

const round = (value: number): number => Math.round(value * 100) / 100;
