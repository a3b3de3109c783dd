import { expect, test } from "vitest";
import { span, traceOf } from "./trace.fixture.ts";

test("the server's indexes become references", () => {
  const trace = traceOf(
    span("root", 0, 50),
    span("call", 5, 40, { parent: 0 }),
    span("served", 10, 30, { parent: 1, process: 1 }),
    span("last", 45, 1, { parent: 0 }),
    span("orphan", 60, 1),
  );
  expect(trace.roots.map((one) => one.spanID)).toEqual(["root", "orphan"]);
  expect(trace.root.children.map((one) => one.spanID)).toEqual(["call", "last"]);
  const served = trace.byId.get("served");
  expect(served?.parent?.parent).toBe(trace.root);
  expect(served?.service).toBe("payment-service");
});
