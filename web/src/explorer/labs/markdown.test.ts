import { expect, test } from "vitest";
import { inline, parse } from "./markdown.ts";

const text = (value: string) => [{ kind: "text", text: value }];

test("lines of a paragraph are one text, and a blank line ends it", () => {
  expect(parse("one\ntwo\n\nthree\n")).toEqual([
    { kind: "paragraph", text: text("one two") },
    { kind: "paragraph", text: text("three") },
  ]);
});

test("a heading is one line, whatever follows", () => {
  expect(parse("# Two seconds\nSlow.")).toEqual([
    { kind: "heading", level: 1, text: text("Two seconds") },
    { kind: "paragraph", text: text("Slow.") },
  ]);
});

test("indented and fenced lines are code as it is", () => {
  expect(parse("    waybill order \\\n      --no-wait")).toEqual([{ kind: "code", text: "waybill order \\\n  --no-wait" }]);
  expect(parse("Run:\n```sh\na\n\nb\n```\nthen")).toEqual([
    { kind: "paragraph", text: text("Run:") },
    { kind: "code", text: "a\n\nb" },
    { kind: "paragraph", text: text("then") },
  ]);
});

test("an item of a list may have several lines", () => {
  expect(parse("- one\n  more\n- two")).toEqual([{ kind: "list", items: [text("one more"), text("two")] }]);
});

test("code, bold and links are parts of a line", () => {
  expect(inline("a `b` **c** [d](/e) f")).toEqual([
    { kind: "text", text: "a " },
    { kind: "code", text: "b" },
    { kind: "text", text: " " },
    { kind: "bold", text: "c" },
    { kind: "text", text: " " },
    { kind: "link", text: "d", href: "/e" },
    { kind: "text", text: " f" },
  ]);
});
