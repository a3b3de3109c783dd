// Each service keeps its color, on every view and in both themes.
import { config } from "./config.ts";

const COLORS = [1, 2, 3, 4, 5, 6, 7, 8];

/** The CSS color of a service, to set as a style or to resolve for a canvas: the configured one, else one by its name. */
export function serviceColor(name: string): string {
  const configured = config.value.colors;
  if (Object.hasOwn(configured, name)) return `var(--service-${configured[name]})`;
  const taken = new Set(Object.values(configured));
  const free = COLORS.filter((color) => !taken.has(color));
  const colors = free.length ? free : COLORS;
  return `var(--service-${colors[hash(name) % colors.length]})`;
}

function hash(text: string): number {
  let value = 0;
  for (const letter of text) value = (value * 31 + letter.codePointAt(0)!) >>> 0;
  return value;
}
