import { useEffect, useRef, useState } from "preact/hooks";
import { money } from "../shared/format.ts";
import type { Order, Reason, Status } from "./api.ts";
import { FailureNote } from "./failure-note.tsx";
import { fillBasket, placing, settled } from "./shop.ts";
import { TraceLink } from "./trace-link.tsx";
import { REASONS, STATUS } from "./words.ts";
import "./outcome.css";

const ROUTE: Status[] = ["PENDING", "RESERVED", "CHARGED", "CONFIRMED"];

/** The stop at which an order of this reason went wrong; for the others it is not known. */
const FAILED_AT: Partial<Record<Reason, number>> = { out_of_stock: 1, unknown_item: 1, payment_declined: 2 };

/** What became of the order, read out as it changes. */
export function Outcome() {
  const now = placing.value;
  const section = useRef<HTMLElement>(null);
  useEffect(() => {
    if (now.state !== "idle") section.current!.scrollIntoView({ block: "nearest" });
  }, [now.state]);
  return (
    <section ref={section} class={now.state === "idle" ? "outcome" : "outcome card"} aria-label="What became of the order">
      {now.state === "failed" && (
        <FailureNote
          title={now.failure.passing ? "The order has no answer yet" : "The order was not taken"}
          failure={now.failure}
        >
          {now.failure.passing && <p>To try again is safe: it keeps its key, so it is never placed twice.</p>}
        </FailureNote>
      )}
      <div role="status">
        {now.state === "sending" && <Sending since={now.since} attempt={now.attempt} />}
        {now.state === "answered" && <Slip order={now.order} traceId={now.traceId} />}
      </div>
    </section>
  );
}

function Sending({ since, attempt }: { since: number; attempt: number }) {
  return (
    <div class="sending">
      <h3>{attempt === 1 ? "Your order is on its way" : `No answer yet: attempt ${attempt}, under the same key`}</h3>
      <progress aria-label="Waiting for order-service" />
      <Clock since={since} />
    </div>
  );
}

function Clock({ since }: { since: number }) {
  const [now, setNow] = useState(performance.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(performance.now()), 100);
    return () => clearInterval(timer);
  }, []);
  return (
    <span class="muted number" aria-hidden="true">
      {Math.max(0, (now - since) / 1000).toFixed(1)} s
    </span>
  );
}

function Slip({ order, traceId }: { order: Order; traceId: string | null }) {
  const { name, tone } = STATUS[order.status];
  return (
    <div class={`slip ${tone}`}>
      <div class="slip-head">
        <h3>{settled(order) ? name : `${name}, on its way`}</h3>
        {order.total !== null && order.currency !== null && (
          <span class="slip-total number">{money(order.total, order.currency)}</span>
        )}
      </div>
      {order.reason && <p>{REASONS[order.reason].whole}</p>}
      {!settled(order) && (
        <p>A service is slow or unavailable. The order is recorded and will be processed; this page keeps checking.</p>
      )}
      <Route order={order} />
      {traceId && <TraceLink id={traceId} primary />}
      <button type="button" class="button" onClick={() => fillBasket(order)}>
        The same again
      </button>
      <div class="slip-foot">
        <Barcode id={order.id} />
        <code>{order.id}</code>
      </div>
    </div>
  );
}

/** The stops of an order, as far as it got. */
function Route({ order }: { order: Order }) {
  const failed = order.reason ? (FAILED_AT[order.reason] ?? null) : null;
  const reached = failed ?? ROUTE.indexOf(order.status);
  const state = (stop: number): [string, string] => {
    if (stop === failed) return ["failed", "here it ended"];
    if (order.status === "CANCELLED" && failed === null) return stop === 0 ? ["done", "done"] : ["open", "undone"];
    if (failed === null ? stop <= reached : stop < reached) return ["done", "done"];
    if (!settled(order) && stop === reached + 1) return ["next", "under way"];
    return ["open", "not reached"];
  };
  return (
    <ol class="route">
      {ROUTE.map((status, stop) => {
        const [look, word] = state(stop);
        return (
          <li key={status} class={look}>
            {stop === failed && order.reason ? REASONS[order.reason].short : STATUS[status].name}
            <span class="visually-hidden">: {word}</span>
          </li>
        );
      })}
    </ol>
  );
}

/** The order's id as bars: for the eye only. */
function Barcode({ id }: { id: string }) {
  let x = 0;
  const bars = [...id.replaceAll("-", "")].flatMap((digit) => {
    const value = Number.parseInt(digit, 16);
    const bar = { x, width: 1 + (value & 1) + ((value >> 1) & 1) };
    x += bar.width + 1 + ((value >> 2) & 1) + ((value >> 3) & 1);
    return [bar];
  });
  return (
    <svg class="barcode" viewBox={`0 0 ${x} 20`} preserveAspectRatio="none" aria-hidden="true">
      {bars.map((bar) => (
        <rect key={bar.x} x={bar.x} width={bar.width} height="20" />
      ))}
    </svg>
  );
}
