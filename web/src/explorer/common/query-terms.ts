// Text of the query language: the terms that buttons and links add to a query, and what an address of earlier versions meant.

import { LEVELS } from "./api.ts";

/** What a query knows besides attributes. */
const FIELDS = "service operation name duration total status kind trace level logger body exists and or not".split(" ");

/** A value as a query has it: in quotes unless it is one plain word. */
export const quoted = (value: string): string =>
  /^[\p{L}\p{N}_.@%+~-][\p{L}\p{N}_./@%+~:-]*$/u.test(value) ? value : `"${value.replace(/["\\]/g, "\\$&")}"`;

/** That a field is exactly this. */
export const fieldTerm = (field: "service" | "operation" | "level" | "logger" | "trace", value: string): string =>
  `${field}=${field === "level" && !(LEVELS as readonly string[]).includes(value) ? `"${value}"` : quoted(value)}`;

/** That an attribute is exactly this. In quotes, a key is never a field. */
export const attributeTerm = (key: string, value: string): string => `${keyed(key)}=${quoted(value)}`;

const keyed = (key: string): string =>
  /^[\p{L}_][\w.\-/$@#]*$/u.test(key) && !FIELDS.includes(key.toLowerCase()) ? key : `"${key.replace(/["\\]/g, "\\$&")}"`;

/** The terms of a query that hold together, as they are written; null if there is an `or` between them. */
function termsOf(query: string): string[] | null {
  const terms: string[] = [];
  let current = "";
  let depth = 0;
  for (const [token] of query.matchAll(/"(?:\\.|[^"\\])*"?|\s+|[()]|[^\s"()]+/g)) {
    if (token === "(") depth += 1;
    if (token === ")") depth -= 1;
    if (depth > 0 || token.trim()) current += token;
    else if (current) {
      terms.push(current);
      current = "";
    }
  }
  if (current) terms.push(current);
  if (terms.some((one) => /^or$/i.test(one))) return null;
  const held = terms.filter((one) => !/^and$/i.test(one));
  return held.flatMap((one, i) => (isNot(held[i - 1]) ? [] : isNot(one) ? [held.slice(i, i + 2).join(" ")] : [one]));
}

const isNot = (one: string | undefined): boolean => one !== undefined && /^not$/i.test(one);

export const hasTerm = (query: string, one: string): boolean => termsOf(query)?.includes(one) ?? false;

/** The query with one more term that must hold. */
export function withTerm(query: string, one: string): string {
  const terms = termsOf(query);
  if (terms?.includes(one)) return query;
  return terms ? [...terms, one].join(" ") : `(${query.trim()}) ${one}`;
}

export const withoutTerm = (query: string, one: string): string =>
  termsOf(query)
    ?.filter((other) => other !== one)
    .join(" ") ?? query;

export const toggled = (query: string, one: string): string =>
  hasTerm(query, one) ? withoutTerm(query, one) : withTerm(query, one);

/** Whether a query ends in the middle of a term: after an operator, or inside quotes or parentheses. */
export function isUnfinished(query: string): boolean {
  const bare = query.replace(/"(?:\\.|[^"\\])*"/g, "x");
  return /([:=<>(!]|(^|\s)(-|and|or|not))\s*$/i.test(bare) || bare.includes('"') || count(bare, "(") > count(bare, ")");
}

const count = (text: string, letter: string): number => text.split(letter).length - 1;

/** The query without what it says of a field's size, such as `total>=1s`. */
export const withoutBounds = (query: string, field: string): string =>
  termsOf(query)
    ?.filter((one) => !new RegExp(`^${field}[<>]`).test(one))
    .join(" ") ?? query;

const OLD = ["service", "operation", "tag", "outcome", "min", "max", "level", "trace"];
const OUTCOMES: Record<string, string> = { failed: "status:error", refused: "status:refused" };

/** The query that an address with parameters of their own for each filter meant; null if it has none of them. */
export function fromOldFilters(params: URLSearchParams): string | null {
  if (!OLD.some((name) => params.has(name))) return null;
  const of = (name: string): string => (params.get(name) ?? "").trim();
  const terms = [
    of("q"),
    of("service") && fieldTerm("service", of("service")),
    of("service") && of("operation") && fieldTerm("operation", of("operation")),
    OUTCOMES[of("outcome")] ?? "",
    of("min") && `total>=${withUnit(of("min"))}`,
    of("max") && `total<=${withUnit(of("max"))}`,
    of("level") && `level>=${quoted(of("level"))}`,
    of("trace") && fieldTerm("trace", of("trace")),
    ...params.getAll("tag").map(ofTag),
  ];
  return terms.filter(Boolean).join(" ");
}

/** What removes them from an address. */
export const NO_OLD_FILTERS = Object.fromEntries(OLD.map((name) => [name, null]));

function ofTag(tag: string): string {
  const at = tag.indexOf("=");
  if (at < 0) return tag.trim() && `exists:${keyed(tag.trim())}`;
  const [key, value] = [tag.slice(0, at).trim(), tag.slice(at + 1).trim()];
  return attributeTerm(key, value);
}

/** A bare number is milliseconds. */
const withUnit = (text: string): string => (/^[\d.]+$/.test(text) ? `${text}ms` : text.replaceAll(" ", ""));
