import { useState } from "preact/hooks";
import { signal } from "@preact/signals";
import { isUtc } from "../../shared/format.ts";
import { nowUs, range, showBetween, showNeighbor } from "./now.ts";
import { readMoment, writeMoment } from "./moments.ts";
import { LiveSwitch } from "./parts.tsx";
import { Popover } from "./popover.tsx";
import { setParams, url } from "./router.ts";
import { boundsOf, LENGTHS, lengthOf, neighbor, rangeLabel } from "./time-range.ts";
import "./time-control.css";

const HOUR = 3600e6;

/** Which time all views are of: the last minutes, or from one moment to another; in which zone; live or not. */
export const TimeControl = () => (
  <div class="time-control" role="group" aria-label="Time">
    <Neighbor direction={-1} name="Earlier" sign="‹" keyHint="[" />
    <Popover
      label={<span class="number">{rangeLabel(range.value)}</span>}
      name={`Time: ${rangeLabel(range.value)}`}
      title="Choose a time"
      keyHint="t"
      class="time-choice"
    >
      {(close) => <Choices onDone={close} />}
    </Popover>
    <Neighbor direction={1} name="Later" sign="›" keyHint="]" />
    <Zone />
    <LiveSwitch />
  </div>
);

interface NeighborProps {
  direction: -1 | 1;
  name: string;
  sign: string;
  keyHint: string;
}
const Neighbor = ({ direction, name, sign, keyHint }: NeighborProps) => (
  <button
    type="button"
    class="button small quiet"
    aria-label={name}
    title={`${name}, by as much as is shown (${keyHint})`}
    disabled={!neighbor(range.value, direction, nowUs())}
    onClick={() => showNeighbor(direction)}
  >
    {sign}
  </button>
);

function Choices({ onDone }: { onDone: () => void }) {
  const now = range.value;
  return (
    <>
      <ul class="time-lengths">
        {LENGTHS.map(([last, label]) => (
          <li key={last}>
            <button
              type="button"
              class="button small"
              aria-pressed={now.kind === "last" && lengthOf(now.last) === lengthOf(last)}
              onClick={() => {
                setParams({ last, start: null, end: null, since: null }, false);
                onDone();
              }}
            >
              {label}
            </button>
          </li>
        ))}
      </ul>
      <Between onDone={onDone} />
    </>
  );
}

function Between({ onDone }: { onDone: () => void }) {
  const [[start, end]] = useState(() => boundsOf(range.value, nowUs()) ?? ([nowUs() - HOUR, nowUs()] as const));
  const [from, setFrom] = useState(() => writeMoment(whole(start)));
  const [to, setTo] = useState(() => writeMoment(whole(end)));
  const [problem, setProblem] = useState<"" | "from" | "to">("");
  const show = (): void => {
    const now = nowUs();
    const first = readMoment(from, now);
    const last = to.trim() ? readMoment(to, now, first ?? undefined) : now;
    if (first === null) setProblem("from");
    else if (last === null || last === first) setProblem("to");
    else {
      showBetween(Math.min(first, last), Math.max(first, last));
      onDone();
    }
  };
  return (
    <form
      class="time-between"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        show();
      }}
    >
      <Moment label="From" value={from} isWrong={problem === "from"} onInput={setFrom} />
      <Moment label="To" value={to} isWrong={problem === "to"} onInput={setTo} />
      <p id="time-help" class={problem ? "bad-text" : "muted"} role={problem ? "alert" : undefined}>
        {problem
          ? `“${problem === "from" ? from : to}” is not a time${problem === "to" ? " after the first" : ""}. Type`
          : "Type"}{" "}
        10:05, yesterday 14:00, 30 Nov 10:05:30, or 20m ago.
      </p>
      <button type="submit" class="button small primary">
        Show
      </button>
    </form>
  );
}

/** A range that counts back from now begins at a fraction of a second: whole ones are easier to read. */
const whole = (us: number): number => (range.value.kind === "between" ? us : Math.floor(us / 1e6) * 1e6);

interface MomentProps {
  label: string;
  value: string;
  isWrong: boolean;
  onInput: (text: string) => void;
}
const Moment = ({ label, value, isWrong, onInput }: MomentProps) => (
  <label class="field">
    <span class="eyebrow">{label}</span>
    <input
      class="input mono"
      value={value}
      spellcheck={false}
      autocomplete="off"
      aria-invalid={isWrong}
      aria-describedby="time-help"
      onInput={(event) => onInput(event.currentTarget.value)}
      onFocus={(event) => event.currentTarget.select()}
    />
  </label>
);

const zoneName = signal("");
// After the first paint: what Intl needs takes a tenth of a second to load.
setTimeout(() => (zoneName.value = Intl.DateTimeFormat().resolvedOptions().timeZone), 500);

function Zone() {
  const local = zoneName.value || offset();
  if (/^(Etc\/)?UTC$/.test(local) && !isUtc.value) return <span class="zone muted">UTC</span>;
  const [shown, other] = isUtc.value ? ["UTC", local] : [local, "UTC"];
  const name = `Times are in ${shown}${isUtc.value ? "" : ` (${offset()})`}. Change to ${other}`;
  return (
    <button
      type="button"
      class="button small quiet zone"
      aria-label={name}
      title={name}
      onClick={() => setParams({ utc: url.value.searchParams.has("utc") ? null : "1" })}
    >
      {shown}
    </button>
  );
}

/** `UTC+1`, `UTC-3:30`: how far the reader's clock is from UTC now. */
function offset(): string {
  const minutes = -new Date().getTimezoneOffset();
  const [hours, rest] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60];
  return `UTC${minutes < 0 ? "-" : "+"}${hours}${rest ? `:${String(rest).padStart(2, "0")}` : ""}`;
}
