"""The saga of an order: each step is recorded before the next begins, so it can be resumed from any point."""

import logging
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import cast

from opentelemetry.trace import Link, Span, StatusCode, get_current_span
from opentelemetry.trace import Status as SpanStatus
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from sqlalchemy import TextClause, func, or_, select, tuple_, update
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value

from app.database import DatabaseTime, retry_on_conflict
from app.dependency_errors import CircuitOpen, DependencyError, DependencyRefused, InvalidResponse
from app.problems import InvalidField
from app.telemetry import untraced
from services.order.clients import Catalogue, Clients
from services.order.models import (
    IS_DEAD_LETTER,
    LEASE,
    MAX_INVALID_RESPONSES,
    MAX_SLOW_BACKOFF,
    ORDER_TIMEOUT,
    WAITS_TO_NOTIFY,
    WAITS_TO_SETTLE,
    IdempotencyKeyReused,
    LeaseLost,
    Order,
    Reason,
    Status,
    Step,
    UnknownCursor,
)
from services.order.telemetry import dead_letters, orders_active, orders_created, processing_time, tracer

logger = logging.getLogger(__name__)

trace_context = TraceContextTextMapPropagator()

REFUSALS = {
    "out-of-stock": Reason.OUT_OF_STOCK,
    "unknown-item": Reason.UNKNOWN_ITEM,
    "card-declined": Reason.PAYMENT_DECLINED,
}
"""What a problem type of a dependency means for the order. Any other is Reason.REFUSED."""


@dataclass(frozen=True)
class Attempt:
    """What the steps of one attempt at an order share. `began` is a time of the monotonic clock, in seconds."""

    session: Session
    clients: Clients
    order: Order
    lease_owner: uuid.UUID
    began: float = field(default_factory=time.monotonic)


class StepFailed(Exception):
    """The call of a step brought no usable response, because of `cause`."""

    def __init__(self, step: Step, cause: DependencyError) -> None:
        super().__init__(f"{step}: {cause}")
        self.step = step
        self.cause = cause


def place_order(session: Session, clients: Clients, order: Order) -> Order:
    """Record a new order and process it as far as possible. Return it, or the order that already has this key.

    Raise IdempotencyKeyReused if the customer sent the key with another body before.
    """
    attempt = Attempt(session, clients, order, lease_owner=uuid.uuid4())
    carrier: dict[str, str] = {}
    trace_context.inject(carrier)
    order.traceparent = carrier.get("traceparent")
    order.begin(attempt.lease_owner)
    known = _record_once(session, order)
    if known is not order:
        return known
    _process(attempt)
    return order


def get_order(session: Session, order_id: uuid.UUID) -> Order | None:
    """Return the order with this id, or None."""
    with session.begin():
        return session.get(Order, order_id)


def list_orders(session: Session, limit: int, after: uuid.UUID | None) -> Sequence[Order]:
    """Return at most `limit` orders, newest first, that follow the order `after`. Raise UnknownCursor."""
    query = select(Order).order_by(Order.created_at.desc(), Order.id.desc()).limit(limit)
    with session.begin():
        if after is not None:
            last = session.get(Order, after)
            if last is None:
                reason = "no page ended with this cursor"
                raise UnknownCursor(f"cursor: {reason}", [InvalidField(field="cursor", reason=reason)])
            query = query.where(tuple_(Order.created_at, Order.id) < (last.created_at, last.id))
        return session.scalars(query).all()


def list_items(clients: Clients) -> Catalogue:
    """Return the catalog of inventory-service."""
    return clients.catalogue()


def recover_orders(session: Session, clients: Clients) -> bool:
    """Resume one unsettled order whose lease has expired or whose attempt is due. Return False if there is none."""
    return _recover(session, clients, WAITS_TO_SETTLE)


def recover_notifications(session: Session, clients: Clients) -> bool:
    """Send the notification of one confirmed order that lacks it. Return False if there is none.

    This is separate from recover_orders, so that a notification-service that hangs delays no order.
    """
    return _recover(session, clients, WAITS_TO_NOTIFY)


def watch_orders(session: Session) -> bool:
    """Report the dead letters, and expire leases and waits that are further ahead than the clock allows.

    Such a time was written before the clock was set back. Only times more than twice the longest lease or backoff
    ahead are certain to be wrong; a nearer one may be valid.
    Return False, because the next run is not due immediately.
    """
    lease, backoff = DatabaseTime(2 * LEASE), DatabaseTime(2 * MAX_SLOW_BACKOFF)
    expire = update(Order).values(next_attempt_at=DatabaseTime()).execution_options(synchronize_session=False)
    count = select(Order.dead_letter_step, func.count()).where(IS_DEAD_LETTER).group_by(Order.dead_letter_step)
    with untraced(), session.begin():
        short = or_(Order.invalid_responses == 0, Order.next_attempt_at > backoff)
        session.execute(expire.where(WAITS_TO_SETTLE, Order.next_attempt_at > lease, short))
        session.execute(expire.where(WAITS_TO_NOTIFY, Order.next_attempt_at > backoff))
        counts = {row[0]: row[1] for row in session.execute(count)}
    for step in Step:
        dead_letters.set(counts.get(step, 0), {"order.dead_letter_step": step})
    return False


