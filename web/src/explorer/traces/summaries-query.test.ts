import { expect, test } from "vitest";
import { summariesQuery } from "./summaries-query.ts";

const queryOf = (search: string) => summariesQuery(new URLSearchParams(search), 100);

test("an address without filters leaves every parameter but the limit empty", () => {
  const { limit, ...others } = queryOf("");
  expect(limit).toBe("100");
  expect(Object.values(others).join("")).toBe("");
});

test.each([
  ["100", "100ms"],
  [" 1.5 ", "1.5ms"],
  ["2 s", "2s"],
  ["", ""],
])("a duration of %j is asked for as %j", (typed, sent) => {
  expect(queryOf(new URLSearchParams({ min: typed }).toString()).minTotal).toBe(sent);
  expect(queryOf(new URLSearchParams({ max: typed }).toString()).maxTotal).toBe(sent);
});

test("attributes are split at their first equals sign and sent as one JSON object", () => {
  const search = new URLSearchParams([
    ["tag", "order.id = 7"],
    ["tag", "url.query=a=b"],
    ["tag", "error"],
  ]);
  expect(queryOf(search.toString()).tags).toBe('{"order.id":"7","url.query":"a=b","error":""}');
});

test("an operation counts only with its service", () => {
  expect(queryOf("operation=GET").operation).toBe("");
  expect(queryOf("service=order-service&operation=GET").operation).toBe("GET");
});

test("an outcome is one of two", () => {
  expect(queryOf("outcome=failed")).toMatchObject({ failed: "1", refused: "" });
  expect(queryOf("outcome=refused")).toMatchObject({ failed: "", refused: "1" });
  expect(queryOf("outcome=odd")).toMatchObject({ failed: "", refused: "" });
});
