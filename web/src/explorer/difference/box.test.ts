import { expect, test } from "vitest";
import { boxOf, boxParam, boxSearch } from "./box.ts";

const AREA = { from: 1_000_000.4, to: 2_000_000, low: 5000, high: 250_000 };

test("a box goes into the address and comes back", () => {
  const text = boxParam(AREA, 100);
  expect(text).toBe("1000000,2000000,5000,250000");
  expect(boxOf(text)).toEqual({ from: 1_000_000, to: 2_000_000, low: 5000, high: 250_000, text });
});

test("what reaches down to the floor of the scale has every shorter trace in it", () => {
  expect(boxOf(boxParam({ ...AREA, low: 90 }, 100))?.low).toBe(0);
});

test.each(["", "1,2,3", "1,2,3,x", "1,2,3,-4", "1,2,3,4,5"])("%j is no box", (text) => {
  expect(boxOf(text)).toBeNull();
});

test("a box is a search of the list too, beside what was searched for", () => {
  const box = boxOf(boxParam(AREA, 100))!;
  expect(boxSearch(box, "status:error total>2s")).toMatchObject({
    q: "status:error total<=250ms total>=5ms",
    start: "1000000",
    end: "2000000",
    last: null,
    box: null,
  });
  expect(boxSearch({ ...box, low: 0 }, "")["q"]).toBe("total<=250ms");
});
