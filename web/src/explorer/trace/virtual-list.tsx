import type { ComponentChildren, RefObject } from "preact";
import { useEffect, useLayoutEffect, useMemo, useState } from "preact/hooks";
import "./virtual-list.css";

const BEYOND = 12;

interface Props<T> {
  items: readonly T[];
  rowHeight: number;
  /** The element that scrolls; the list may begin below its top. */
  scroller: RefObject<HTMLElement | null>;
  /** The row that the keyboard is on, and the element id of a row: the scroller names it to screen readers. */
  active: number;
  idOf: (index: number) => string;
  render: (item: T, index: number) => ComponentChildren;
}

/** Rows of one height of which only those in sight are in the document. */
export function VirtualList<T>({ items, rowHeight, scroller, active, idOf, render }: Props<T>) {
  const [[first, last], setRange] = useState([0, 60]);
  // A row that stays in sight while one scrolls is the same node, which spares comparing it.
  const made = useMemo(() => new Map<T, ComponentChildren>(), [items, render]);
  const row = (item: T, index: number): ComponentChildren => {
    if (!made.has(item)) made.set(item, render(item, index));
    return made.get(item);
  };
  const measure = (): void => {
    const element = scroller.current;
    if (!element) return;
    const from = Math.max(0, Math.floor(element.scrollTop / rowHeight) - BEYOND);
    const to = Math.ceil((element.scrollTop + element.clientHeight) / rowHeight) + BEYOND;
    setRange((old) => (old[0] === from && old[1] === to ? old : [from, to]));
  };
  useLayoutEffect(measure, [items.length]);
  // A row that was scrolled out of sight is not in the document, so it must not be named.
  useLayoutEffect(() => {
    if (active >= first && active < Math.min(last, items.length)) {
      scroller.current?.setAttribute("aria-activedescendant", idOf(active));
    } else scroller.current?.removeAttribute("aria-activedescendant");
  });
  useEffect(() => {
    const element = scroller.current!;
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    element.addEventListener("scroll", measure, { passive: true });
    return () => {
      observer.disconnect();
      element.removeEventListener("scroll", measure);
    };
  }, []);
  return (
    <div class="virtual" role="presentation" style={{ height: `${items.length * rowHeight}px` }}>
      <div role="rowgroup" class="virtual-rows" style={{ transform: `translateY(${first * rowHeight}px)` }}>
        {items.slice(first, last).map((item, i) => row(item, first + i))}
      </div>
    </div>
  );
}

export const isInSight = (scroller: HTMLElement, index: number | undefined, rowHeight: number, sticky: number): boolean =>
  index !== undefined &&
  index * rowHeight >= scroller.scrollTop &&
  (index + 1) * rowHeight <= scroller.scrollTop + scroller.clientHeight - sticky;

/** Scroll so that row `index` is in sight, below whatever sticks to the top. */
export function reveal(scroller: HTMLElement, index: number, rowHeight: number, sticky: number, center = false): void {
  const top = index * rowHeight;
  const room = scroller.clientHeight - sticky;
  if (center) scroller.scrollTop = top - (room - rowHeight) / 2;
  else if (top < scroller.scrollTop) scroller.scrollTop = top;
  else if (top + rowHeight > scroller.scrollTop + room) scroller.scrollTop = top + rowHeight - room;
}
