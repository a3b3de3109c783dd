// Every view is a real address, so it can be linked, reloaded and gone back to.
import { signal } from "@preact/signals";

export const url = signal(new URL(location.href));

export type Params = Record<string, string | readonly string[] | null | undefined>;

addEventListener("popstate", () => (url.value = new URL(location.href)));

document.addEventListener("click", (event) => {
  const link = (event.target as Element).closest?.("a[href]");
  const isPlainClick = !event.defaultPrevented && event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey);
  if (!(link instanceof HTMLAnchorElement) || !isPlainClick || link.target || link.hasAttribute("download")) return;
  if (link.origin !== location.origin || link.hash) return;
  event.preventDefault();
  navigate(link.href);
});

export function navigate(to: string, replace = false): void {
  const next = new URL(to, location.href);
  if (next.href === url.value.href) return;
  const isOtherView = next.pathname !== url.value.pathname;
  history[replace ? "replaceState" : "pushState"](null, "", next);
  url.value = next;
  if (isOtherView) scrollTo(0, 0);
}

/** Change some parameters of this address; "" or null removes one. */
export const setParams = (changes: Params, replace = true): void => navigate(withParams(url.value, changes), replace);

export function withParams(from: URL, changes: Params): string {
  const next = new URL(from);
  for (const [name, value] of Object.entries(changes)) {
    next.searchParams.delete(name);
    for (const one of typeof value === "string" ? [value] : (value ?? [])) if (one) next.searchParams.append(name, one);
  }
  return next.pathname + next.search;
}

/** An address of this page or of the read API, with parameters. */
export const address = (path: string, params: Params = {}): string => withParams(new URL(path, location.origin), params);

export const traceLink = (traceId: string, spanId?: string): string =>
  address(`/trace/${encodeURIComponent(traceId)}`, { span: spanId });
export const serviceLink = (name: string): string => `/services/${encodeURIComponent(name)}`;
