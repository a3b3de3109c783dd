import { number, plural } from "../../shared/format.ts";
import { useQuery } from "../common/api.ts";
import { live, range } from "../common/now.ts";
import { Service } from "../common/parts.tsx";
import { attributeTerm, fieldTerm, hasTerm, toggled } from "../common/query-terms.ts";
import { address } from "../common/router.ts";
import { isNarrow } from "../common/screen.ts";
import { timeParams } from "../common/time-range.ts";
import type { Facet, LogFacets } from "../common/search-api.ts";
import "./facets.css";

const REFRESH_MS = 10_000;
/** What has more values than this tells lines apart, such as an id: its values are folded. */
const MOST_OPEN = 20;

/** What the lines are of, with counts: each value is a filter. */
export function FacetList({ query }: { query: string }) {
  const path = address("/api/logs/facets", { q: query, ...timeParams(range.value) });
  const asked = useQuery<LogFacets>(path, live.value ? REFRESH_MS : 0);
  const found = asked.data;
  return (
    <details class={`card facets ${asked.isBusy ? "stale" : ""}`} open={!isNarrow.value}>
      <summary class="eyebrow">Filters</summary>
      {found?.facets.map((facet) => (
        <FacetValues key={facet.field} facet={facet} query={query} />
      ))}
      {found && found.every > 1 && (
        <p class="muted">
          Counted in every {found.every}th of {plural(found.lines, "line")}, and multiplied.
        </p>
      )}
    </details>
  );
}

/** The term of the query language for a value of a facet. */
export const termOf = (key: string, value: string): string =>
  key === "service" || key === "level" || key === "logger" ? fieldTerm(key, value) : attributeTerm(key, value);

const FacetValues = ({ facet: { field: key, values, distinct }, query }: { facet: Facet; query: string }) => (
  <details open={distinct <= MOST_OPEN}>
    <summary>
      <h2>{key}</h2>
    </summary>
    <ul aria-label={key}>
      {values.map(({ value, count }) => {
        const term = termOf(key, value);
        const isOn = hasTerm(query, term);
        return (
          <li key={value}>
            <a
              class="facet"
              href={address("/logs", { q: toggled(query, term) })}
              aria-current={isOn || undefined}
              title={isOn ? `Lines of every ${key}` : `Only lines with ${term}`}
            >
              <span class="facet-value">{key === "service" ? <Service name={value} isShort /> : value || "(empty)"}</span>
              <span class="muted number">{number(count)}</span>
            </a>
            <a
              class="facet-not"
              href={address("/logs", { q: toggled(query, `-${term}`) })}
              aria-label={`Without ${term}`}
              title={`Without ${term}`}
            >
              −
            </a>
          </li>
        );
      })}
    </ul>
    {distinct > values.length && (
      <p class="muted">
        {number(values.length)} of {plural(distinct, "value")}
      </p>
    )}
  </details>
);
