// order-service's API: its bodies' types are made from its /openapi.json.
import type { NewOrder, Problem } from "./order-api.ts";

export type {
  CatalogueResponse as Catalogue,
  ItemResponse as Item,
  NewOrder,
  OrderPage,
  OrderResponse as Order,
  Problem,
  Reason,
  Status,
} from "./order-api.ts";

export type Region = NewOrder["region"];

export interface PageConfig {
  version: string;
  deployment_environment: string;
  otlp_endpoint: string | null;
  traces_url: string | null;
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
  throw new Failure(isProblem(body) ? body : problemOf(response), 1000 * Number(response.headers.get("Retry-After") ?? 0));
}

export function newOrderRequest(order: NewOrder, idempotencyKey: string): RequestInit {
  return {
    method: "POST",
    headers: { "Content-Type": "application/json", "Idempotency-Key": idempotencyKey },
    body: JSON.stringify(order),
  };
}

/** What a response without a problem in its body says by its status. */
const problemOf = ({ status, statusText }: Response): Problem => ({
  type: "about:blank",
  title: statusText,
  status,
  detail: `HTTP ${status}`,
  trace_id: null,
});

function traceIdOf(response: Response): string | null {
  return /^00-([0-9a-f]{32})-/.exec(response.headers.get("traceresponse") ?? "")?.[1] ?? null;
}

function isProblem(body: unknown): body is Problem {
  return typeof body === "object" && body !== null && "detail" in body && "status" in body;
}
