import { expect, test } from "vitest";
import { withEvidence } from "./open-questions.ts";

test("a span is its trace id and its own", () => {
  expect(withEvidence("span", "old text", "t1", "s1")).toBe("t1 s1");
  expect(withEvidence("order", "", "t1", "s1")).toBe("t1");
});

test("of two spans the first stays until both are there, then it begins again", () => {
  const first = withEvidence("two-spans", "", "t1", "s1");
  const both = withEvidence("two-spans", first, "t2", "s2");
  expect(both).toBe("t1 s1 t2 s2");
  expect(withEvidence("two-spans", both, "t3", "s3")).toBe("t3 s3");
});

test("of two traces there are only their ids", () => {
  expect(withEvidence("two-traces", "t1", "t2", "s2")).toBe("t1 t2");
  expect(withEvidence("two-traces", "t1 t2", "t3", "s3")).toBe("t3");
});
