// A list whose rows hold still while the mouse or the keyboard is on them: what one is about to click stays there.
import { useRef, useState } from "preact/hooks";

interface Held<T> {
  shown: readonly T[];
  /** How many of the newest are not shown yet. */
  waiting: number;
  showAll: () => void;
  /** For what has the list and the button in it: on the way to the button nothing may move. */
  handlers: {
    onPointerEnter: (event: PointerEvent) => void;
    onPointerLeave: () => void;
    onFocusIn: () => void;
    onFocusOut: () => void;
  };
}

/** The rows to show of what arrives; those shown are updated where they are. */
export function useHeld<T>(items: readonly T[], keyOf: (item: T) => string): Held<T> {
  const [isPointed, setPointed] = useState(false);
  const [isFocused, setFocused] = useState(false);
  const held = useRef<ReadonlyMap<string, T>>(new Map());
  const [, redraw] = useState(0);
  const now = byKey(items, keyOf);
  if (!isPointed && !isFocused) held.current = now;
  const { shown, waiting } = hold(now, held.current);
  return {
    shown,
    waiting,
    showAll: () => {
      held.current = now;
      setFocused(false); // the button that was pressed is gone, and browsers do not say so
      redraw((n) => n + 1);
    },
    handlers: {
      onPointerEnter: (event) => setPointed(event.pointerType === "mouse"),
      onPointerLeave: () => setPointed(false),
      onFocusIn: () => setFocused(true),
      onFocusOut: () => setFocused(false),
    },
  };
}

/** The items of an earlier moment, as they are now, and how many are new. Old ones may have left the newest since. */
export function hold<T>(now: ReadonlyMap<string, T>, held: ReadonlyMap<string, T>) {
  const shown = [...held].map(([key, item]) => now.get(key) ?? item);
  return { shown, waiting: [...now.keys()].filter((key) => !held.has(key)).length };
}

/** The items by key, of which equal ones get different ones: two log lines may say the same. */
export function byKey<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T> {
  const found = new Map<string, T>();
  for (const item of items) {
    const key = keyOf(item);
    let unique = key;
    for (let n = 2; found.has(unique); n++) unique = `${key} ${n}`;
    found.set(unique, item);
  }
  return found;
}
