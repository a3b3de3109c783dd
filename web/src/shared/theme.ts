// Light or dark: what the system says, until the reader says otherwise; remembered per browser.

import { computed, signal } from "@preact/signals";

export type Theme = "light" | "dark";

const STORED = "waybill.theme";

const system = matchMedia("(prefers-color-scheme: dark)");
const systemTheme = signal<Theme>(system.matches ? "dark" : "light");
const chosen = signal<Theme | null>(stored());

system.addEventListener("change", (event) => {
  systemTheme.value = event.matches ? "dark" : "light";
});

/** The theme on the screen now; redraw a canvas when it changes. */
export const theme = computed(() => chosen.value ?? systemTheme.value);

if (chosen.value) document.documentElement.dataset.theme = chosen.value;

/** Change to the other theme, and remember it unless it is the system's. */
export function toggleTheme(): void {
  const next: Theme = theme.value === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  chosen.value = next;
  try {
    if (next === systemTheme.value) localStorage.removeItem(STORED);
    else localStorage.setItem(STORED, next);
  } catch {
    // Storage may be forbidden; then the choice lasts as long as the page.
  }
}

/** A CSS color such as `var(--accent)`, as the `rgb(...)` of the theme on the screen, for a canvas. */
export function resolveColor(css: string): string {
  const probe = document.createElement("span");
  probe.style.color = css;
  document.body.append(probe);
  const color = getComputedStyle(probe).color;
  probe.remove();
  return color;
}

function stored(): Theme | null {
  try {
    const value = localStorage.getItem(STORED);
    return value === "light" || value === "dark" ? value : null;
  } catch {
    return null;
  }
}
