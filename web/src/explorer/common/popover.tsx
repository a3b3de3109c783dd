import type { ComponentChildren, RefObject } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import "./popover.css";

interface Props {
  /** What the button says, and what it does for those who do not see it. */
  label: ComponentChildren;
  name: string;
  title: string;
  class?: string;
  keyHint?: string;
  children: (close: () => void) => ComponentChildren;
}

/** A button that opens a small panel below it. */
export function Popover({ label, name, title, class: className = "", keyHint, children }: Props) {
  const [isOpen, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const close = (): void => {
    setOpen(false);
    root.current?.querySelector("button")?.focus();
  };
  useDismiss(root, isOpen, () => setOpen(false), close);
  return (
    <div class={`popover-root ${className}`} ref={root}>
      <button
        type="button"
        class="button small"
        aria-haspopup="dialog"
        aria-expanded={isOpen}
        aria-label={name}
        title={keyHint ? `${name} (${keyHint})` : name}
        onClick={() => setOpen(!isOpen)}
      >
        {label}
      </button>
      {isOpen && (
        <div class="popover card" role="dialog" aria-label={title}>
          {children(close)}
        </div>
      )}
    </div>
  );
}

/** Close what is open when something else is pressed or gets the focus, and with Escape. */
export function useDismiss(
  root: RefObject<HTMLElement | null>,
  isOpen: boolean,
  close: () => void,
  closeByKey: () => void = close,
): void {
  useEffect(() => {
    const element = root.current;
    if (!isOpen || !element) return;
    const onOther = (event: Event): void => {
      if (!element.contains(event.target as Node)) close();
    };
    const onKey = (event: KeyboardEvent): void => {
      if (event.key !== "Escape") return;
      event.stopPropagation(); // the page's own Escape leaves a box
      closeByKey();
    };
    document.addEventListener("pointerdown", onOther);
    document.addEventListener("focusin", onOther);
    element.addEventListener("keydown", onKey);
    return () => {
      document.removeEventListener("pointerdown", onOther);
      document.removeEventListener("focusin", onOther);
      element.removeEventListener("keydown", onKey);
    };
  }, [isOpen]);
}
