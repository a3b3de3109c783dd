import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { duration, number, percent, plural } from "../../shared/format.ts";
import { Empty, Service } from "../common/parts.tsx";
import { setParams, url, withParams } from "../common/router.ts";
import { serviceColor } from "../common/service-color.ts";
import { type Cell, cellsOf, findFrame, type Frame, framesOf } from "./flame.ts";
import { selecting } from "./choice.ts";
import { operationOf } from "./layout.ts";
import type { Trace } from "./trace.ts";
import "./flame-view.css";

const LEVEL = 24;

/** Where the self time of a trace is, by what called what; a frame can be looked at alone. */
export function FlameView({ trace }: { trace: Trace }) {
  const picture = useRef<HTMLDivElement>(null);
  const top = useMemo(() => framesOf(trace.roots), [trace]);
  const focus = useMemo(() => findFrame(top, url.value.searchParams.get("frame") ?? ""), [top, url.value.search]);
  const { cells, left } = useMemo(() => cellsOf(top, focus), [top, focus]);
  const [pointed, setPointed] = useState<Frame | null>(null);
  const current = pointed ?? focus ?? top[0]!;
  const whole = top.reduce((sum, frame) => sum + frame.value, 0);
  const levels = cells.reduce((most, cell) => Math.max(most, cell.level + 1), 0);
  /** Frames that stand for several exist in this picture alone. */
  const original = (frame: Frame): Frame | null => findFrame(top, frame.first.spanID);
  const toFrame = (frame: Frame | null): void => setParams({ frame: frame?.first.spanID ?? null }, false);
  useEffect(() => setPointed(null), [focus]);
  if (!whole) {
    return (
      <Empty title="Nothing to draw">
        <p>The spans of this trace took no time.</p>
      </Empty>
    );
  }
  const walk = (event: KeyboardEvent): void => {
    const next = neighbor(cells, current, event.key);
    if (next) picture.current?.querySelector<HTMLElement>(`[data-frame="${next.level} ${next.frame.first.spanID}"]`)?.focus();
    else if (event.key === "Escape" && focus) toFrame(focus.parent);
    else return;
    event.preventDefault();
  };
  const tabbed = cells.find(({ frame }) => frame === current) ? current : cells[0]!.frame;
  return (
    <section class="card flame-card" aria-label="Flame view">
      <p class="flame-facts">
        <Service name={current.first.service} /> <b class="flame-name">{nameOf(current)}</b>
        <span>
          {duration(current.value)}, {percent(current.value / whole)}
        </span>
        <span>self {duration(current.self)}</span>
        <span>{plural(current.count, "span")}</span>
        {current.merged === 1 && <a href={withParams(url.value, selecting(operationOf(current.first)))}>Show in the waterfall</a>}
        {focus && (
          <button type="button" class="button small" onClick={() => toFrame(null)}>
            Whole trace
          </button>
        )}
      </p>
      <div class="flame-scroll">
        <div
          class="flame"
          ref={picture}
          role="group"
          aria-label="Frames: arrows walk them, Enter shows one alone"
          style={{ height: `${levels * LEVEL}px` }}
          onKeyDown={walk}
          onPointerLeave={() => setPointed(null)}
        >
          {cells.map(({ frame, level, left: from, width }) => (
            <button
              key={`${level} ${frame.first.spanID}`}
              type="button"
              class={`frame ${frame.failed ? "failed" : ""} ${frame.merged > 1 ? "others" : ""}`}
              data-frame={`${level} ${frame.first.spanID}`}
              tabIndex={frame === tabbed ? 0 : -1}
              aria-label={`${frame.first.service} ${nameOf(frame)}: ${duration(frame.value)}, ${percent(frame.value / whole)}, ${plural(frame.count, "span")}`}
              aria-pressed={frame === focus}
              title={nameOf(frame)}
              style={{
                left: `${from * 100}%`,
                width: `${width * 100}%`,
                top: `${level * LEVEL}px`,
                "--service": serviceColor(frame.first.service),
              }}
              onPointerEnter={() => setPointed(frame)}
              onFocus={() => setPointed(frame)}
              onClick={() => frame === original(frame) && toFrame(frame === focus ? frame.parent : frame)}
            >
              {width > 0.02 && nameOf(frame)}
            </button>
          ))}
        </div>
      </div>
      <p class="waterfall-key muted">
        A frame is as wide as the self time of its spans and of all below them
        {left > 0 && `. ${plural(left, "frame")} too small to draw, and what is below`}.
      </p>
    </section>
  );
}

const nameOf = ({ first, merged }: Frame): string => (merged > 1 ? `${number(merged)} different ones` : first.title);

/** The cell that an arrow leads to. */
function neighbor(cells: readonly Cell[], from: Frame, key: string): Cell | undefined {
  const at = cells.find(({ frame }) => frame === from);
  if (!at) return undefined;
  const middle = at.left + at.width / 2;
  if (key === "ArrowUp")
    return cells.find((one) => one.level === at.level - 1 && one.left <= middle && one.left + one.width >= middle);
  if (key === "ArrowDown")
    return cells.find((one) => one.level === at.level + 1 && one.left >= at.left - 1e-9 && one.left < at.left + at.width);
  const beside = cells.filter(({ level }) => level === at.level).sort((a, b) => a.left - b.left);
  const place = beside.indexOf(at);
  if (key === "ArrowLeft") return beside[place - 1];
  if (key === "ArrowRight") return beside[place + 1];
  return undefined;
}