def list_dead_letters(session: Session) -> Sequence[Order]:
    """Return the orders that wait for a person, oldest first."""
    with untraced(), session.begin():
        return session.scalars(select(Order).where(IS_DEAD_LETTER).order_by(Order.created_at, Order.id)).all()


def retry_dead_letters(session: Session, order_id: uuid.UUID | None = None) -> int:
    """Make an attempt at one dead letter, or at all of them, due immediately. Return how many there were."""
    query = select(Order, DatabaseTime()).where(IS_DEAD_LETTER).with_for_update(of=Order)
    if order_id is not None:
        query = query.where(Order.id == order_id)
    with untraced(), session.begin():
        found = session.execute(query).all()
        for order, now in found:
            order.retry(now)
    return len(found)


@retry_on_conflict
def _record_once(session: Session, order: Order) -> Order:
    key = (Order.customer_id == order.customer_id, Order.idempotency_key == order.idempotency_key)
    with session.begin():
        known = session.scalar(select(Order).where(*key))
        if known is None:
            session.add(order)
            return order
    if known.fingerprint != order.fingerprint:
        raise IdempotencyKeyReused(
            "This Idempotency-Key was already used with another body. Use a new key for a new order."
        )
    return known


def _recover(session: Session, clients: Clients, lane: TextClause) -> bool:
    lease_owner = uuid.uuid4()
    with untraced():
        order = _acquire_due(session, lease_owner, lane)
    if order is None:
        return False
    logger.info("resuming an order", extra={"order.id": str(order.id), "order.status": order.status})
    _process(Attempt(session, clients, order, lease_owner))
    return True


def _acquire_due(session: Session, lease_owner: uuid.UUID, lane: TextClause) -> Order | None:
    query = (
        select(Order, DatabaseTime())
        .where(lane, Order.next_attempt_at <= DatabaseTime())
        .order_by(Order.next_attempt_at)
        .limit(1)
        .with_for_update(skip_locked=True, of=Order)
    )
    with session.begin():
        found = session.execute(query).one_or_none()
        if found is None:
            return None
        order: Order = found[0]
        order.acquire(lease_owner, now=found[1])
    return order


def _process(attempt: Attempt) -> None:
    order = attempt.order
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
            while order.lease_owner == attempt.lease_owner:
                try:
                    _next_step(order)(attempt)
                except StepFailed as failure:
                    _record_failure(attempt, failure)
        except LeaseLost as lost:
            logger.warning("%s", lost)
            with attempt.session.begin():
                attempt.session.refresh(order)
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
    if order.free:
        span.set_attribute("order.charge_skipped", "the total is 0")
    if order.reason is not None:
        span.set_attribute("order.cancel_reason", order.reason)
        span.set_status(SpanStatus(StatusCode.ERROR, f"canceled: {order.reason}"))
    if order.dead_letter_step is not None:
        span.set_attribute("order.dead_letter_step", order.dead_letter_step)
        span.set_status(SpanStatus(StatusCode.ERROR, f"dead letter: {order.dead_letter_reason}"))


def _next_step(order: Order) -> Callable[[Attempt], None]:
    if order.reason is not None:
        return _compensate
    steps = {
        Status.PENDING: _validate_inventory,
        Status.RESERVED: _skip_charge if order.free else _charge_payment,
        # Only the request sends the notification inline. A recovery that did would delay other orders.
        Status.CHARGED: _send_notification if order.attempts == 1 else _confirm,
    }
    return steps.get(order.status, _send_notification)


def _validate_inventory(attempt: Attempt) -> None:
    order = attempt.order
    with _calling(Step.VALIDATE_INVENTORY, order):
        reservation = attempt.clients.reserve(order)
    with _record(attempt):
        order.price(reservation.currency, {line.sku: line.unit_price for line in reservation.lines})
        order.advance(Status.RESERVED)


def _charge_payment(attempt: Attempt) -> None:
    with _calling(Step.CHARGE_PAYMENT, attempt.order):
        attempt.clients.charge(attempt.order)
    with _record(attempt):
        attempt.order.advance(Status.CHARGED)


def _skip_charge(attempt: Attempt) -> None:
    with _record(attempt):
        attempt.order.advance(Status.CHARGED)


def _send_notification(attempt: Attempt) -> None:
    order = attempt.order
    try:
        with _calling(Step.SEND_NOTIFICATION, order):
            attempt.clients.notify(order)
    except StepFailed:
        if order.status is Status.CHARGED:
            with _record(attempt):
                order.advance(Status.CONFIRMED)
        raise
    with _record(attempt) as now:
        if order.status is Status.CHARGED:
            order.advance(Status.CONFIRMED)
        order.notified_at = now


def _confirm(attempt: Attempt) -> None:
    with _record(attempt) as now:
        attempt.order.advance(Status.CONFIRMED)
        attempt.order.make_due(now)


