import { expect, test } from "vitest";
import { byKey, hold } from "./held.ts";

interface Row {
  id: string;
  spans: number;
}
const keyed = (...rows: Row[]) => byKey(rows, (row) => row.id);

test("rows keep their order and are updated where they are, and new ones are counted", () => {
  const held = keyed({ id: "a", spans: 1 }, { id: "b", spans: 9 });
  const now = keyed({ id: "new", spans: 1 }, { id: "b", spans: 9 }, { id: "a", spans: 2 });
  expect(hold(now, held)).toEqual({
    shown: [
      { id: "a", spans: 2 },
      { id: "b", spans: 9 },
    ],
    waiting: 1,
  });
});

test("a row stays when so many came that it is no longer among the newest", () => {
  expect(hold(keyed({ id: "new", spans: 2 }), keyed({ id: "old", spans: 3 }))).toEqual({
    shown: [{ id: "old", spans: 3 }],
    waiting: 1,
  });
});

test("equal rows are all shown", () => {
  const same = keyed({ id: "a", spans: 1 }, { id: "a", spans: 1 });
  expect([...same.keys()]).toEqual(["a", "a 2"]);
  expect(hold(same, same).shown).toHaveLength(2);
});
