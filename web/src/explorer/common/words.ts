// Words for what telemetry says: a value with its unit, a service in short.
import { bytes, duration, number } from "../../shared/format.ts";

/** A duration (µs) as the read API takes it. */
export const goDuration = (us: number): string =>
  us < 1000 ? `${Math.round(Math.max(0, us))}us` : `${Math.round(us / 100) / 10}ms`;

/** `order-service` is `order` where space is short. */
export const shortService = (name: string): string => name.replace(/-service$/, "") || name;

/** Events per second, by the unit in which there are some; two figures are as much as a count over a short time says. */
export function rate(perSecond: number): string {
  if (!Number.isFinite(perSecond)) return "–";
  if (perSecond === 0 || perSecond >= 1) return `${rough(perSecond)}/s`;
  return perSecond * 60 >= 1 ? `${rough(perSecond * 60)}/min` : `${rough(perSecond * 3600)}/h`;
}

/** Two figures, and every whole number above ten. */
export const rough = (value: number): string =>
  Math.abs(value) >= 9.95 ? number(Math.round(value)) : String(Number(value.toPrecision(2)));

/** A measured value with its UCUM unit. */
export function measured(value: number, unit: string): string {
  const inMicroseconds = { s: 1e6, ms: 1e3, us: 1 }[unit];
  if (value < 0) return `-${measured(-value, unit)}`;
  if (inMicroseconds) return duration(value * inMicroseconds);
  if (unit === "By") return bytes(value);
  if (unit === "1" || !unit || unit.startsWith("{")) return short(value);
  return `${short(value)} ${unit}`;
}

function short(value: number): string {
  if (value >= 1e9) return `${number(value / 1e9)} G`;
  if (value >= 1e6) return `${number(value / 1e6)} M`;
  return value >= 1e4 ? `${number(value / 1e3)} k` : number(value);
}
