import { useState } from "preact/hooks";
import type { Act } from "./labs.tsx";
import type { Attempt } from "./labs-api.ts";

const SERVICES = ["order", "inventory", "payment", "notification"];
const WAYS = {
  rollback: "Roll back the release of",
  redeploy: "Deploy your code of",
  link: "Repair the network before",
  setting: "Correct a setting of",
  neighbor: "Stop the program",
} as const;
type Way = keyof typeof WAYS;

interface Props {
  attempt: Attempt;
  isBusy: boolean;
  act: Act;
}

/** What one can do to repair it, and the proof by new orders. */
export function FixCard({ attempt, isBusy, act }: Props) {
  const [way, setWay] = useState<Way>("rollback");
  const [service, setService] = useState(SERVICES[0]!);
  const [name, setName] = useState("");
  const target = { setting: `${service} ${name}`, neighbor: name }[way as string] ?? service;
  const isWhole = !["setting", "neighbor"].includes(way) || name.trim() !== "";
  const change = (event: Event): void => {
    event.preventDefault();
    const isRelease = way === "rollback" || way === "redeploy";
    void act("fix", isRelease ? { verb: way, target } : { verb: "repair", target: `${way} ${target.trim()}` });
  };
  return (
    <section class="card lab-part" aria-label="The fix">
      <h2>Fix it</h2>
      {attempt.fixed && (
        <p class="good-text">
          <span aria-hidden="true">✓</span> New orders no longer show it.
        </p>
      )}
      {!attempt.solved && (
        <>
          <form class="fix" onSubmit={change}>
            <select
              class="input"
              aria-label="What to do"
              value={way}
              onChange={(event) => setWay(event.currentTarget.value as Way)}
            >
              {Object.entries(WAYS).map(([id, text]) => (
                <option key={id} value={id}>
                  {text}
                </option>
              ))}
            </select>
            {way !== "neighbor" && (
              <select
                class="input"
                aria-label="Service"
                value={service}
                onChange={(event) => setService(event.currentTarget.value)}
              >
                {SERVICES.map((one) => (
                  <option key={one}>{one}</option>
                ))}
              </select>
            )}
            {(way === "setting" || way === "neighbor") && (
              <input
                class="input"
                aria-label={way === "setting" ? "Variable" : "Program"}
                placeholder={way === "setting" ? "variable" : "service.name"}
                autoComplete="off"
                spellcheck={false}
                value={name}
                onInput={(event) => setName(event.currentTarget.value)}
              />
            )}
            <button type="submit" class="button small" disabled={isBusy || !isWhole}>
              Do it
            </button>
          </form>
          {way === "redeploy" && (
            <p class="muted">
              <code>waybill lab code</code> prints the folder to edit.
            </p>
          )}
          <button type="button" class="button small primary" disabled={isBusy} onClick={() => void act("check")}>
            Check the fix with new orders
          </button>
        </>
      )}
    </section>
  );
}
