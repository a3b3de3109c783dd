"""The checker: compares the four databases with each other and with what the clients of the load saw.

It shares no code with the services: it reads their tables by SQL and holds them to promises written here.
"""

import threading
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from tools.chaos.load import Load, Wish

SETTLE_SECONDS = 30.0
"""Every order is settled this long after the last fault."""
TELL_SECONDS = 330.0
"""The customer of a confirmed order is told this long after the last fault: the longest backoff between two attempts at
a notification is 5 minutes, and one attempt may still be on its way."""
ORDER_TIMEOUT = 120.0
"""No order is canceled as timed out before it is this old (seconds)."""
SCARCE = "CUP-RAKU"
"""The only item of which there are few, so the only one that an order may find sold out."""
UNSETTLED = "status NOT IN ('CONFIRMED', 'CANCELLED')"
UNTOLD = "status = 'CONFIRMED' AND notified_at IS NULL"
"""An order in a dead letter is settled and will never be processed again, but its customer was not told."""
UNFINISHED = f"{UNSETTLED} OR {UNTOLD} OR next_attempt_at IS NOT NULL"

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Promise:
    """What must hold, and the evidence where it does not: one line per order, item or answer."""

    name: str
    broken: list[str]


class TimeoutWatch:
    """Watches how old the orders are that order-service cancels as timed out, by this process's monotonic clock."""

    def __init__(self, orders: Engine) -> None:
        self._orders = orders
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.seen: dict[uuid.UUID, float] = {}
        """Order id -> monotonic seconds when it was first seen as timed out."""
        self._thread.start()

    def stop(self) -> None:
        """Look a last time and stop."""
        self._stopping.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopping.wait(1):
            with suppress(DBAPIError):  # the database is a victim of faults too
                for row in rows(self._orders, "SELECT id FROM orders WHERE reason = 'timed_out'"):
                    self.seen.setdefault(as_id(row["id"]), time.monotonic())


def check(
    engines: Mapping[str, Engine],
    before: Mapping[str, int],
    load: Load,
    timed_out: Mapping[uuid.UUID, float],
    late: Sequence[str] = (),
) -> list[Promise]:
    """Return every promise with what breaks it.

    `before` is the stock by SKU before the first order, `late` what `unsettled` returned after SETTLE_SECONDS.
    """
    orders = {as_id(row["id"]): row for row in rows(engines["order"], "SELECT * FROM orders")}
    wishes = _wishes_by_id(load)
    confirmed = {order_id for order_id, row in orders.items() if row["status"] == "CONFIRMED"}
    lines = _lines(rows(engines["order"], "SELECT order_id, sku, quantity, unit_price FROM order_lines"))
    return [
        *_lost(orders, load),
        *_finished(orders, late),
        *_money(engines["payment"], orders, confirmed),
        *_stock(engines["inventory"], before, lines, orders, confirmed),
        _told(engines["notification"], confirmed),
        Promise(
            "orders canceled without cause",
            [f"{i} {why}" for i, row in orders.items() if (why := _no_cause(row, wishes.get(i), timed_out.get(i)))],
        ),
        *_answers(load),
    ]


def _lost(orders: Mapping[uuid.UUID, Row], load: Load) -> list[Promise]:
    answered = {order.id for wish in load.wishes for order in wish.orders()}
    several = [wish for wish in load.wishes if len({order.id for order in wish.orders()}) > 1]
    shared = [f"{order_id} {sorted(keys)}" for order_id, keys in load.keys_of_ids().items() if len(keys) > 1]
    per_key = Counter(str(row["idempotency_key"]) for row in orders.values())
    changed = [
        f"{seen.id} was answered {seen.status}, is {orders[seen.id]['status']}"
        for wish in load.wishes
        for seen in wish.orders()
        if seen.id in orders and seen.status in ("CONFIRMED", "CANCELLED") and seen.status != orders[seen.id]["status"]
    ]
    return [
        Promise("answered orders that are not there", [str(i) for i in answered if i not in orders]),
        Promise("orders that no client was told of", [str(i) for i in orders if i not in answered]),
        Promise("settled orders that changed afterwards", changed),
        Promise(
            "keys with several orders, orders with several keys",
            [wish.key for wish in several] + shared + [key for key, number in per_key.items() if number > 1],
        ),
    ]


