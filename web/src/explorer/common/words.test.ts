import { expect, test } from "vitest";
import { goDuration, measured, rate, shortService } from "./words.ts";

const spaced = (text: string): string => text.replaceAll("\u202f", " ");

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
