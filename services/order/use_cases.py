"""The saga of an order: every step recorded before the next begins, so it can be driven on from any point."""

import logging
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime

from opentelemetry.trace import Link, Span, StatusCode, get_current_span
from opentelemetry.trace import Status as SpanStatus
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from sqlalchemy import select, tuple_
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.http_client import PeerError, PeerRefused
from app.problems import InvalidField
from app.telemetry import untraced
from services.order.clients import Catalogue, Peers
from services.order.models import IdempotencyKeyReused, LeaseLost, Order, Reason, Status, UnknownCursor
from services.order.telemetry import orders_active, orders_created, processing_time, tracer

logger = logging.getLogger(__name__)

trace_context = TraceContextTextMapPropagator()

REFUSALS = {
    "out-of-stock": Reason.OUT_OF_STOCK,
    "unknown-item": Reason.UNKNOWN_ITEM,
    "card-declined": Reason.PAYMENT_DECLINED,
}
"""What a peer's problem type means for the order; any other is Reason.REFUSED."""


def place_order(session: Session, peers: Peers, order: Order) -> Order:
    """Record a new order and drive it as far as it gets; for a key that came before, the order it made.

    Raises IdempotencyKeyReused.
    """
    driver = uuid.uuid4()
    carrier: dict[str, str] = {}
    trace_context.inject(carrier)
    order.traceparent = carrier.get("traceparent")
    order.take(driver, order.created_at)
    try:
        known = _record_once(session, order)
    except IntegrityError:  # the same key, at the same moment
        known = _record_once(session, order)
    if known is not order:
        return known
    _drive(session, peers, order, driver)
    return order


def get_order(session: Session, order_id: uuid.UUID) -> Order | None:
    """The order of this id."""
    with session.begin():
        return session.get(Order, order_id)


def list_orders(session: Session, limit: int, after: uuid.UUID | None) -> Sequence[Order]:
    """At most `limit` orders, newest first, beginning behind the order `after`. Raises UnknownCursor."""
    query = select(Order).order_by(Order.created_at.desc(), Order.id.desc()).limit(limit)
    with session.begin():
        if after is not None:
            last = session.get(Order, after)
            if last is None:
                reason = "no page ended with this cursor"
                raise UnknownCursor(f"cursor: {reason}", [InvalidField(field="cursor", reason=reason)])
            query = query.where(tuple_(Order.created_at, Order.id) < (last.created_at, last.id))
        return session.scalars(query).all()


def list_items(peers: Peers) -> Catalogue:
    """The catalogue, which belongs to inventory-service."""
    return peers.catalogue()


def recover_orders(session: Session, peers: Peers) -> bool:
    """Take one order that nobody drives any more and drive it on; False when there is none."""
    driver = uuid.uuid4()
    with untraced():
        order = _take_abandoned(session, driver)
    if order is None:
        return False
    logger.info("driving on an order", extra={"order.id": str(order.id), "order.status": order.status})
    _drive(session, peers, order, driver)
    return True


def _record_once(session: Session, order: Order) -> Order:
    with session.begin():
        known = session.scalar(select(Order).where(Order.idempotency_key == order.idempotency_key))
        if known is None:
            session.add(order)
            return order
    if known.fingerprint != order.fingerprint:
        raise IdempotencyKeyReused("This Idempotency-Key came before with another body; use a new one.")
    return known


