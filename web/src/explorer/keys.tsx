import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { Icon, ICONS } from "./common/parts.tsx";
import { showNeighbor, toggleLive } from "./common/now.ts";
import { hasLabs } from "./common/config.ts";
import { address, navigate } from "./common/router.ts";
import "./keys.css";

const isListOpen = signal(false);
const VIEWS = [
  ["/", "Traces"],
  ["/services", "Services"],
  ["/metrics", "Metrics"],
  ["/logs", "Logs"],
  ["/compare", "Compare"],
] as const;
/** The views of this explorer, by their addresses; the key of each is its number. */
export const views = (): readonly (readonly [string, string])[] => (hasLabs() ? [...VIEWS, ["/labs", "Labs"]] : VIEWS);

const KEYS: readonly (readonly [string, readonly (readonly [string, string])[]])[] = [
  [
    "Everywhere",
    [
      ["/", "search"],
      ["1 2 3 4 5", "traces, services, metrics, logs, compare"],
      ["p", "pause, or follow what arrives"],
      ["t", "choose the time"],
      ["[ ]", "the time before, the time after"],
      ["?", "this list"],
      ["Esc", "close, leave a box"],
    ],
  ],
  [
    "In a waterfall",
    [
      ["↑ ↓", "walk the rows; Home, End, Page Up and Down"],
      ["→ ←", "unfold and fold, go in and out"],
      ["Enter", "open the details of a span"],
      ["z", "zoom to the span, and back"],
      ["+ - 0", "zoom in, zoom out, the whole trace; Shift → ← moves"],
      ["n N", "next and previous match"],
      ["Esc", "close the details, leave the zoom"],
    ],
  ],
];

document.addEventListener("keydown", (event) => {
  const target = event.target as HTMLElement;
  const isTyping = target.closest("input:not([type=checkbox]), select, textarea") !== null;
  if (event.key === "Escape" && isTyping) return target.blur();
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const view = views()[Number(event.key) - 1];
  if (event.key === "/") document.querySelector<HTMLElement>("[data-search]")?.focus();
  else if (event.key === "?") isListOpen.value = true;
  else if (event.key === "p") toggleLive();
  else if (event.key === "[") showNeighbor(-1);
  else if (event.key === "]") showNeighbor(1);
  else if (event.key === "t") document.querySelector<HTMLElement>(".time-choice > button")?.click();
  else if (view) navigate(address(view[0]));
  else return;
  event.preventDefault();
});

export const KeysButton = () => (
  <button type="button" class="button quiet small" aria-label="Keys" title="Keys (?)" onClick={() => (isListOpen.value = true)}>
    <kbd>?</kbd>
  </button>
);

/** The list of keys, as a dialog. */
export function KeyList() {
  const dialog = useRef<HTMLDialogElement>(null);
  const isOpen = isListOpen.value;
  useEffect(() => {
    if (isOpen) dialog.current?.showModal();
    else dialog.current?.close();
  }, [isOpen]);
  return (
    <dialog class="keys card" ref={dialog} aria-labelledby="keys-title" onClose={() => (isListOpen.value = false)}>
      <header>
        <h2 id="keys-title">Keys</h2>
        <button type="button" class="button small quiet" aria-label="Close" onClick={() => (isListOpen.value = false)}>
          <Icon path={ICONS.close} />
        </button>
      </header>
      {KEYS.map(([where, keys]) => (
        <section key={where}>
          <h3 class="eyebrow">{where}</h3>
          <dl>
            {keys.map(([key, what]) => (
              <div key={key}>
                <dt>
                  {key.split(" ").map((one) => (
                    <kbd key={one}>{one}</kbd>
                  ))}
                </dt>
                <dd>{what}</dd>
              </div>
            ))}
          </dl>
        </section>
      ))}
    </dialog>
  );
}
