import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { isUtc, time } from "../../shared/format.ts";
import { resolveColor, theme } from "../../shared/theme.ts";
import { drawMarks, type Mark } from "./chart-marks.ts";
import { type Step, stepsOf } from "./chart-steps.ts";
import { addTouch } from "./chart-touch.ts";
import { ChartTable, MomentMenu } from "./moment-links.tsx";
import { showBetween } from "./now.ts";
import { navigate } from "./router.ts";
import "./chart.css";

/** A line over time; `color` is CSS, such as var(--accent). */
export interface Line {
  label: string;
  color: string;
  points: readonly (readonly [number, number | null])[];
}
/** A dot that opens something. */
export interface Dot {
  x: number;
  y: number;
  label: () => string;
  href: string;
  color: string;
  /** Marked by its shape too, not by color alone. */
  isFailed?: boolean;
  isSmall?: boolean;
}
export interface Cell {
  from: number;
  to: number;
  low: number;
  high: number;
  /** 0 to 1. */
  share: number;
  label: string;
  /** What the row of cells is called, and how many were counted in this one. */
  name: string;
  count: number;
  /** Full, instead of the accent as strong as the share. */
  color?: string;
}
export interface Area {
  from: number;
  to: number;
  low: number;
  high: number;
  /** Whether only a time was dragged over, and not values too. */
  isFullHeight: boolean;
}
interface Props {
  label: string;
  height: number;
  /** µs since 1970 on the x axis everywhere. */
  range: readonly [number, number];
  lines?: readonly Line[];
  dots?: readonly Dot[];
  cells?: readonly Cell[];
  marks?: readonly Mark[];
  format: (value: number) => string;
  isLogarithmic?: boolean;
  /** How high the scale reaches at least. */
  least?: number;
  /** Replaces the scale's own: where a tick is and what it says. */
  ticks?: readonly { at: number; label: string }[];
  /** Instead of a zoom to the time that was dragged over; of values too. */
  onBrush?: (area: Area) => void;
  /** What of a moment is looked for, in traces and logs. */
  query?: string | undefined;
}
interface Current extends Props {
  steps: readonly Step[];
  onPick: (step: Step, x: number) => void;
}

const NONE: readonly never[] = [];
const NEAR = 14;
const [MINUTE, HOUR, DAY] = [60, 3600, 86_400];
/** Seconds from tick to tick. uPlot's own leap from 1 to 5 and from 5 to 10, so a narrow chart would have one tick or none. */
const TICK_STEPS = [
  ...[0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30],
  ...[1, 2, 5, 10, 15, 30].map((n) => n * MINUTE),
  ...[1, 2, 3, 6, 12].map((n) => n * HOUR),
  ...[1, 2, 7, 30].map((n) => n * DAY),
];
const colors = new Map<string, string>();
/** Pixels from which a press is a drag. */
const MOVED = 4;
const DOT = 4;
const SMALL_DOT = 2.75;

/**
 * uPlot with what this page needs of it: lines, dots that are links, cells of a heat map or of a histogram, a brush that zooms,
 * a tooltip, the way to the traces and logs of a moment, and the same as a table.
 */
export function Chart(props: Props) {
  const { lines = NONE, cells = NONE } = props;
  const [picked, setPicked] = useState<{ step: Step; x: number } | null>(null);
  const steps = useMemo(() => stepsOf(lines, cells, props.range), [lines, cells, ...props.range]);
  const element = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(undefined);
  const now: Current = { ...props, steps, onPick: (step, x) => setPicked({ step, x }) };
  const current = useRef(now);
  current.current = now;
  const looks = (props.lines ?? []).map((line) => `${line.label} ${line.color}`).join();

  useEffect(() => {
    const host = element.current!;
    let chart: uPlot | undefined;
    let isGone = false;
    const observer = new ResizeObserver(() => {
      const width = host.clientWidth;
      if (chart && width !== chart.width) chart.setSize({ width, height: current.current.height });
    });
    // Loaded apart: what uPlot and its number formats need to start would hold up the list and the waterfall.
    void import("uplot").then(({ default: UPlot }) => {
      if (isGone) return;
      plot.current = chart = new UPlot(options(host, current), dataOf(current.current), host);
      observer.observe(host);
    });
    return () => {
      isGone = true;
      observer.disconnect();
      chart?.destroy();
      plot.current = undefined;
    };
  }, [theme.value, isUtc.value, looks, props.height, !!props.isLogarithmic, !!props.onBrush]);

  useEffect(() => plot.current?.setData(dataOf(props)), [props.lines, props.dots, props.cells, props.marks, ...props.range]);

  return (
    <div class="chart-box">
      <div class="chart" ref={element} role="img" aria-label={props.label} style={{ height: `${props.height}px` }} />
      {picked && (
        <MomentMenu
          {...{ from: picked.step.from, to: picked.step.to, x: picked.x, query: props.query }}
          onClose={() => setPicked(null)}
        />
      )}
      {steps.length > 0 && (
        <ChartTable label={props.label} lines={lines} cells={cells} steps={steps} format={props.format} query={props.query} />
      )}
    </div>
  );
}

