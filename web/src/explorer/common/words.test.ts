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

test.each([
  [0, "0/s"],
  [0.5, "30/min"],
  [12, "12/s"],
  [1234.4, "1,234/s"],
  [2.345, "2.3/s"],
  [0.8278, "50/min"],
  [0.00111, "4/h"],
  [Number.NaN, "–"],
])("a rate of %d a second has two figures: %s", (perSecond, text) => expect(rate(perSecond)).toBe(text));

test("a duration for the read API keeps its precision", () => {
  expect(goDuration(-3)).toBe("0us");
  expect(goDuration(999)).toBe("999us");
  expect(goDuration(1_250)).toBe("1.3ms");
});

test("a service is short without its suffix, but never empty", () => {
  expect(shortService("order-service")).toBe("order");
  expect(shortService("-service")).toBe("-service");
});
