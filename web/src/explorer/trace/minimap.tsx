import { useMemo, useRef, useState } from "preact/hooks";
import { duration } from "../../shared/format.ts";
import { serviceColor } from "../common/service-color.ts";
import { scaled, wholeOf } from "./choice.ts";
import { COLUMNS, LINES, minimapShapes } from "./minimap-shapes.ts";
import type { Section, Trace } from "./trace.ts";
import "./minimap.css";

/** Pixels that the mouse moves before a press is a drag. */
const LEAST_DRAG = 4;

interface Props {
  trace: Trace;
  window: Section;
  isZoomed: boolean;
  onZoom: (section: Section | null) => void;
}

/** The whole trace in a strip: what is zoomed to is bright, and a drag zooms to a part. */
export function Minimap({ trace, window, isZoomed, onZoom }: Props) {
  const strip = useRef<HTMLDivElement>(null);
  const [drag, setDrag] = useState<Section | null>(null);
  const whole = wholeOf(trace);
  const shapes = useMemo(() => minimapShapes(trace.spans, whole), [trace]);
  const share = (at: number): number => ((at - whole[0]) / (whole[1] - whole[0])) * 100;
  /** The moment under the mouse. */
  const momentAt = (event: PointerEvent): number => {
    const { left, width } = strip.current!.getBoundingClientRect();
    return whole[0] + Math.min(1, Math.max(0, (event.clientX - left) / width)) * (whole[1] - whole[0]);
  };
  const leastDrag = (): number => (LEAST_DRAG / strip.current!.clientWidth) * (whole[1] - whole[0]);
  const [from, to] = drag ? [Math.min(...drag), Math.max(...drag)] : window;
  return (
    <div class="minimap-bar" role="group" aria-label="Zoom">
      <div
        class="minimap"
        ref={strip}
        title="Drag to zoom"
        aria-hidden="true"
        onPointerDown={(event) => {
          if (event.button !== 0) return;
          strip.current!.setPointerCapture(event.pointerId);
          setDrag([momentAt(event), momentAt(event)]);
        }}
        onPointerMove={(event) => drag && setDrag([drag[0], momentAt(event)])}
        onPointerUp={() => {
          if (drag && to - from >= leastDrag()) onZoom([from, to]);
          setDrag(null);
        }}
        onPointerCancel={() => setDrag(null)}
      >
        <svg viewBox={`0 0 ${COLUMNS} ${LINES}`} preserveAspectRatio="none" aria-hidden="true">
          {[...shapes].map(([service, path]) => (
            <path key={service} d={path} style={{ fill: serviceColor(service) }} />
          ))}
        </svg>
        {(isZoomed || drag) && (
          <>
            <span class="minimap-shade" style={{ left: 0, width: `${share(from)}%` }} />
            <span class="minimap-shade" style={{ left: `${share(to)}%`, right: 0 }} />
          </>
        )}
      </div>
      <button
        type="button"
        class="button small quiet"
        aria-label="Zoom in"
        title="Zoom in (+)"
        onClick={() => onZoom(scaled(trace, window, 0.5))}
      >
        +
      </button>
      <button
        type="button"
        class="button small quiet"
        aria-label="Zoom out"
        title="Zoom out (-)"
        disabled={!isZoomed}
        onClick={() => onZoom(scaled(trace, window, 2))}
      >
        −
      </button>
      <button
        type="button"
        class="button small quiet"
        title="Show the whole trace (0)"
        disabled={!isZoomed}
        onClick={() => onZoom(null)}
      >
        Whole trace
      </button>
      <span class="visually-hidden" role="status">
        {isZoomed && `${duration(window[0] - trace.start)} to ${duration(window[1] - trace.start)} of the trace`}
      </span>
    </div>
  );
}
