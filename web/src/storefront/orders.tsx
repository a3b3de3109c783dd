import { ago, money, plural } from "../shared/format.ts";
import type { Order } from "./api.ts";
import { FailureNote } from "./failure-note.tsx";
import { catalogue, loadOlder, loadRecent, recent, traces } from "./shop.ts";
import { TraceLink } from "./trace-link.tsx";
import { REASONS, STATUS } from "./words.ts";
import "./orders.css";

export function Orders() {
  return (
    <section class="orders" aria-labelledby="orders">
      <div class="orders-head">
        <h2 id="orders">Recent orders</h2>
        <button type="button" class="button quiet small" onClick={() => void loadRecent()}>
          Refresh
        </button>
      </div>
      <List />
    </section>
  );
}

function List() {
  const page = recent.value;
  if (page.state === "failed") {
    return <FailureNote title="The orders cannot be shown" failure={page.failure} retry={loadRecent} />;
  }
  if (page.state === "loading") {
    return <p class="note muted">Looking for orders …</p>;
  }
  const { orders, next_cursor } = page.value;
  if (orders.length === 0) {
    return <p class="note muted">No orders yet. Choose something above, and the first one will stand here.</p>;
  }
  return (
    <>
      <table class="order-list card">
        <thead>
          <tr>
            <th scope="col">Placed</th>
            <th scope="col">Items</th>
            <th scope="col">Status</th>
            <th scope="col" class="number">
              Total
            </th>
            <th scope="col">Trace</th>
          </tr>
        </thead>
        <tbody>
          {orders.map((order) => (
            <Row key={order.id} order={order} />
          ))}
        </tbody>
      </table>
      {next_cursor && (
        <button type="button" class="button small" onClick={() => void loadOlder()}>
          Show older ones
        </button>
      )}
    </>
  );
}

function Row({ order }: { order: Order }) {
  const { name, tone } = STATUS[order.status];
  const placed = Date.parse(order.created_at);
  const traceId = traces.value[order.id];
  return (
    <tr>
      <td class="when">
        <time dateTime={order.created_at} title={new Date(placed).toLocaleString()}>
          {ago(placed * 1000)}
        </time>
      </td>
      <td class="what">{summary(order)}</td>
      <td class="status">
        <span class={`badge ${tone}`}>{name}</span> {order.reason && <span class="muted">{REASONS[order.reason].short}</span>}
      </td>
      <td class="sum number">{order.total !== null && order.currency !== null ? money(order.total, order.currency) : "–"}</td>
      <td class="trace">{traceId ? <TraceLink id={traceId} text="Trace" /> : <span class="muted">–</span>}</td>
    </tr>
  );
}

/** `2 × Sencha, 100 g · 1 × Cup, porcelain · 3 others`. */
function summary(order: Order): string {
  const items = catalogue.value.state === "here" ? catalogue.value.value : [];
  const shown = order.lines.slice(0, 2).map(({ sku, quantity }) => {
    const name = items.find((item) => item.sku === sku)?.name ?? sku;
    return `${quantity} × ${name}`;
  });
  const more = order.lines.length - shown.length;
  return [...shown, ...(more ? [plural(more, "other")] : [])].join(" · ");
}