/** To resolve a color makes the browser lay the page out, so each is asked for once per theme. */
function colorOf(css: string): string {
  const key = `${theme.value} ${css}`;
  const color = colors.get(key) ?? resolveColor(css);
  colors.set(key, color);
  return color;
}

function dataOf({ lines = [], range }: Props): uPlot.AlignedData {
  if (!lines.length)
    return [
      [range[0] / 1e6, range[1] / 1e6],
      [null, null],
    ];
  const times = [...new Set(lines.flatMap((line) => line.points.map(([at]) => at)))].sort((a, b) => a - b);
  const ys = lines.map((line) => {
    const values = new Map(line.points);
    return times.map((at) => values.get(at) ?? null);
  });
  return [times.map((at) => at / 1e6), ...ys];
}

function options(host: HTMLElement, current: { current: Current }): uPlot.Options {
  const { lines = [], height, isLogarithmic, onBrush } = current.current;
  const ink = colorOf("var(--ink-2)");
  const font = `11px ${getComputedStyle(host).fontFamily}`;
  const axis = { stroke: ink, font, grid: { stroke: colorOf("var(--line)"), width: 1 }, ticks: { show: false } };
  return {
    width: host.clientWidth,
    height,
    padding: [8, 26, 0, 0],
    legend: { show: false },
    cursor: {
      points: { show: lines.length > 0, size: 6 },
      // uPlot takes a click for a drag when the chart has moved on the page since; addPointer knows better.
      drag: { x: true, y: !!onBrush, setScale: false, ...(onBrush ? { uni: 8 } : {}), click: () => undefined },
      y: false,
    },
    select: { show: true, left: 0, top: 0, width: 0, height: 0 },
    scales: {
      x: { range: () => current.current.range.map((at) => at / 1e6) as [number, number] },
      y: { distr: isLogarithmic ? 3 : 1, range: () => yRange(current.current) },
    },
    axes: [
      {
        ...axis,
        size: 30,
        gap: 9,
        space: 64,
        incrs: TICK_STEPS,
        values: (_, splits) => splits.map((at) => clock(at, current.current.range)),
      },
      {
        ...axis,
        size: 62,
        space: 26,
        splits: (u, _, min, max) =>
          current.current.ticks?.map((tick) => tick.at) ?? (isLogarithmic ? decades(min, max) : linear(u, min, max)),
        filter: (_, splits) => splits,
        values: (_, splits) => splits.map((value) => labelOf(current.current, value)),
      },
    ],
    series: [
      {},
      ...(lines.length ? lines : [{ label: "", color: "transparent" }]).map((line) => ({
        label: line.label,
        stroke: colorOf(line.color),
        width: 1.75,
        points: { show: (u: uPlot, i: number) => isAlone(u.data[i]!), size: 4 },
        spanGaps: false,
      })),
    ],
    hooks: {
      // The grid is seen through the cells of a heat map, and not through bars.
      drawClear: [
        (u) =>
          drawCells(
            u,
            (current.current.cells ?? []).filter((cell) => !cell.color),
          ),
        (u) => drawMarks(u, current.current.marks ?? [], colorOf),
      ],
      draw: [
        (u) =>
          drawCells(
            u,
            (current.current.cells ?? []).filter((cell) => cell.color),
          ),
        (u) => drawDots(u, current.current.dots ?? []),
      ],
      ready: [(u) => addPointer(u, current, host), (u) => addTouch(u, () => current.current.onBrush !== undefined)],
      setSelect: [
        (u) => {
          const { width, height } = u.select;
          const { onBrush: onArea } = current.current;
          if (width < MOVED && !(onArea && height >= MOVED)) return;
          const area = areaOf(u);
          u.setSelect({ left: 0, top: 0, width: 0, height: onArea ? 0 : height }, false);
          if (onArea) onArea(area);
          else showBetween(area.from, area.to);
        },
      ],
    },
  };
}

