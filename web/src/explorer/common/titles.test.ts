import { describe, expect, test } from "vitest";
import { goDuration, isSql, measured, peer, rate, shortService, shortSql, title } from "./titles.ts";
import type { Span, Tags, TagValue } from "../trace/trace-tree.ts";

const spanOf = (name: string, tags: Record<string, TagValue>): Span =>
  ({ name, tags: new Map(Object.entries(tags)) as Tags }) as Span;
const spaced = (text: string): string => text.replaceAll("\u202f", " ");

describe("a span's title", () => {
  test("is its name", () => expect(title(spanOf("GET /orders", {}))).toBe("GET /orders"));
  test("is its SQL, shortened, whichever convention names it", () => {
    const statement = 'SELECT "orders"."id", orders.status FROM orders WHERE orders.id = ?';
    expect(title(spanOf("SELECT orders", { "db.query.text": statement }))).toBe("SELECT … FROM orders WHERE id = ?");
    expect(title(spanOf("SELECT orders", { "db.statement": statement }))).toBe("SELECT … FROM orders WHERE id = ?");
  });
  test("is the command of a database without SQL, with the database's name", () =>
    expect(title(spanOf("GET", { "db.query.text": "GET ?", "db.system.name": "redis" }))).toBe("redis GET ?"));
});

test("SQL loses column lists, quotes and the table's own qualifier", () => {
  expect(shortSql("INSERT INTO orders (id, status) VALUES (?, ?)")).toBe("INSERT INTO orders");
  expect(shortSql("UPDATE orders SET status=?, total=? WHERE orders.id = ?")).toBe("UPDATE orders SET … WHERE id = ?");
  expect(shortSql("  DELETE\n FROM orders\tWHERE id = ? ")).toBe("DELETE FROM orders WHERE id = ?");
});

test("a command of Redis is no SQL", () => {
  expect(isSql("select 1")).toBe(true);
  expect(isSql("SELECTED")).toBe(false);
  expect(isSql("HGETALL ?")).toBe(false);
});

test("a bare client call says where it went, without scheme and query", () => {
  const tags = { "span.kind": "client", "url.full": "http://127.0.0.1:8081/items?secret=1#top" };
  expect(peer(spanOf("GET", tags))).toBe("127.0.0.1:8081/items");
  expect(peer(spanOf("GET /items", tags))).toBe("");
  expect(peer(spanOf("GET", { ...tags, "span.kind": "server" }))).toBe("");
});

test.each([
  [1.5, "s", "1.50 s"],
  [12, "ms", "12.0 ms"],
  [-12, "ms", "-12.0 ms"],
  [2048, "By", "2.05 kB"],
  [12_300, "1", "12.3 k"],
  [4e6, "{order}", "4 M"],
  [2, "Cel", "2 Cel"],
])("a measured %d of unit %s is %s", (value, unit, text) => expect(spaced(measured(value, unit))).toBe(text));

test("less than one a second is told per minute", () => {
  expect(rate(0)).toBe("0/s");
  expect(rate(0.5)).toBe("30/min");
  expect(rate(12)).toBe("12/s");
});

test("a duration for the read API keeps its precision", () => {
  expect(goDuration(-3)).toBe("0us");
  expect(goDuration(999)).toBe("999us");
  expect(goDuration(1_250)).toBe("1.3ms");
});

test("a service is short without its suffix, but never empty", () => {
  expect(shortService("order-service")).toBe("order");
  expect(shortService("-service")).toBe("-service");
});
