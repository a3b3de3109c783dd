import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { number } from "../../shared/format.ts";
import { type ApiError, getData } from "./api.ts";
import { Icon, ICONS } from "./parts.tsx";
import { Popover } from "./popover.tsx";
import { fromOldFilters, hasTerm, isUnfinished, NO_OLD_FILTERS, toggled, withTerm } from "./query-terms.ts";
import { address, setParams, url } from "./router.ts";
import "./query-box.css";

const COMMIT_MS = 400;
const SUGGEST_MS = 120;
const LIST = "query-suggestions";
const PROBLEM = "query-problem";

interface Suggestion {
  text: string;
  count: number | null;
}
interface Suggestions {
  /** Where in the text, in characters, the replaced word begins. */
  from: number;
  items: Suggestion[];
}
const NONE: Suggestions = { from: 0, items: [] };

/** The query in the address, also in one that has a parameter for each filter as links of earlier versions do. */
export const queryOf = (from: URL): string => fromOldFilters(from.searchParams) ?? from.searchParams.get("q") ?? "";

export const setQuery = (q: string, replace = true): void => setParams({ ...NO_OLD_FILTERS, q }, replace);

interface Props {
  signal: "traces" | "logs";
  placeholder: string;
  error: ApiError | undefined;
  /** Buttons that begin a term, and those that are a whole one. */
  starts?: readonly (readonly [string, string])[];
  toggles?: readonly (readonly [string, string])[];
  examples: readonly (readonly [string, string])[];
  children?: preact.ComponentChildren;
}