def unsettled(orders: Engine) -> list[str]:
    """Return a line for each order that is not settled."""
    return [_progress(row) for row in rows(orders, f"SELECT * FROM orders WHERE {UNSETTLED}")]


def _progress(order: Row) -> str:
    return f"{as_id(order['id'])} {order['status']} {order['reason']} next_attempt_at={order['next_attempt_at']}"


def _finished(orders: Mapping[uuid.UUID, Row], late: Sequence[str]) -> list[Promise]:
    never, untold, working = [], [], []
    for row in orders.values():
        if row["status"] not in ("CONFIRMED", "CANCELLED"):
            never.append(_progress(row))
        elif row["status"] == "CONFIRMED" and row["notified_at"] is None:
            untold.append(_progress(row))
        elif row["next_attempt_at"] is not None:
            working.append(_progress(row))
    return [
        Promise(f"orders not settled after {SETTLE_SECONDS:.0f} s", [*late]),
        Promise("orders never settled", never),
        Promise(f"confirmed orders not told of after {TELL_SECONDS:.0f} s", untold),
        Promise("finished orders that are still processed", working),
    ]


def _money(payment: Engine, orders: Mapping[uuid.UUID, Row], confirmed: set[uuid.UUID]) -> list[Promise]:
    entries: dict[uuid.UUID, list[Row]] = defaultdict(list)
    for row in rows(payment, "SELECT idempotency_key, kind, amount FROM processor_entries"):
        entries[as_id(row["idempotency_key"])].append(row)
    charges = {as_id(row["order_id"]): row["status"] for row in rows(payment, "SELECT order_id, status FROM charges")}

    def amounts(order_id: uuid.UUID, kind: str) -> list[int]:
        return [row["amount"] for row in entries.get(order_id, []) if row["kind"] == kind]

    uncharged, kept = [], []
    for order_id in orders.keys() | entries.keys():
        captured, refunded = amounts(order_id, "CAPTURE"), amounts(order_id, "REFUND")
        line = f"{order_id} captured {captured}, refunded {refunded}, charge {charges.get(order_id)}"
        if order_id in confirmed:
            right = captured == [orders[order_id]["total"]] and not refunded and charges.get(order_id) == "APPROVED"
            if not right:
                uncharged.append(f"{line}, total {orders[order_id]['total']}")
        elif captured != refunded and _ended(orders, order_id):
            kept.append(line)
    return [
        Promise("confirmed orders not charged exactly once, their total", uncharged),
        Promise("money kept for orders that were canceled or do not exist", kept),
    ]


def _stock(
    inventory: Engine,
    before: Mapping[str, int],
    lines: Mapping[uuid.UUID, dict[str, tuple[int, int | None]]],
    orders: Mapping[uuid.UUID, Row],
    confirmed: set[uuid.UUID],
) -> list[Promise]:
    query = "SELECT order_id FROM reservations WHERE status = 'HELD'"
    held = {as_id(row["order_id"]) for row in rows(inventory, query)}
    reserved = _lines(rows(inventory, "SELECT order_id, sku, quantity, unit_price FROM reservation_lines"))
    gone: Counter[str] = Counter()
    for order_id in held:
        gone.update({sku: quantity for sku, (quantity, _) in reserved.get(order_id, {}).items()})
    wrong = []
    for order_id in sorted(confirmed):
        mine = lines[order_id]
        total = sum(quantity * (price or 0) for quantity, price in mine.values())
        if order_id not in held or reserved.get(order_id) != mine or orders[order_id]["total"] != total:
            wrong.append(f"{order_id} ordered {mine}, reserved {reserved.get(order_id)}, held {order_id in held}")
    stock = stock_by_sku(inventory)
    off = [f"{sku}: {before[sku]} before, {stock[sku]} left, {gone[sku]} held" for sku in before]
    return [
        Promise("confirmed orders without exactly their stock", wrong),
        Promise(
            "stock held for orders that were canceled or do not exist",
            [str(i) for i in held - confirmed if _ended(orders, i)],
        ),
        Promise(
            "items whose stock does not add up",
            [o for o, sku in zip(off, before, strict=True) if stock[sku] + gone[sku] != before[sku]],
        ),
    ]


