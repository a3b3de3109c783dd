import { signal } from "@preact/signals";

const narrow = matchMedia("(max-width: 47.99rem)");

/** Whether views stack what they otherwise put side by side. */
export const isNarrow = signal(narrow.matches);
narrow.addEventListener("change", () => (isNarrow.value = narrow.matches));