const isAlone = (values: ArrayLike<number | null | undefined>): boolean =>
  Array.from(values).filter((value) => value != null).length < 3;

function areaOf(u: uPlot): Area {
  const { left, top, width, height } = u.select;
  return {
    from: u.posToVal(left, "x") * 1e6,
    to: u.posToVal(left + width, "x") * 1e6,
    low: u.posToVal(top + height, "y"),
    high: u.posToVal(top, "y"),
    isFullHeight: height >= u.over.clientHeight - 1,
  };
}

function yRange({ lines = [], dots = [], cells = [], ticks, isLogarithmic, least = 0 }: Props): [number, number] {
  const values = [
    ...lines.flatMap((line) => line.points.map(([, value]) => value).filter((value) => value !== null)),
    ...dots.map((dot) => dot.y),
    ...cells.flatMap((cell) => [cell.low, cell.high]),
    ...(ticks ?? []).map((tick) => tick.at),
  ];
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  if (isLogarithmic) {
    return high > 0 ? [10 ** (Math.log10(Math.max(1, low)) - 0.15), 10 ** (Math.log10(high) + 0.15)] : [1e3, 1e6];
  }
  if (cells.length) return [low, high > low ? high : low + 1];
  if (least > 0) return [Math.min(0, low), Math.max(least, high * 1.1)];
  return high > low || high > 0 ? [Math.min(0, low), high + (high - Math.min(0, low)) * 0.1] : [0, 1];
}

/** Two or three ticks per decade when few are in sight. */
function decades(min: number, max: number): number[] {
  const steps = max / min < 30 ? [1, 2, 5] : max / min < 3e3 ? [1, 3] : [1];
  const splits: number[] = [];
  for (let decade = 10 ** Math.floor(Math.log10(min)); decade <= max; decade *= 10) {
    for (const step of steps) if (decade * step >= min && decade * step <= max) splits.push(decade * step);
  }
  return splits;
}

function linear(u: uPlot, min: number, max: number): number[] {
  const wanted = Math.max(2, Math.floor(u.bbox.height / devicePixelRatio / 30));
  const rough = (max - min) / wanted || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((one) => one >= rough)!;
  const splits: number[] = [];
  for (let i = Math.ceil(min / step); i * step <= max; i++) splits.push(i * step);
  return splits;
}

const labelOf = ({ ticks, format }: Props, value: number): string =>
  ticks ? (ticks.find((tick) => tick.at === value)?.label ?? "") : format(value);

const clock = (seconds: number, [from, to]: readonly [number, number]): string =>
  time(seconds * 1e6, to - from < 10e6 ? 3 : 0).slice(0, to - from < 600e6 ? undefined : -3);

function drawCells(u: uPlot, cells: readonly Cell[]): void {
  const { ctx } = u;
  ctx.save();
  for (const cell of cells) {
    ctx.fillStyle = colorOf(cell.color ?? "var(--accent)");
    const [left, right] = [u.valToPos(cell.from / 1e6, "x", true), u.valToPos(cell.to / 1e6, "x", true)];
    const [bottom, top] = [u.valToPos(cell.low, "y", true), u.valToPos(cell.high, "y", true)];
    ctx.globalAlpha = cell.color ? 1 : 0.1 + 0.9 * Math.sqrt(cell.share);
    ctx.fillRect(left, top, Math.max(1, right - left - 1), Math.max(1, bottom - top - 1));
  }
  ctx.restore();
}

