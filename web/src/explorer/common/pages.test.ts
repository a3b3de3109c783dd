import { expect, test } from "vitest";
import { joined } from "./pages.ts";

const keyOf = (item: { id: string }): string => item.id;
const item = (id: string, spans = 1) => ({ id, spans });
const loaded = (...items: { id: string; spans: number }[]) => ({
  path: "/",
  items: new Map(items.map((one) => [one.id, one])),
  next: "older",
});

test("what arrives is put before what was loaded, and what was known is as it is now", () => {
  const result = joined(loaded(item("b"), item("a")), [item("c"), item("b", 2)], keyOf);
  expect([...result!.items.values()]).toEqual([item("c"), item("b", 2), item("a")]);
  expect(result!.next).toBe("older");
});

test("without anything known in the newest page there may be a gap, and the list begins again", () => {
  expect(joined(loaded(item("a")), [item("c")], keyOf)).toBeNull();
  expect(joined(loaded(item("a")), [], keyOf)!.items.size).toBe(1);
});
