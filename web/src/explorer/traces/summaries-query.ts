// The filters in the address of the traces view -> the parameters of the read API's /api/summaries.
import type { Params } from "../common/router.ts";

export function summariesQuery(params: URLSearchParams, limit: number): Params {
  const of = (name: string): string => params.get(name) ?? "";
  const tags = Object.fromEntries(params.getAll("tag").map(splitTag));
  return {
    text: of("q"),
    service: of("service"),
    operation: of("service") && of("operation"),
    minTotal: withUnit(of("min")),
    maxTotal: withUnit(of("max")),
    failed: of("outcome") === "failed" ? "1" : "",
    refused: of("outcome") === "refused" ? "1" : "",
    tags: Object.keys(tags).length ? JSON.stringify(tags) : "",
    start: of("start"),
    end: of("end"),
    limit: String(limit),
  };
}

function splitTag(tag: string): [string, string] {
  const at = tag.indexOf("=");
  return at < 0 ? [tag, ""] : [tag.slice(0, at).trim(), tag.slice(at + 1).trim()];
}

/** A bare number is milliseconds. */
const withUnit = (text: string): string => (/^[\d.]+$/.test(text.trim()) ? `${text.trim()}ms` : text.replaceAll(" ", ""));
