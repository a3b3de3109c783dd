// Words for what telemetry says: a value with its unit, a service in short.
import { bytes, duration, number } from "../../shared/format.ts";

/** A duration (µs) as the read API takes it. */
export const goDuration = (us: number): string =>
  us < 1000 ? `${Math.round(Math.max(0, us))}us` : `${Math.round(us / 100) / 10}ms`;

/** `order-service` is `order` where space is short. */
export const shortService = (name: string): string => name.replace(/-service$/, "") || name;

export const rate = (perSecond: number): string =>
  perSecond > 0 && perSecond < 1 ? `${number(perSecond * 60)}/min` : `${number(perSecond)}/s`;

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
