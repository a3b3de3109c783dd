// order-service's API, as its /openapi.json describes it.

export interface Item {
  sku: string;
  name: string;
  /** Minor units of `currency`. */
  price: number;
  currency: string;
  stock: number;
}

export type Status = "PENDING" | "RESERVED" | "CHARGED" | "CONFIRMED" | "CANCELLED";
export type Reason = "out_of_stock" | "unknown_item" | "payment_declined" | "refused" | "timed_out";
export type Region = "eu" | "us" | "ap";

export interface NewOrder {
  customer_id: string;
  region: Region;
  payment_token: string;
  lines: { sku: string; quantity: number }[];
}

export interface Order {
  id: string;
  status: Status;
  reason: Reason | null;
  currency: string | null;
  /** Minor units of `currency`. */
  total: number | null;
  lines: { sku: string; quantity: number; unit_price: number | null }[];
  created_at: string;
}

export interface OrderPage {
  orders: Order[];
  next_cursor: string | null;
}

export interface PageConfig {
  version: string;
  otlp_endpoint: string | null;
  traces_url: string | null;
}

/** https://www.rfc-editor.org/rfc/rfc9457.html */
export interface Problem {
  title: string;
  status: number;
  detail: string;
  trace_id?: string | null;
  errors?: { field: string; reason: string }[];
}

/** An answer that is a problem, or no answer at all: then `problem` is null. */
export class Failure extends Error {
  readonly problem: Problem | null;
  /** How long the service asks to be left alone, in ms. */
  readonly retryAfter: number;

  constructor(problem: Problem | null, retryAfter = 0) {
    super(problem ? problem.detail : "order-service does not answer");
    this.problem = problem;
    this.retryAfter = retryAfter;
  }

  /** Whether the same request may well succeed in a moment. */
  get passing(): boolean {
    return this.problem === null || this.problem.status === 503;
  }
}

export interface Answer<T> {
  body: T;
  /** From the W3C `traceresponse` header; null where the service is not traced. */
  traceId: string | null;
}

/** Send a request and read its JSON; raises Failure. The fetch begins before this returns, so in the caller's context. */
export async function call<T>(path: string, init?: RequestInit): Promise<Answer<T>> {
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch {
    throw new Failure(null);
  }
  const body: unknown = await response.json().catch(() => null);
  if (response.ok && body !== null) return { body: body as T, traceId: traceIdOf(response) };
  const problem = isProblem(body)
    ? body
    : { title: response.statusText, status: response.status, detail: `HTTP ${response.status}` };
  throw new Failure(problem, 1000 * Number(response.headers.get("Retry-After") ?? 0));
}

export function newOrderRequest(order: NewOrder, idempotencyKey: string): RequestInit {
  return {
    method: "POST",
    headers: { "Content-Type": "application/json", "Idempotency-Key": idempotencyKey },
    body: JSON.stringify(order),
  };
}

function traceIdOf(response: Response): string | null {
  return /^00-([0-9a-f]{32})-/.exec(response.headers.get("traceresponse") ?? "")?.[1] ?? null;
}

function isProblem(body: unknown): body is Problem {
  return typeof body === "object" && body !== null && "detail" in body && "status" in body;
}