def _ended(orders: Mapping[uuid.UUID, Row], order_id: uuid.UUID) -> bool:
    """Return whether nothing may be held for this order any more, unless it is confirmed; unsettled ones may hold."""
    return order_id not in orders or orders[order_id]["status"] in ("CONFIRMED", "CANCELLED")


def _told(notification: Engine, confirmed: set[uuid.UUID]) -> Promise:
    query = "SELECT order_id FROM notifications WHERE sent_at IS NOT NULL"
    told = {as_id(row["order_id"]) for row in rows(notification, query)}
    wrong = [f"{i} confirmed, not told" for i in confirmed - told] + [
        f"{i} told, not confirmed" for i in told - confirmed
    ]
    return Promise("customers not told, or told what is not so", wrong)


def _no_cause(order: Row, wish: Wish | None, timed_out_at: float | None) -> str | None:
    """Return why a canceled order should not have been, None if it is not canceled or its reason holds."""
    if order["status"] != "CANCELLED" or wish is None:
        return None
    match order["reason"]:
        case "payment_declined" if wish.token == "tok_decline":
            return None
        case "out_of_stock" if SCARCE in wish.quantities:
            return None
        case "timed_out":
            age = (timed_out_at or time.monotonic()) - wish.began
            return (
                None
                if age >= ORDER_TIMEOUT
                else f"timed_out at an age of {age:.0f} s, after {order['attempts']} attempts"
            )
    return f"{order['reason']}, though its client did nothing wrong"


def _answers(load: Load) -> list[Promise]:
    errors = Counter(
        f"HTTP {answer.http_status}: {answer.body}"
        for answer in load.all_answers()
        if answer.http_status >= 500 and answer.http_status != 503
    )
    return [
        Promise("answers with a 5xx status other than 503", [f"{number} x {body}" for body, number in errors.items()]),
        Promise("requests that failed for good", [f"{w.key} {w.gave_up}" for w in load.wishes if w.gave_up]),
    ]


def _wishes_by_id(load: Load) -> dict[uuid.UUID, Wish]:
    return {order.id: wish for wish in load.wishes for order in wish.orders()}


def _lines(found: Iterable[Row]) -> dict[uuid.UUID, dict[str, tuple[int, int | None]]]:
    lines: dict[uuid.UUID, dict[str, tuple[int, int | None]]] = defaultdict(dict)
    for row in found:
        lines[as_id(row["order_id"])][row["sku"]] = (row["quantity"], row["unit_price"])
    return lines


def stock_by_sku(inventory: Engine) -> dict[str, int]:
    """Return the pieces left of each item."""
    return {row["sku"]: row["stock"] for row in rows(inventory, "SELECT sku, stock FROM items ORDER BY sku")}


def count(engine: Engine, condition: str) -> int:
    """Return how many orders meet a condition."""
    (row,) = rows(engine, f"SELECT count(*) AS number FROM orders WHERE {condition}")
    return int(row["number"])


def rows(engine: Engine, sql: str) -> list[Row]:
    """Return all rows of a query as mappings."""
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(text(sql)).mappings()]


def as_id(value: object) -> uuid.UUID:
    """Read an id as either database gives it: SQLite as 32 hex digits, PostgreSQL as a UUID."""
    return uuid.UUID(str(value))
