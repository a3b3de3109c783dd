// What the page knows, and what can be done with it.

import { computed, effect, signal } from "@preact/signals";
import {
  call,
  Failure,
  newOrderRequest,
  type Answer,
  type Catalogue,
  type Item,
  type NewOrder,
  type Order,
  type OrderPage,
  type PageConfig,
  type Region,
} from "./api.ts";
import { beginInteraction, type Interaction } from "./interaction.ts";

export const MAX_QUANTITY = 1000;
const MAX_LINES = 20;
const PAGE = 10;
const ATTEMPTS = 3;

export const config = signal<PageConfig>({
  version: "",
  deployment_environment: "",
  otlp_endpoint: null,
  traces_url: null,
});

export type Loaded<T> = { state: "loading" } | { state: "failed"; failure: Failure } | { state: "here"; value: T };

export const catalogue = signal<Loaded<Item[]>>({ state: "loading" });
export const recent = signal<Loaded<OrderPage>>({ state: "loading" });

export const basket = signal<Record<string, number>>({});
export const token = signal("tok_approve");
export const region = signal<Region>("eu");

export type Placing =
  | { state: "idle" }
  | { state: "sending"; attempt: number; since: number }
  | { state: "failed"; failure: Failure }
  | { state: "answered"; order: Order; traceId: string | null };

export const placing = signal<Placing>({ state: "idle" });

/** Order id -> trace id, of the orders that were placed here. */
export const traces = signal<Record<string, string>>(remembered("waybill.traces", {}));
effect(() => remember("waybill.traces", traces.value));

/** The Idempotency-Key of an order that has not been answered: sent again, even after a reload, it is not placed twice. */
const pending = signal<{ key: string; body: string } | null>(remembered("waybill.pending", null));
effect(() => remember("waybill.pending", pending.value));

export const lines = computed(() => {
  const items = catalogue.value.state === "here" ? catalogue.value.value : [];
  return items.map((item) => ({ item, quantity: basket.value[item.sku] ?? 0 })).filter((line) => line.quantity > 0);
});

export const total = computed(() => lines.value.reduce((sum, { item, quantity }) => sum + item.price * quantity, 0));

/** Why the order cannot be placed yet; null when it can. */
export const hindrance = computed(() => {
  if (lines.value.length === 0) return "Choose at least one item.";
  if (lines.value.length > MAX_LINES) return `An order has ${MAX_LINES} different items at most.`;
  return null;
});

export function setQuantity(sku: string, quantity: number): void {
  const whole = Math.min(MAX_QUANTITY, Math.max(0, Math.trunc(quantity) || 0));
  basket.value = { ...basket.value, [sku]: whole };
}

/** Choose the lines of an order again. */
export function fillBasket(order: Order): void {
  basket.value = Object.fromEntries(order.lines.map(({ sku, quantity }) => [sku, quantity]));
}

export async function loadCatalogue(): Promise<void> {
  if (catalogue.value.state === "failed") catalogue.value = { state: "loading" };
  catalogue.value = await loaded(call<Catalogue>("/items"), ({ items }) => items);
}

export async function loadRecent(): Promise<void> {
  if (recent.value.state === "failed") recent.value = { state: "loading" };
  recent.value = await loaded(call<OrderPage>(`/orders?limit=${PAGE}`), (page) => page);
}

export async function loadOlder(): Promise<void> {
  const shown = recent.value;
  if (shown.state !== "here" || !shown.value.next_cursor) return;
  const older = await loaded(call<OrderPage>(`/orders?limit=${PAGE}&cursor=${shown.value.next_cursor}`), (page) => page);
  if (older.state !== "here") return;
  recent.value = { state: "here", value: { ...older.value, orders: [...shown.value.orders, ...older.value.orders] } };
}

