// Every view is a real address, so it can be linked, reloaded and gone back to.
import { signal } from "@preact/signals";

export const url = signal(new URL(location.href));

export type Params = Record<string, string | readonly string[] | null | undefined>;

// Each entry of the history has the place on its page: the browser would look for it before the data are there.
history.scrollRestoration = "manual";
let remembering = 0;
let isRestoring = false;
addEventListener("scroll", () => {
  clearTimeout(remembering);
  remembering = setTimeout(remember, 150);
});
addEventListener("popstate", () => {
  clearTimeout(remembering);
  url.value = new URL(location.href);
  restore(placeOf(history.state));
});

const placeOf = (state: unknown): number => (state as { top?: number } | null)?.top ?? 0;
const remember = (): void => {
  if (!isRestoring) history.replaceState({ top: scrollY }, "");
};

/** Scroll to a place once the page is long enough: some of it comes with an answer. */
export function restore(top = placeOf(history.state)): void {
  const deadline = Date.now() + 3000;
  isRestoring = true;
  const look = (): void => {
    const isThere = document.documentElement.scrollHeight - innerHeight >= top;
    if (!isThere && Date.now() < deadline) return void requestAnimationFrame(look);
    scrollTo(0, top);
    isRestoring = false;
  };
  requestAnimationFrame(look);
}

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
  clearTimeout(remembering);
  if (replace) history.replaceState(history.state, "", next);
  else {
    remember();
    history.pushState(null, "", next);
  }
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

/** What every link within the page takes along: the time, and its zone. */
const CARRIED = ["start", "end", "last", "since", "utc"];

/** An address of the read API, or of this page with the time that is shown now, with parameters. */
export function address(path: string, params: Params = {}): string {
  const carried = CARRIED.map((name) => [name, url.value.searchParams.get(name)]);
  const isApi = path.startsWith("/api/");
  return withParams(new URL(path, location.origin), { ...(isApi ? {} : Object.fromEntries(carried)), ...params });
}

export const traceLink = (traceId: string, spanId?: string): string =>
  address(`/trace/${encodeURIComponent(traceId)}`, { span: spanId });
export const serviceLink = (name: string): string => address(`/services/${encodeURIComponent(name)}`);
