import { describe, expect, test } from "vitest";
import {
  attributeTerm,
  fieldTerm,
  fromOldFilters,
  hasTerm,
  isUnfinished,
  quoted,
  toggled,
  withoutBounds,
  withoutTerm,
  withTerm,
} from "./query-terms.ts";

test.each([
  ["order-service", "order-service"],
  ["POST /orders", '"POST /orders"'],
  ["http://x", "http://x"],
  ["//x", '"//x"'],
  ["-5", "-5"],
  ['say "hi"', '"say \\"hi\\""'],
  ["a\\b", '"a\\\\b"'],
  ["", '""'],
  ["(x)", '"(x)"'],
])("the value %j is written %j", (value, written) => expect(quoted(value)).toBe(written));

test("an attribute whose key is a field's name, or no plain word, has it in quotes", () => {
  expect(attributeTerm("order.region", "ap")).toBe("order.region=ap");
  expect(attributeTerm("level", "3")).toBe('"level"=3');
  expect(attributeTerm("a key", "b c")).toBe('"a key"="b c"');
  expect(fieldTerm("level", "INFO")).toBe("level=INFO");
});

describe("a term of a query", () => {
  test("is added once, and removed", () => {
    const ok = "status:ok";
    expect(withTerm("", ok)).toBe("status:ok");
    expect(withTerm('service:shop "not this"', ok)).toBe('service:shop "not this" status:ok');
    expect(withTerm("status:ok", ok)).toBe("status:ok");
    expect(withoutTerm("a status:ok b", ok)).toBe("a b");
    expect(toggled(toggled("a", ok), ok)).toBe("a");
  });

  test("is not the same text inside quotes or parentheses", () => {
    expect(hasTerm('"a status:ok b"', "status:ok")).toBe(false);
    expect(hasTerm("(status:ok or x)", "status:ok")).toBe(false);
    expect(hasTerm("not status:ok", "status:ok")).toBe(false);
    expect(withTerm("not status:ok", "a")).toBe("not status:ok a");
    expect(hasTerm("a and status:ok", "status:ok")).toBe(true);
  });

  test("of a size is removed by its field", () => {
    expect(withoutBounds("total>=1s a total<2s subtotal>1", "total")).toBe("a subtotal>1");
  });

  test("holds for all of a query that has alternatives", () => {
    expect(withTerm("a or b", "c:d")).toBe("(a or b) c:d");
    expect(withTerm("(a or b) e", "c:d")).toBe("(a or b) e c:d");
  });
});

test.each([
  ["service:", true],
  ["duration>=", true],
  ['"card decl', true],
  ['a:"b c"', false],
  ["(a or", true],
  ["(a or b)", false],
  ["a or ", true],
  ["order", false],
  ["", false],
])("%j ends in the middle of a term: %j", (query, isOpen) => expect(isUnfinished(query)).toBe(isOpen));

describe("an address with a parameter for each filter is the query", () => {
  test.each([
    ["service=payment-service", "service=payment-service"],
    ["service=shop&operation=POST+%2Forders", 'service=shop operation="POST /orders"'],
    ["operation=GET", ""],
    ["outcome=failed", "status:error"],
    ["outcome=refused&q=declined", "declined status:refused"],
    ["outcome=odd", ""],
    ["min=100&max=2+s", "total>=100ms total<=2s"],
    ["tag=order.id+%3D+7&tag=url.query%3Da%3Db&tag=error", 'order.id=7 url.query="a=b" exists:error'],
    ["level=WARN&trace=ab12", "level>=WARN trace=ab12"],
  ])("%j", (search, query) => expect(fromOldFilters(new URLSearchParams(search))).toBe(query));

  test("one with a query alone stays as it is", () => {
    expect(fromOldFilters(new URLSearchParams("q=a&start=1&end=2"))).toBeNull();
  });
});
