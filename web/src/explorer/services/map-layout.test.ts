import { expect, test } from "vitest";
import type { ServiceMap } from "../common/api.ts";
import { callsOf, dependencyId, layOut, NODE } from "./map-layout.ts";

const FIGURES = { count: 1, rate: 1, errors: 0, refused: 0, p50: 1, p95: 1, p99: 1 };

const mapOf = (calls: [string, string][], dependencies: Record<string, string[]> = {}): ServiceMap => ({
  services: [...new Set(calls.map(([, child]) => child))].map((service) => ({ service, ...FIGURES })),
  calls: calls.map(([parent, child]) => ({ parent, child, ...FIGURES })),
  dependencies: Object.entries(dependencies).map(([id, callers]) => ({
    ...{ id, kind: "database", system: "sqlite", name: id, address: "", query: "" },
    ...FIGURES,
    callers: callers.map((service) => ({ service, ...FIGURES })),
  })),
});
const SHOP = mapOf(
  [
    ["page", "order"],
    ["order", "stock"],
    ["order", "payment"],
    ["page", "payment"],
  ],
  { orders: ["order"], charges: ["payment"], cache: ["order", "stock"] },
);
const columns = (map: ServiceMap): Record<string, number> =>
  Object.fromEntries(layOut(map, false).nodes.map(({ id, x }) => [id, x]));

test("a caller is left of what it calls, over the longest way", () => {
  const { page, order, payment, ...rest } = columns(SHOP);
  expect(page).toBe(0);
  expect(order).toBeGreaterThan(page!);
  expect(payment).toBeGreaterThan(order!);
  expect(rest[dependencyId("charges")]).toBeGreaterThan(payment!);
});

test.each([false, true])("services that call each other in a circle end the layout too (narrow: %s)", (isNarrow) => {
  const map = mapOf([
    ["a", "b"],
    ["b", "c"],
    ["c", "a"],
  ]);
  const { nodes, edges, others } = layOut(map, isNarrow);
  expect(nodes.map((node) => node.id).sort()).toEqual(["a", "b", "c"]);
  expect(edges.length + others.length).toBe(3);
});

test.each([false, true])("no box covers another, and all are inside (narrow: %s)", (isNarrow) => {
  const layout = layOut(SHOP, isNarrow);
  expect(layout.nodes).toHaveLength(7);
  for (const one of layout.nodes) {
    expect(one.x + NODE.width).toBeLessThanOrEqual(layout.width);
    expect(one.y + one.height).toBeLessThanOrEqual(layout.height);
    for (const other of layout.nodes) {
      const [top, bottom] = one.y < other.y ? [one, other] : [other, one];
      const isApart = Math.abs(one.x - other.x) >= NODE.width || bottom.y - top.y >= top.height;
      expect(one === other || isApart, `${one.id} and ${other.id}`).toBe(true);
    }
  }
});

test("a service and a dependency of the same name are two boxes", () => {
  const { nodes } = layOut(mapOf([["page", "order"]], { order: ["order"] }), false);
  expect(nodes.map((node) => node.id).sort()).toEqual(["dependency order", "order", "page"]);
});

test("in one column every call has an arrow or is listed, and no arrow passes a box", () => {
  const { nodes, edges, others } = layOut(SHOP, true);
  expect([...edges.map((edge) => edge.call), ...others]).toHaveLength(callsOf(SHOP).length);
  for (const { call, trunk } of edges) {
    const [, x, from, to] = trunk!.match(/^M([\d.]+) ([\d.]+)V([\d.]+)$/)!.map(Number) as [number, number, number, number];
    for (const node of nodes) {
      const isBeside = node.y + node.height <= from || node.y >= to || node.x > x;
      expect(isBeside, `${call.parent} to ${call.child} passes ${node.id}`).toBe(true);
    }
  }
});
