// What is shown of a trace: errors, a least duration, services and libraries that are hidden, log lines.
import { useMemo } from "preact/hooks";
import { number, plural } from "../../shared/format.ts";
import { Field, Icon, ICONS } from "../common/parts.tsx";
import { setParams, url } from "../common/router.ts";
import { filterOf, libraryOf, microseconds } from "./choice.ts";
import type { Trace } from "./trace.ts";

const NAMES: Record<string, string> = { service: "service", library: "library" };

/** The filters, in a line of their own. */
export function FilterBar({ trace, passing }: { trace: Trace; passing: number }) {
  const params = url.value.searchParams;
  const { hidden, isErrors } = filterOf(params);
  const least = params.get("least") ?? "";
  const libraries = useMemo(() => [...new Set(trace.spans.map(libraryOf))].filter(Boolean).sort(), [trace]);
  const hide = (name: string): void => setParams({ hide: [...hidden, name] });
  return (
    <div class="waterfall-bar filter-bar" id="trace-filters" role="group" aria-label="Filters">
      <label class="toggle" title="Spans that failed or were refused, and what they are in">
        <input
          type="checkbox"
          checked={isErrors}
          onChange={(event) => setParams({ errors: event.currentTarget.checked ? "1" : null })}
        />
        Errors only
      </label>
      <Field
        label="At least"
        class="narrow inline"
        value={least}
        placeholder="10ms"
        onChange={(text) => setParams({ least: text.trim() })}
      />
      {least && microseconds(least) === null && <span class="warn-text">10ms and 1.5s are durations</span>}
      <label class="field inline">
        <span class="eyebrow">Hide</span>
        <select class="input" value="" onChange={(event) => event.currentTarget.value && hide(event.currentTarget.value)}>
          <option value="">a service or library …</option>
          <Options label="Services" kind="service" names={trace.services.map((one) => one.service)} hidden={hidden} />
          <Options label="Libraries" kind="library" names={libraries} hidden={hidden} />
        </select>
      </label>
      {hidden.length > 0 && (
        <ul class="chips" aria-label="Hidden">
          {hidden.map((name) => (
            <li key={name} class="chip">
              <span title={name}>without {name.replace(/^(service|library):/, "")}</span>
              <button
                type="button"
                aria-label={`Show the ${NAMES[name.split(":")[0]!]} ${name.slice(name.indexOf(":") + 1)} again`}
                onClick={() => setParams({ hide: hidden.filter((other) => other !== name) })}
              >
                <Icon path={ICONS.close} />
              </button>
            </li>
          ))}
        </ul>
      )}
      <span class="muted" role="status">
        {passing < trace.spans.length && `${number(passing)} of ${plural(trace.spans.length, "span")}`}
      </span>
    </div>
  );
}

interface OptionsProps {
  label: string;
  kind: string;
  names: readonly string[];
  hidden: readonly string[];
}
function Options({ label, kind, names, hidden }: OptionsProps) {
  const left = names.map((name) => `${kind}:${name}`).filter((name) => !hidden.includes(name));
  if (!left.length) return null;
  return (
    <optgroup label={label}>
      {left.map((name) => (
        <option key={name} value={name}>
          {name.slice(kind.length + 1)}
        </option>
      ))}
    </optgroup>
  );
}
