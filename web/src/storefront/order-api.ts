// Written by `make api-types` from order-service's OpenAPI document; a test keeps it fresh.

/**
 * PENDING -> RESERVED -> CHARGED -> CONFIRMED, or CANCELLED from PENDING or RESERVED.
 */
export type Status = "PENDING" | "RESERVED" | "CHARGED" | "CONFIRMED" | "CANCELLED";
/**
 * Why an order was canceled.
 */
export type Reason = "out_of_stock" | "unknown_item" | "payment_declined" | "refused" | "timed_out";

export interface Schemas {
  OrderResponse: OrderResponse;
  OrderLineResponse: OrderLineResponse;
  Reason: Reason;
  Status: Status;
  NewOrder: NewOrder;
  NewOrderLine: NewOrderLine;
  OrderPage: OrderPage;
  CatalogueResponse: CatalogueResponse;
  ItemResponse: ItemResponse;
  Problem: Problem;
  InvalidField: InvalidField;
}
/**
 * An order as its customer sees it; `total` in minor units of `currency`.
 */
export interface OrderResponse {
  id: string;
  status: Status;
  reason: Reason | null;
  customer_id: string;
  region: string;
  currency: string | null;
  total: number | null;
  lines: OrderLineResponse[];
  created_at: string;
  updated_at: string;
}
/**
 * One line; `unit_price` in minor units, known once the stock is reserved.
 */
export interface OrderLineResponse {
  sku: string;
  quantity: number;
  unit_price: number | null;
}
/**
 * What POST /orders takes.
 */
export interface NewOrder {
  customer_id: string;
  region: "eu" | "us" | "ap";
  payment_token: string;
  /**
   * @minItems 1
   * @maxItems 20
   */
  lines: NewOrderLine[];
}
/**
 * How many of which item.
 */
export interface NewOrderLine {
  sku: string;
  quantity: number;
}
/**
 * Orders, newest first; `next_cursor` is null on the last page.
 */
export interface OrderPage {
  orders: OrderResponse[];
  next_cursor: string | null;
}
/**
 * All items, by sku.
 */
export interface CatalogueResponse {
  items: ItemResponse[];
}
/**
 * An item that can be ordered; `price` in minor units of `currency`, `stock` the pieces left.
 */
export interface ItemResponse {
  sku: string;
  name: string;
  price: number;
  currency: string;
  stock: number;
}
/**
 * The body of every error (RFC 9457, https://www.rfc-editor.org/rfc/rfc9457.html).
 */
export interface Problem {
  /**
   * `about:blank`, or `tag:waybill.example,2026:` and the problem's name
   */
  type: string;
  title: string;
  status: number;
  detail: string;
  /**
   * 32 hex digits; open the trace of this very request with it
   */
  trace_id: string | null;
  /**
   * what is wrong, field by field
   */
  errors?: InvalidField[] | null;
}
/**
 * One field of a request that was refused, e.g. `lines.0.quantity`, and why.
 */
export interface InvalidField {
  field: string;
  reason: string;
}
