import { expect, test } from "vitest";
import durations from "./durations.json" with { type: "json" };
import { ago, bytes, duration, money, number, percent, plural } from "./format.ts";

const spaced = (text: string): string => text.replaceAll("\u202f", " ");

test.each(durations as [number, string][])("a duration of %d µs is %s, as in the terminal", (us, text) =>
  expect(spaced(duration(us))).toBe(text),
);

test.each([
  [0, "0 B"],
  [512, "512 B"],
  [999, "999 B"],
  [1000, "1.00 kB"],
  [34.2e6, "34.2 MB"],
  [5e15, "5000 TB"],
])("%d bytes are %s", (count, text) => expect(spaced(bytes(count))).toBe(text));

test.each([
  [12_345, "12,345"],
  [0.0712, "0.0712"],
  [0.5, "0.5"],
  [99.999, "100"],
  [-1234.5, "-1,235"],
  [Number.NaN, "–"],
  [Number.POSITIVE_INFINITY, "–"],
])("the number %d is written %s", (value, text) => expect(number(value)).toBe(text));

test.each([
  [0, "0 %"],
  [0.004, "0.4 %"],
  [0.0995, "10 %"],
  [1, "100 %"],
])("a share of %d is %s", (share, text) => expect(spaced(percent(share))).toBe(text));

test("money has as many decimals as its currency", () => {
  expect(money(1250, "EUR")).toBe("€12.50");
  expect(money(1250, "JPY")).toBe("¥1,250");
  expect(money(1250, "KWD").replace("\u00a0", " ")).toBe("KWD 1.250");
});

test.each([
  [0, "just now"],
  [40, "40 s ago"],
  [300, "5 min ago"],
  [10_800, "3 h ago"],
  [172_800, "12 Nov"],
])("%d seconds ago is %s", (seconds, text) => {
  const now = new Date(2026, 10, 14, 12).getTime();
  expect(ago((now - seconds * 1000) * 1000, now)).toBe(text);
});

test("only one is singular", () => {
  expect(plural(0, "span")).toBe("0 spans");
  expect(plural(1, "span")).toBe("1 span");
  expect(plural(12_345, "query", "queries")).toBe("12,345 queries");
});
