import { expect, test } from "vitest";
import { formatSql } from "./sql.ts";

const textOf = (statement: string): string =>
  formatSql(statement)
    .map((token) => token.text)
    .join("");

test("each clause has a line, and conditions are indented", () => {
  expect(textOf("SELECT id FROM orders WHERE a = ? AND b = ? ORDER BY id LIMIT 1")).toBe(
    "SELECT id\nFROM orders\nWHERE a = ?\n  AND b = ?\nORDER BY id\nLIMIT 1",
  );
});

test("the AND of BETWEEN and what is in brackets stay on their line", () => {
  expect(textOf("SELECT 1 WHERE a BETWEEN 1 AND 2 AND b IN (SELECT c FROM d WHERE e OR f)")).toBe(
    "SELECT 1\nWHERE a BETWEEN 1 AND 2\n  AND b IN (SELECT c FROM d WHERE e OR f)",
  );
});

test("words in literals, comments and quoted names are no keywords", () => {
  const kinds = formatSql(`SELECT 'it''s FROM', "WHERE", 42 -- FROM here`).map(({ text, kind }) => `${kind}:${text}`);
  expect(kinds.filter((one) => !/^plain: $/.test(one))).toEqual([
    "keyword:SELECT",
    "string:'it''s FROM'",
    "plain:,",
    'plain:"WHERE"',
    "plain:,",
    "number:42",
    "plain:-- FROM here",
  ]);
});

test.each([
  "",
  "not sql at all",
  "INSERT INTO t (a, b) VALUES (%(a)s, %(b)s) ON CONFLICT DO NOTHING RETURNING id",
  "SELECT a FROM b LEFT OUTER JOIN c ON b.i = c.i WHERE ((((",
  ")))) AND 'never closed",
])("nothing but white space changes: %s", (statement) => {
  expect(textOf(statement).replaceAll(/\s/g, "")).toBe(statement.replaceAll(/\s/g, ""));
});
