import { setParams, url } from "./router.ts";

const TIMES = [
  [60, "1 minute"],
  [300, "5 minutes"],
  [900, "15 minutes"],
  [3600, "1 hour"],
  [21_600, "6 hours"],
  [86_400, "24 hours"],
] as const;
const USUAL = 900;

/** How far back a view looks, in seconds. */
export const lookbackOf = (from: URL): number => Number(from.searchParams.get("since")) || USUAL;

export const Since = () => (
  <label class="since">
    <span class="visually-hidden">Time</span>
    <select
      class="input"
      value={String(lookbackOf(url.value))}
      onChange={(event) => setParams({ since: Number(event.currentTarget.value) === USUAL ? null : event.currentTarget.value })}
    >
      {TIMES.map(([seconds, text]) => (
        <option key={seconds} value={String(seconds)}>
          Last {text}
        </option>
      ))}
    </select>
  </label>
);