def _compensate(attempt: Attempt) -> None:
    """Undo what was done or may have been done, and void in advance what may still arrive.

    Stock is released even if it was refused, because an earlier attempt that timed out may still reserve it.
    A card that was declined stays declined, so it needs no refund.
    """
    order = attempt.order
    if order.reason in (Reason.REFUSED, Reason.TIMED_OUT):
        with _calling(Step.REFUND_PAYMENT, order):
            attempt.clients.refund(order.id)
        with _record(attempt):
            pass  # renews the lease: two calls may take longer than one lease
    with _calling(Step.RELEASE_INVENTORY, order):
        attempt.clients.release(order.id)
    with _record(attempt):
        order.advance(Status.CANCELLED)


@contextmanager
def _calling(step: Step, order: Order) -> Iterator[None]:
    """Span the call of a step. Raise StepFailed for any error of the call."""
    try:
        with tracer.start_as_current_span(step, attributes={"order.id": str(order.id)}):
            yield
    except DependencyError as error:
        raise StepFailed(step, error) from error


@contextmanager
def _record(attempt: Attempt) -> Iterator[datetime]:
    """Record the outcome of a step in one transaction. Raise LeaseLost before anything is written."""
    order = attempt.order
    was_settled = order.settled
    with attempt.session.begin():
        now = _lock(attempt)
        order.renew(attempt.lease_owner, now)
        yield now
        if order.finished:
            order.release(now)
    if order.settled and not was_settled:
        _count(attempt)


def _lock(attempt: Attempt) -> datetime:
    """Lock the order's row, read who holds its lease, and return the time of the database's clock."""
    query = select(Order.lease_owner, DatabaseTime()).where(Order.id == attempt.order.id).with_for_update(of=Order)
    lease_owner, now = attempt.session.execute(query).one()
    set_committed_value(attempt.order, "lease_owner", lease_owner)
    return cast(datetime, now)


def _record_failure(attempt: Attempt, failure: StepFailed) -> None:
    """Decide what follows a failed call: a compensation, a dead letter, or a later attempt."""
    order, cause, ids = attempt.order, failure.cause, {"order.id": str(attempt.order.id)}
    with attempt.session.begin():
        now = _lock(attempt)
        order.check_lease(attempt.lease_owner)
        order.invalid_responses = order.invalid_responses + 1 if isinstance(cause, InvalidResponse) else 0
        if reason := _cancel_reason(order, failure, now):
            order.renew(attempt.lease_owner, now)
            order.begin_cancellation(reason)
        elif isinstance(cause, DependencyRefused) or order.invalid_responses >= MAX_INVALID_RESPONSES:
            order.mark_dead_letter(failure.step, _dead_letter_reason(cause))
        else:
            order.release(now)
    if reason:
        decision = "timed out" if reason is Reason.TIMED_OUT else "refused"
        logger.warning("the order is %s: %s", decision, failure, extra=ids)
    elif order.dead_letter_step is not None:
        ids["order.dead_letter_step"] = failure.step
        logger.error("the order is a dead letter and waits for a person: %s", failure, extra=ids)
    else:
        logger.warning("the order waits for another attempt: %s", failure, extra=ids)


def _cancel_reason(order: Order, failure: StepFailed, now: datetime) -> Reason | None:
    """Return why a failed call cancels the order: the dependency refused it, or the order is too old. Else None."""
    cause = failure.cause
    if isinstance(cause, DependencyRefused) and failure.step in (Step.VALIDATE_INVENTORY, Step.CHARGE_PAYMENT):
        return REFUSALS.get(cause.problem, Reason.REFUSED)
    if order.overdue(now) and not isinstance(cause, CircuitOpen):  # an open circuit sends no call
        return Reason.TIMED_OUT
    return None


def _dead_letter_reason(cause: DependencyError) -> str:
    """Return what is stored of an error, without the dependency's text, which may contain what was sent to it."""
    if isinstance(cause, DependencyRefused):
        return f"{cause.dependency} refused with {cause.status}"
    return f"{cause.dependency} sent {MAX_INVALID_RESPONSES} invalid responses in a row"


def _count(attempt: Attempt) -> None:
    order = attempt.order
    status = "success" if order.status is Status.CONFIRMED else "failed"
    labels = {"status": status, "region": order.region}
    orders_created.add(1, labels)
    processing_time.record(_time_taken(attempt) / timedelta(milliseconds=1), labels)
    logger.info("order settled: %s", order.status, extra={"order.id": str(order.id), "order.status": str(order.status)})


def _time_taken(attempt: Attempt) -> timedelta:
    """Return the time from the order's arrival until now, by the monotonic clock if it arrived in this attempt.

    For a resumed order it is bounded, because a clock may have been set in between: at least the time of this attempt,
    at most ORDER_TIMEOUT, which is far above the bound of the last bucket.
    """
    here = timedelta(seconds=time.monotonic() - attempt.began)
    if attempt.order.attempts == 1:
        return here
    return max(here, min(attempt.order.updated_at - attempt.order.created_at, ORDER_TIMEOUT))
