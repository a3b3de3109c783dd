// A list that comes in pages, the newest first: the first page is live, older ones are added on demand, until the end.
import { useEffect, useRef, useState } from "preact/hooks";
import { type ApiError, getAnswer, type Query, useQuery } from "./api.ts";

export interface Pages<T> extends Query<T[]> {
  items: readonly T[];
  /** Whether there are older ones than `items`. */
  hasOlder: boolean;
  isLoadingOlder: boolean;
  showOlder: () => void;
}

/** All that was loaded of a list, by key, and where it goes on. */
interface Loaded<T> {
  path: string;
  items: ReadonlyMap<string, T>;
  next: string | null;
}

/** The items that `path` (with parameters) answers, page by page. */
export function usePages<T>(path: string, every: number, keyOf: (item: T) => string): Pages<T> {
  const first = useQuery<T[]>(path, every);
  const loaded = useRef<Loaded<T> | null>(null);
  const wanted = useRef(path);
  wanted.current = path;
  const [older, setOlder] = useState<{ path: string; isLoading: boolean; error?: ApiError }>({ path, isLoading: false });
  if (loaded.current?.path !== first.path) loaded.current = null;
  if (loaded.current && first.data) loaded.current = joined(loaded.current, first.data, keyOf);
  const { items, next } = loaded.current ?? { items: null, next: first.next };
  const showOlder = async (): Promise<void> => {
    if (next === null || first.path !== path) return;
    const from = items ?? byId(first.data ?? [], keyOf);
    setOlder({ path, isLoading: true });
    try {
      const page = await getAnswer<T[]>(`${path}&cursor=${encodeURIComponent(next)}`);
      if (wanted.current !== path) return;
      const known = loaded.current?.items ?? from;
      loaded.current = { path, items: new Map([...known, ...byId(page.data, keyOf)]), next: page.next ?? null };
      setOlder({ path, isLoading: false });
    } catch (error) {
      setOlder({ path, isLoading: false, error: error as ApiError });
    }
  };
  const isOfPath = older.path === path;
  const isLoading = isOfPath && older.isLoading;
  const found = items ? [...items.values()] : (first.data ?? []);
  // A page is searched for a limited time: that it has nothing does not mean that older ones have nothing.
  const isToGoOn = !found.length && next !== null && !isLoading && !(isOfPath && older.error);
  useEffect(() => {
    if (isToGoOn) void showOlder();
  }, [isToGoOn, path, next]);
  return {
    ...first,
    error: first.error ?? (isOfPath ? older.error : undefined),
    isBusy: first.isBusy || (!found.length && next !== null && !(isOfPath && older.error)),
    items: found,
    hasOlder: next !== null,
    isLoadingOlder: isLoading,
    showOlder: () => void showOlder(),
  };
}

/** What was loaded, with the newest page as it is now; null if nothing of it was known: there may be a gap between the two. */
export function joined<T>(loaded: Loaded<T>, newest: readonly T[], keyOf: (item: T) => string): Loaded<T> | null {
  const page = byId(newest, keyOf);
  if (newest.length && ![...page.keys()].some((key) => loaded.items.has(key))) return null;
  for (const [key, item] of loaded.items) if (!page.has(key)) page.set(key, item);
  return { ...loaded, items: page };
}

const byId = <T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T> =>
  new Map(items.map((item) => [keyOf(item), item]));
