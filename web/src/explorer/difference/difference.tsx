import { duration, plural } from "../../shared/format.ts";
import { useQuery } from "../common/api.ts";
import { betweenText, boxSearch, boxOf } from "./box.ts";
import { NO_OLD_FILTERS } from "../common/query-terms.ts";
import { queryOf } from "../common/query-box.tsx";
import { Failure, Field, Found, Icon, ICONS, Service } from "../common/parts.tsx";
import { address, type Params, setParams, url, withParams } from "../common/router.ts";
import type { DifferenceJson, DifferenceRow, FactJson } from "./difference-api.ts";
import "./difference.css";

const SELECTIONS = [
  ["slow", "Slow ones", "The slowest tenth of each operation"],
  ["failed", "Failed ones", "Traces with a span that failed"],
  ["refused", "Refused ones", "Traces in which something was refused and nothing failed"],
] as const;

/** All that the search finds, against the others of its time. */
const FOUND = ["found", "Ones found", "All that the search finds, against the other traces of this time"] as const;

/**
 * What is different about some of the traces that a search found, or about all of them: slow ones, failed ones, those in a box
 * of the scatter. `query` are the parameters of the search, as /api/summaries takes them. The choice is in the address: `diff`,
 * `box`, and in `against` another search, if it is not the others.
 */
export function WhatIsDifferent({ query }: { query: Params }) {
  const params = url.value.searchParams;
  const box = boxOf(params.get("box") ?? "");
  const against = params.get("against") ?? "";
  const selections = query.q ? [...SELECTIONS, FOUND] : SELECTIONS;
  const diff = selections.find(([id]) => id === params.get("diff"))?.[0] ?? "";
  const chosen = box ? "box" : diff;
  const part = box ? { box: box.text } : diff === "found" ? {} : { select: diff };
  return (
    <section class="card difference" aria-label="What is different?">
      <div class="difference-head">
        <h2 class="eyebrow">What is different about the</h2>
        {selections.map(([id, label, title]) => (
          <button
            key={id}
            type="button"
            class={`button small ${chosen === id ? "chosen" : ""}`}
            aria-pressed={chosen === id}
            title={title}
            onClick={() => setParams({ diff: chosen === id ? null : id, box: null }, false)}
          >
            {label}
          </button>
        ))}
        {box ? (
          <button type="button" class="button small" onClick={() => setParams(boxSearch(box, queryOf(url.value)), false)}>
            Show only these
          </button>
        ) : (
          <span class="muted wide-only">or drag a box in the chart</span>
        )}
        {chosen && (
          <>
            <Field
              label="compared with"
              value={against}
              placeholder="the others"
              onChange={(text) => setParams({ against: text })}
            />
            <button
              type="button"
              class="button small quiet close"
              aria-label="Close what is different"
              onClick={() => setParams({ diff: null, box: null, against: null }, false)}
            >
              <Icon path={ICONS.close} />
            </button>
          </>
        )}
      </div>
      {box && (
        <p class="muted difference-note">
          Chosen: {duration(box.low)} to {duration(box.high)}, {betweenText(box)}
        </p>
      )}
      {chosen && <Differences path={address("/api/difference", { ...query, limit: null, ...part, against })} linkTo={narrowed} />}
    </section>
  );
}

/** The address of this list with the traces alone that have a fact. */
const narrowed = (term: string): string => {
  const q = [queryOf(url.value), term].filter(Boolean).join(" ");
  return withParams(url.value, { ...NO_OLD_FILTERS, q, diff: null, box: null, against: null });
};

/** What the read API says is different, in rows; a fact leads to the traces that `linkTo` gives an address of. */
export function Differences({ path, linkTo }: { path: string; linkTo: (term: string) => string }) {
  const found = useQuery<DifferenceJson>(path);
  const { data } = found;
  const text = data ? `${plural(data.rows.length, "difference")}. ${data.note}` : "";
  return (
    <div class={found.isBusy && data ? "stale" : ""} aria-busy={found.isBusy}>
      <Found {...found} text={text} />
      {found.error && <Failure error={found.error} />}
      {!data && found.isBusy && <p class="muted difference-note">Comparing …</p>}
      {data && (
        <>
          <p class="muted difference-note">
            {plural(data.selected, data.noun.replace(/s$/, ""), data.noun)}, {plural(data.others, "other")}. {data.note}
          </p>
          {data.rows.length > 0 && (
            <ol class="difference-rows">
              {data.rows.map((row) => (
                <Row key={`${row.kind} ${row.service} ${row.key} ${row.value}`} row={row} noun={data.noun} linkTo={linkTo} />
              ))}
            </ol>
          )}
        </>
      )}
    </div>
  );
}

interface RowProps {
  row: DifferenceRow;
  noun: string;
  linkTo: (term: string) => string;
}
const Row = ({ row, noun, linkTo }: RowProps) => (
  <li class="difference-row">
    <p class="difference-fact">
      <Fact fact={row} linkTo={linkTo} />
    </p>
    <p class="difference-sentence">{row.sentence}</p>
    <div class="difference-bars" aria-hidden="true">
      <Bar share={row.selectedShare} name={noun} />
      <Bar share={row.othersShare} name="others" />
    </div>
    {row.alike.length > 0 && (
      <details class="difference-alike">
        <summary class="muted">As often: {row.alike.length} more</summary>
        <ul>
          {row.alike.map((fact) => (
            <li key={`${fact.kind} ${fact.service} ${fact.key} ${fact.value}`}>
              <Fact fact={fact} linkTo={linkTo} />
            </li>
          ))}
        </ul>
      </details>
    )}
  </li>
);

const Bar = ({ share, name }: { share: number; name: string }) => (
  <>
    <span class="muted">{name}</span>
    <span class="bar-track">
      <span class={`bar ${name === "others" ? "others" : ""}`} style={{ width: `${share * 100}%` }} />
    </span>
  </>
);

/** A fact; a click adds it to the search. */
function Fact({ fact, linkTo }: { fact: FactJson; linkTo: (term: string) => string }) {
  const text =
    fact.kind === "attribute"
      ? `${fact.key}=${fact.value}`
      : fact.kind === "duration"
        ? `${fact.key} ≥ ${fact.value}`
        : fact.value;
  return (
    <>
      {fact.query ? (
        <a class="mono" href={linkTo(fact.query)} title={`Show the traces with it: ${fact.query}`}>
          {text}
        </a>
      ) : (
        <span class="mono">{text}</span>
      )}{" "}
      {fact.service && fact.kind !== "service" && <Service name={fact.service} isShort />}
      {fact.kind !== "attribute" && <span class="muted"> {fact.kind}</span>}
    </>
  );
}
