import { expect, test } from "vitest";
import type { ServiceMap } from "../common/api.ts";
import { layOut, NODE } from "./map-layout.ts";

const FIGURES = { count: 1, rate: 1, errors: 0, refused: 0, p50: 1, p95: 1, p99: 1 };

const mapOf = (...calls: [string, string][]): ServiceMap => ({
  services: [...new Set(calls.map(([, child]) => child))].map((service) => ({ service, ...FIGURES })),
  calls: calls.map(([parent, child]) => ({ parent, child, ...FIGURES })),
});
const columns = (map: ServiceMap): Record<string, number> =>
  Object.fromEntries(layOut(map, false).nodes.map(({ service, x }) => [service, x]));

test("a caller is left of what it calls, over the longest way", () => {
  const { page, order, payment } = columns(mapOf(["page", "order"], ["order", "payment"], ["page", "payment"]));
  expect(page).toBe(0);
  expect(order).toBeGreaterThan(page!);
  expect(payment).toBeGreaterThan(order!);
});

test("services that call each other in a circle end the layout too", () => {
  const { nodes, edges } = layOut(mapOf(["a", "b"], ["b", "c"], ["c", "a"]), false);
  expect(nodes.map((node) => node.service).sort()).toEqual(["a", "b", "c"]);
  expect(edges).toHaveLength(3);
});

test.each([false, true])("no box covers another, and all are inside (narrow: %s)", (isNarrow) => {
  const layout = layOut(mapOf(["a", "b"], ["a", "c"], ["a", "d"], ["c", "e"], ["d", "e"]), isNarrow);
  for (const one of layout.nodes) {
    expect(one.x + NODE.width).toBeLessThanOrEqual(layout.width);
    expect(one.y + NODE.height).toBeLessThanOrEqual(layout.height);
    for (const other of layout.nodes) {
      const isApart = Math.abs(one.x - other.x) >= NODE.width || Math.abs(one.y - other.y) >= NODE.height;
      expect(one === other || isApart, `${one.service} and ${other.service}`).toBe(true);
    }
  }
});