/** Place what is in the basket; a second call while the first is on its way does nothing. */
export async function placeOrder(event: Event): Promise<void> {
  if (placing.value.state === "sending" || hindrance.value) return;
  const order: NewOrder = {
    customer_id: "cus_storefront",
    region: region.value,
    payment_token: token.value,
    lines: lines.value.map(({ item, quantity }) => ({ sku: item.sku, quantity })),
  };
  const click = beginInteraction("Place order", event);
  try {
    const answer = await send(order, keyFor(order), click);
    pending.value = null;
    if (answer.traceId) traces.value = newest({ ...traces.value, [answer.body.id]: answer.traceId });
    basket.value = {};
    show(answer.body, answer.traceId);
    click.end();
    await follow(answer.body, answer.traceId, click);
  } catch (error) {
    const failure = error instanceof Failure ? error : new Failure(null);
    if (!failure.passing) pending.value = null;
    placing.value = { state: "failed", failure };
    click.end(failure.message);
  }
}

/** The order's request, again and again under one key while there is no response or the service says to retry later. */
async function send(order: NewOrder, key: string, click: Interaction): Promise<Answer<Order>> {
  const since = performance.now();
  for (let attempt = 1; ; attempt += 1) {
    placing.value = { state: "sending", attempt, since };
    try {
      return await click.run(() => call<Order>("/orders", newOrderRequest(order, key)));
    } catch (error) {
      if (!(error instanceof Failure) || !error.passing || attempt === ATTEMPTS) throw error;
      await pause(Math.max(error.retryAfter, 300 * 2 ** attempt));
    }
  }
}

/** Look after an order that is still being processed, until it is settled or another one is placed. */
async function follow(order: Order, traceId: string | null, click: Interaction): Promise<void> {
  for (let wait = 500; !settled(order); wait = Math.min(wait * 1.5, 4000)) {
    await pause(wait);
    if (placing.value.state !== "answered" || placing.value.order.id !== order.id) return;
    try {
      order = (await click.run(() => call<Order>(`/orders/${order.id}`))).body;
      show(order, traceId);
    } catch {
      // It is written down over there, so it can be asked for again.
    }
  }
}

export function settled(order: Order): boolean {
  return order.status === "CONFIRMED" || order.status === "CANCELLED";
}

/** Put the answer on the page: the result, the list of orders, and the stock that it took. */
function show(order: Order, traceId: string | null): void {
  placing.value = { state: "answered", order, traceId };
  if (recent.value.state === "here") {
    const others = recent.value.value.orders.filter(({ id }) => id !== order.id);
    recent.value = { state: "here", value: { ...recent.value.value, orders: [order, ...others] } };
  } else {
    void loadRecent();
  }
  if (order.status === "CONFIRMED") takeFromShelf(order);
  if (order.reason === "out_of_stock") void loadCatalogue();
}

/** The stock as it must be now, without asking for it: that would be another trace for every order. */
function takeFromShelf(order: Order): void {
  if (catalogue.value.state !== "here") return;
  const taken = new Map(order.lines.map(({ sku, quantity }) => [sku, quantity]));
  const items = catalogue.value.value.map((item) => ({ ...item, stock: Math.max(0, item.stock - (taken.get(item.sku) ?? 0)) }));
  catalogue.value = { state: "here", value: items };
}

async function loaded<T, V>(answer: Promise<Answer<T>>, value: (body: T) => V): Promise<Loaded<V>> {
  try {
    return { state: "here", value: value((await answer).body) };
  } catch (error) {
    return { state: "failed", failure: error instanceof Failure ? error : new Failure(null) };
  }
}

function keyFor(order: NewOrder): string {
  const body = JSON.stringify(order);
  if (pending.value?.body !== body) pending.value = { key: crypto.randomUUID(), body };
  return pending.value.key;
}

function remember(name: string, value: unknown): void {
  try {
    sessionStorage.setItem(name, JSON.stringify(value));
  } catch {
    // Storage may be forbidden or full: then it lasts as long as the page.
  }
}

function remembered<T>(name: string, otherwise: T): T {
  try {
    return (JSON.parse(sessionStorage.getItem(name) ?? "null") as T | null) ?? otherwise;
  } catch {
    return otherwise;
  }
}

function newest(ids: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(ids).slice(-200));
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
