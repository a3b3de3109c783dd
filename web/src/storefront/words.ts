// What the API's names mean, in words.

import type { Failure, Problem, Reason, Region, Status } from "./api.ts";

export const REGIONS: [Region, string][] = [
  ["eu", "Europe"],
  ["us", "United States"],
  ["ap", "Asia-Pacific"],
];

export const CARDS: { token: string; name: string; does: string }[] = [
  { token: "tok_approve", name: "A good card", does: "Approved immediately." },
  { token: "tok_decline", name: "An empty card", does: "Declined: see the stock given back." },
  { token: "tok_slow", name: "A slow bank", does: "Approved two seconds later: see where." },
  { token: "tok_fail_then_succeed", name: "A shaky line", does: "Fails once, then works: see the retry." },
];

export const STATUS: Record<Status, { name: string; tone: "good" | "bad" | "info" }> = {
  PENDING: { name: "Taken", tone: "info" },
  RESERVED: { name: "Stock reserved", tone: "info" },
  CHARGED: { name: "Card charged", tone: "info" },
  CONFIRMED: { name: "Confirmed", tone: "good" },
  CANCELLED: { name: "Canceled", tone: "bad" },
};

export const REASONS: Record<Reason, { short: string; whole: string }> = {
  out_of_stock: {
    short: "out of stock",
    whole: "There is not enough left of an item. Nothing was charged, and nothing is held back for you.",
  },
  unknown_item: { short: "unknown item", whole: "An item is not sold here any more. Nothing was charged." },
  payment_declined: {
    short: "card declined",
    whole: "The card was declined. Nothing was charged, and the stock is back on the shelf.",
  },
  refused: { short: "refused", whole: "One of the services refused the order. Money and stock were given back." },
  timed_out: { short: "timed out", whole: "The order could not be finished in time. Money and stock were given back." },
};

/** What to do about a failed request. */
export function advice(failure: Failure): string {
  const { problem } = failure;
  if (problem === null)
    return "order-service does not answer. Is the stack up? Start it with `make demo`, or look with `waybill doctor`.";
  if (problem.status === 503) return "A dependency is unavailable. `waybill doctor` reports which one. Then try again.";
  return problem.detail;
}

/** The reasons that a problem gives for fields of this name, such as `payment_token` or `lines.0.quantity`. */
export function fieldErrors(problem: Problem | null, field: RegExp): string[] {
  return (problem?.errors ?? []).filter((error) => field.test(error.field)).map((error) => error.reason);
}