function drawDots(u: uPlot, dots: readonly Dot[]): void {
  const { ctx } = u;
  const size = (dots.some((dot) => dot.isSmall) ? SMALL_DOT : DOT) * devicePixelRatio;
  const paper = colorOf("var(--surface)");
  ctx.save();
  ctx.beginPath();
  ctx.rect(u.bbox.left - size, u.bbox.top - size, u.bbox.width + 2 * size, u.bbox.height + 2 * size);
  ctx.clip();
  for (const dot of dots) {
    const [x, y] = [u.valToPos(dot.x / 1e6, "x", true), u.valToPos(dot.y, "y", true)];
    ctx.beginPath();
    if (dot.isFailed) {
      ctx.moveTo(x, y - size * 1.3);
      ctx.lineTo(x + size * 1.3, y);
      ctx.lineTo(x, y + size * 1.3);
      ctx.lineTo(x - size * 1.3, y);
      ctx.closePath();
    } else ctx.arc(x, y, size, 0, 2 * Math.PI);
    ctx.fillStyle = colorOf(dot.color);
    ctx.strokeStyle = paper;
    ctx.lineWidth = devicePixelRatio;
    ctx.fill();
    ctx.stroke();
  }
  ctx.restore();
}

function addPointer(u: uPlot, current: { current: Current }, host: HTMLElement): void {
  const tip = document.createElement("div");
  tip.className = "chart-tip";
  tip.hidden = true;
  u.over.append(tip);
  let pressed = { x: 0, y: 0 };
  u.over.addEventListener("mousedown", ({ clientX: x, clientY: y }) => (pressed = { x, y }));
  u.over.addEventListener("mouseleave", () => (tip.hidden = true));
  u.over.addEventListener("click", (event) => {
    if (Math.hypot(event.clientX - pressed.x, event.clientY - pressed.y) >= MOVED) return;
    const dot = nearest(u, current.current.dots ?? [], event);
    const step = stepAt(u, current.current, event);
    if (dot) navigate(dot.href);
    else if (step) current.current.onPick(step, event.clientX - host.getBoundingClientRect().left);
  });
  u.over.addEventListener("mousemove", (event) => {
    const dot = nearest(u, current.current.dots ?? [], event);
    const text = dot?.label() ?? textAt(u, current.current, event);
    u.over.style.cursor = dot ? "pointer" : "";
    tip.hidden = !text;
    tip.textContent = text;
    const { x, y } = place(u, event);
    tip.style.transform = `translate(${x > u.over.clientWidth / 2 ? `calc(${x - 12}px - 100%)` : `${x + 12}px`}, ${Math.max(0, y - 12)}px)`;
  });
}

/** The step of the point that the tooltip is of, or of the cell under the pointer. */
function stepAt(u: uPlot, { lines = [], steps }: Current, event: MouseEvent): Step | undefined {
  if (!lines.length) {
    const at = u.posToVal(place(u, event).x, "x") * 1e6;
    return steps.find((step) => step.from <= at && at < step.to);
  }
  const at = u.cursor.idx == null ? undefined : u.data[0][u.cursor.idx];
  return at === undefined ? undefined : steps.find((step) => Math.abs(step.to - at * 1e6) < 1);
}

function place(u: uPlot, event: MouseEvent): { x: number; y: number } {
  const box = u.over.getBoundingClientRect();
  return { x: event.clientX - box.left, y: event.clientY - box.top };
}

function nearest(u: uPlot, dots: readonly Dot[], event: MouseEvent): Dot | undefined {
  const { x, y } = place(u, event);
  let best: Dot | undefined;
  let distance = NEAR;
  for (const dot of dots) {
    const offset = Math.hypot(u.valToPos(dot.x / 1e6, "x") - x, u.valToPos(dot.y, "y") - y);
    if (offset < distance) [best, distance] = [dot, offset];
  }
  return best;
}

const HINT = "click: its traces and logs";

function textAt(u: uPlot, { lines = [], cells = [], format }: Props, event: MouseEvent): string {
  if (cells.length) {
    const { x, y } = place(u, event);
    const [at, value] = [u.posToVal(x, "x") * 1e6, u.posToVal(y, "y")];
    const cell = cells.find((c) => c.from <= at && at < c.to && c.low <= value && value < c.high);
    return cell ? `${cell.label}\n${HINT}` : "";
  }
  const index = u.cursor.idx;
  if (index == null || !lines.length) return "";
  const values = lines.map((line, i) => ({ line, value: u.data[i + 1]?.[index] })).filter(({ value }) => value != null);
  if (!values.length) return "";
  return [time(u.data[0][index]! * 1e6, 0), ...values.map(({ line, value }) => `${line.label}  ${format(value!)}`), HINT].join(
    "\n",
  );
}