def _take_abandoned(session: Session, driver: uuid.UUID) -> Order | None:
    now = datetime.now(UTC)
    with session.begin():
        order = session.scalar(
            select(Order)
            .where(Order.drive_after < now)
            .order_by(Order.drive_after)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        if order is not None:
            if order.overdue(now):
                order.give_up(Reason.TIMED_OUT)
            order.take(driver, now)
    return order


def _drive(session: Session, peers: Peers, order: Order, driver: uuid.UUID) -> None:
    region = {"region": order.region}
    attributes: dict[str, str | int] = {
        "order.id": str(order.id),
        "order.region": order.region,
        "order.line_count": len(order.lines),
        "order.attempt": order.attempts,
    }
    links = _link_to_first_trace(order)
    with tracer.start_as_current_span("process_order", attributes=attributes, links=links) as span:
        orders_active.add(1, region)
        try:
            while not order.finished:
                _next_step(order)(session, peers, order, driver)
        except LeaseLost as lost:
            logger.warning("%s", lost)
            with session.begin():
                session.refresh(order)
        except PeerError as error:
            logger.warning("the order waits for another attempt: %s", error, extra={"order.id": str(order.id)})
            _rest(session, order, driver)
        finally:
            orders_active.add(-1, region)
        _describe(span, order)


def _link_to_first_trace(order: Order) -> list[Link]:
    if order.traceparent is None:
        return []
    first = get_current_span(trace_context.extract({"traceparent": order.traceparent})).get_span_context()
    if first.trace_id == get_current_span().get_span_context().trace_id:
        return []
    return [Link(first)]


def _describe(span: Span, order: Order) -> None:
    span.set_attribute("order.status", order.status)
    if order.total is not None and order.currency is not None:
        span.set_attributes({"order.total": order.total, "order.currency": order.currency})
    if order.reason is not None:
        span.set_attribute("order.cancel_reason", order.reason)
        span.set_status(SpanStatus(StatusCode.ERROR, f"cancelled: {order.reason}"))


Step = Callable[[Session, Peers, Order, uuid.UUID], None]


def _next_step(order: Order) -> Step:
    if order.reason is not None:
        return _compensate
    steps: dict[Status, Step] = {Status.PENDING: _validate_inventory, Status.RESERVED: _charge_payment}
    return steps.get(order.status, _send_notification)


def _validate_inventory(session: Session, peers: Peers, order: Order, driver: uuid.UUID) -> None:
    try:
        with _step_span("validate_inventory", order):
            reservation = peers.reserve(order)
    except PeerRefused as refusal:
        _give_up(session, order, driver, refusal)
        return
    with _record(session, order, driver):
        order.price(reservation.currency, {line.sku: line.unit_price for line in reservation.lines})
        order.advance(Status.RESERVED)


def _charge_payment(session: Session, peers: Peers, order: Order, driver: uuid.UUID) -> None:
    try:
        with _step_span("charge_payment", order):
            peers.charge(order)
    except PeerRefused as refusal:
        _give_up(session, order, driver, refusal)
        return
    with _record(session, order, driver):
        order.advance(Status.CHARGED)


def _send_notification(session: Session, peers: Peers, order: Order, driver: uuid.UUID) -> None:
    failure = None
    try:
        with _step_span("send_notification", order):
            peers.notify(order)
    except PeerError as error:
        failure = error
    with _record(session, order, driver):
        if order.status is Status.CHARGED:
            order.advance(Status.CONFIRMED)
        if failure is None:
            order.notified_at = datetime.now(UTC)
    if failure is not None:
        raise failure


def _compensate(session: Session, peers: Peers, order: Order, driver: uuid.UUID) -> None:
    """Undo what was done, or may have been, and bar what may still be on its way.

    That is so even for stock that was refused: an earlier attempt, given up on, may yet get it. A card that
    was declined stays declined.
    """
    if order.reason in (Reason.REFUSED, Reason.TIMED_OUT):
        with _step_span("refund_payment", order):
            peers.refund(order.id)
        with _record(session, order, driver):
            pass  # two calls may last longer than one lease
    with _step_span("release_inventory", order):
        peers.release(order.id)
    with _record(session, order, driver):
        order.advance(Status.CANCELLED)


def _give_up(session: Session, order: Order, driver: uuid.UUID, refusal: PeerRefused) -> None:
    logger.warning("the order is refused: %s", refusal, extra={"order.id": str(order.id)})
    with _record(session, order, driver):
        order.give_up(REFUSALS.get(refusal.problem, Reason.REFUSED))


def _step_span(name: str, order: Order) -> AbstractContextManager[Span]:
    return tracer.start_as_current_span(name, attributes={"order.id": str(order.id)})


@contextmanager
def _record(session: Session, order: Order, driver: uuid.UUID) -> Iterator[None]:
    """One transaction for the outcome of a step; raises LeaseLost before anything is written."""
    was_settled = order.settled
    with session.begin():
        session.refresh(order, ["driver"], with_for_update=True)
        now = datetime.now(UTC)
        order.renew(driver, now)
        yield
        if order.finished:
            order.rest(now)
    if order.settled and not was_settled:
        _count(order)


def _rest(session: Session, order: Order, driver: uuid.UUID) -> None:
    with session.begin():
        session.refresh(order, ["driver"], with_for_update=True)
        if order.driver == driver:
            order.rest(datetime.now(UTC))


def _count(order: Order) -> None:
    status = "success" if order.status is Status.CONFIRMED else "failed"
    labels = {"status": status, "region": order.region}
    orders_created.add(1, labels)
    processing_time.record((order.updated_at - order.created_at).total_seconds() * 1000, labels)
    logger.info("order settled: %s", order.status, extra={"order.id": str(order.id), "order.status": str(order.status)})