/** The one search of a view: a line of the query language, with what could come next. */
export function QueryBox({ signal, placeholder, error, starts = [], toggles = [], examples, children }: Props) {
  const query = queryOf(url.value);
  const input = useRef<HTMLInputElement>(null);
  const [text, setText] = useState(query);
  const [found, setFound] = useState<Suggestions>(NONE);
  const [active, setActive] = useState(-1);
  const timers = useRef({ commit: 0, suggest: 0 });
  const request = useRef(new AbortController());
  const isOpen = found.items.length > 0;

  useEffect(() => setText(query), [query]);
  useLayoutEffect(() => {
    if (fromOldFilters(url.value.searchParams) !== null) setQuery(query);
  }, [url.value]);
  useEffect(
    () => () => {
      request.current.abort();
      clearTimeout(timers.current.commit);
      clearTimeout(timers.current.suggest);
    },
    [],
  );

  const commit = (now: string): void => {
    clearTimeout(timers.current.commit);
    if (now.trim() !== query) setQuery(now.trim());
  };
  const close = (): void => {
    clearTimeout(timers.current.suggest);
    request.current.abort();
    setFound(NONE);
    setActive(-1);
  };
  const suggest = (): void => {
    clearTimeout(timers.current.suggest);
    request.current.abort();
    timers.current.suggest = setTimeout(async () => {
      const box = input.current;
      if (!box) return;
      const abort = new AbortController();
      request.current = abort;
      const q = box.value.slice(0, box.selectionStart ?? box.value.length);
      // Without suggestions one can still type, and what is wrong the search itself will say.
      const answer = await getData<Suggestions>(address("/api/suggestions", { signal, q }), abort.signal).catch(() => NONE);
      if (abort.signal.aborted || document.activeElement !== box) return;
      setFound(answer);
      setActive(-1);
    }, SUGGEST_MS);
  };
  const write = (now: string, caret = now.length): void => {
    setText(now);
    const box = input.current!;
    box.value = now;
    box.focus();
    box.setSelectionRange(caret, caret);
    if (!isUnfinished(now)) commit(now);
    suggest();
  };
  const accept = (suggestion: Suggestion): void => {
    const box = input.current!;
    const caret = box.selectionStart ?? box.value.length;
    const kept = [...box.value.slice(0, caret)].slice(0, found.from).join("");
    const isWhole = !isUnfinished(suggestion.text);
    const rest = box.value.slice(caret).trimStart();
    const before = `${kept}${suggestion.text}${isWhole ? " " : ""}`;
    write(before + rest, before.length);
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    const { length } = found.items;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const next = active + (event.key === "ArrowDown" ? 1 : -1);
      if (length) setActive(next < -1 ? length - 1 : next >= length ? -1 : next);
      else suggest();
    } else if ((event.key === "Enter" || event.key === "Tab") && active >= 0) {
      event.preventDefault();
      accept(found.items[active]!);
    } else if (event.key === "Enter") {
      close();
      commit(event.currentTarget instanceof HTMLInputElement ? event.currentTarget.value : text);
    } else if (event.key === "Escape" && active >= 0) {
      event.stopPropagation(); // the page's own Escape leaves the box, and with it the list
      close();
    }
  };

  return (
    <search class="query">
      <div class="query-line">
        <div class="query-box">
          <input
            ref={input}
            class="input mono"
            type="text"
            role="combobox"
            aria-label="Search"
            aria-keyshortcuts="/"
            aria-autocomplete="list"
            aria-expanded={isOpen}
            aria-controls={LIST}
            aria-activedescendant={active >= 0 ? `${LIST}-${active}` : undefined}
            aria-invalid={error?.position != null}
            aria-describedby={error?.position != null ? PROBLEM : undefined}
            data-search=""
            value={text}
            placeholder={placeholder}
            spellcheck={false}
            autocomplete="off"
            autocapitalize="off"
            onFocus={suggest}
            onClick={suggest}
            onKeyDown={onKeyDown}
            onInput={(event) => {
              const now = event.currentTarget.value;
              setText(now);
              clearTimeout(timers.current.commit);
              if (!isUnfinished(now)) timers.current.commit = setTimeout(() => commit(now), COMMIT_MS);
              suggest();
            }}
            onBlur={(event) => {
              close();
              commit(event.currentTarget.value);
            }}
          />
          {text && (
            <button type="button" class="query-clear" aria-label="Clear the search" onClick={() => write("")}>
              <Icon path={ICONS.close} />
            </button>
          )}
          <div id={LIST} class="query-list card" role="listbox" aria-label="Suggestions" hidden={!isOpen}>
            {found.items.map((item, i) => (
              <div
                key={item.text}
                id={`${LIST}-${i}`}
                role="option"
                aria-selected={i === active}
                onPointerDown={(event) => {
                  event.preventDefault(); // the box keeps the focus
                  accept(item);
                }}
              >
                <span class="mono">{item.text}</span>
                {item.count !== null && <span class="muted number">{number(item.count)}</span>}
              </div>
            ))}
          </div>
        </div>
        <Examples examples={examples} onChoose={write} />
      </div>
      {error?.position != null && <Problem query={query} error={error} />}
      <div class="query-quick">
        {toggles.map(([label, term]) => (
          <button
            key={term}
            type="button"
            class="button small"
            aria-pressed={hasTerm(query, term)}
            title={term}
            onClick={() => setQuery(toggled(query, term))}
          >
            {label}
          </button>
        ))}
        {starts.map(([label, start]) => (
          <button
            key={start}
            type="button"
            class="button small"
            title={`${start}…`}
            onClick={() => write(text.trim() ? withTerm(text, start) : start)}
          >
            {label} …
          </button>
        ))}
        <span class="query-end">{children}</span>
      </div>
    </search>
  );
}

interface ExamplesProps {
  examples: readonly (readonly [string, string])[];
  onChoose: (query: string) => void;
}
const Examples = ({ examples, onChoose }: ExamplesProps) => (
  <Popover label="Examples" name="Examples" title="Examples of a search" class="query-examples">
    {(close) => (
      <>
        <dl>
          {examples.map(([query, meaning]) => (
            <div key={query}>
              <dt>
                <button
                  type="button"
                  class="mono"
                  onClick={() => {
                    close();
                    onChoose(query);
                  }}
                >
                  {query}
                </button>
              </dt>
              <dd class="muted">{meaning}</dd>
            </div>
          ))}
        </dl>
        <p class="muted">Terms side by side must all hold. There are also “or”, “not” and parentheses.</p>
      </>
    )}
  </Popover>
);

/** Where in the query the problem is, and what it is. */
function Problem({ query, error }: { query: string; error: ApiError }) {
  const letters = [...query]; // positions count characters, of which some are two in a JavaScript string
  const at = Math.min(error.position!, letters.length);
  return (
    <div class="failure query-problem" role="alert" id={PROBLEM}>
      <p>{error.message.replace(/^.*?: position (\d+): /, "Character $1: ")}</p>
      <pre aria-hidden="true">
        {letters.slice(0, at).join("")}
        <mark>{letters[at] ?? " "}</mark>
        {letters.slice(at + 1).join("")}
      </pre>
    </div>
  );
}
