// A finger that moves along a chart selects, as a drag with the mouse does. Up and down it scrolls the page: chart.css leaves
// that to the browser, which then cancels the pointer.
import type uPlot from "uplot";

/** Pixels from which a press is a drag, and from which a drag is of values too. */
const MOVED = 8;
const BOX = 24;

interface Point {
  x: number;
  y: number;
}

/** Select by touch; `isBox` says whether values can be selected too, and not only a time. */
export function addTouch(u: uPlot, isBox: () => boolean): void {
  let began: Point | null = null;
  const place = (event: PointerEvent): Point => {
    const { left, top, width, height } = u.over.getBoundingClientRect();
    return { x: within(event.clientX - left, width), y: within(event.clientY - top, height) };
  };
  const select = (event: PointerEvent, isDone: boolean): void => {
    const now = place(event);
    const isWhole = !isBox() || Math.abs(now.y - began!.y) < BOX;
    u.setSelect(
      {
        left: Math.min(began!.x, now.x),
        width: Math.abs(now.x - began!.x),
        top: isWhole ? 0 : Math.min(began!.y, now.y),
        height: isWhole ? u.over.clientHeight : Math.abs(now.y - began!.y),
      },
      isDone,
    );
  };
  const hasMoved = (event: PointerEvent): boolean => began !== null && Math.abs(place(event).x - began.x) >= MOVED;
  u.over.addEventListener("pointerdown", (event) => {
    if (event.pointerType !== "mouse" && event.isPrimary) began = place(event);
  });
  u.over.addEventListener("pointermove", (event) => {
    if (hasMoved(event)) select(event, false);
  });
  u.over.addEventListener("pointerup", (event) => {
    if (hasMoved(event)) select(event, true);
    began = null;
  });
  u.over.addEventListener("pointercancel", () => {
    began = null;
    u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  });
}

const within = (at: number, size: number): number => Math.min(size, Math.max(0, at));
