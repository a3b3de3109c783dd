"""The saga of an order: each step is recorded before the next begins, so it can be resumed from any point."""

import logging
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from opentelemetry.trace import Link, Span, StatusCode, get_current_span
from opentelemetry.trace import Status as SpanStatus
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from sqlalchemy import select
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from app.database import DatabaseTime
from app.dependency_errors import CircuitOpen, DependencyError, DependencyRefused, InvalidResponse
from services.order.clients import Clients
from services.order.models import (
    MAX_INVALID_RESPONSES,
    ORDER_TIMEOUT,
    LeaseLost,
    Order,
    Reason,
    Status,
    Step,
)
from services.order.telemetry import orders_active, orders_created, processing_time, tracer

logger = logging.getLogger(__name__)

NOW = DatabaseTime()
"""When the statement runs in which it is written."""

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


def current_traceparent() -> str | None:
    """Return what a later attempt needs in order to link to the current trace."""
    carrier: dict[str, str] = {}
    trace_context.inject(carrier)
    return carrier.get("traceparent")


def ids_of(order: Order) -> dict[str, str]:
    """Return what spans and logs name an order and its customer by: both are opaque ids, as the API has them."""
    return {"order.id": str(order.id), "order.customer_id": order.customer_id}


def process(attempt: Attempt) -> None:
    """Take the order as far as it gets, step by step, for as long as the attempt holds its lease."""
    order = attempt.order
    region = {"region": order.region}
    attributes: dict[str, str | int] = {
        **ids_of(order),
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
    with _record(attempt):
        if order.status is Status.CHARGED:
            order.advance(Status.CONFIRMED)
        order.notified_at = NOW


def _confirm(attempt: Attempt) -> None:
    with _record(attempt):
        attempt.order.advance(Status.CONFIRMED)
        attempt.order.make_due(NOW)


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
def _record(attempt: Attempt) -> Iterator[None]:
    """Record the outcome of a step and renew the lease, in one transaction. Raise LeaseLost."""
    order = attempt.order
    was_settled = order.settled
    with _leased(attempt):
        order.renew(attempt.lease_owner, NOW)
        yield
        if order.finished:
            order.release(NOW)
    if order.settled and not was_settled:
        _count(attempt)


@contextmanager
def _leased(attempt: Attempt) -> Iterator[None]:
    """Open a transaction. Raise LeaseLost if its UPDATE finds that another worker has acquired the lease."""
    order_id = attempt.order.id
    try:
        with attempt.session.begin():
            yield
    except StaleDataError as error:
        raise LeaseLost(f"order {order_id} is leased by another worker") from error


def _record_failure(attempt: Attempt, failure: StepFailed) -> None:
    """Decide what follows a failed call: a compensation, a dead letter, or a later attempt."""
    order, cause, ids = attempt.order, failure.cause, ids_of(attempt.order)
    with _leased(attempt):
        order.check_lease(attempt.lease_owner)
        order.invalid_responses = order.invalid_responses + 1 if isinstance(cause, InvalidResponse) else 0
        if reason := _cancel_reason(attempt, failure):
            order.renew(attempt.lease_owner, NOW)
            order.begin_cancellation(reason)
        elif isinstance(cause, DependencyRefused) or order.invalid_responses >= MAX_INVALID_RESPONSES:
            order.mark_dead_letter(failure.step, _dead_letter_reason(cause))
        else:
            order.release(NOW)
    if reason:
        decision = "timed out" if reason is Reason.TIMED_OUT else "refused"
        logger.warning("the order is %s: %s", decision, failure, extra=ids)
    elif order.dead_letter_step is not None:
        ids["order.dead_letter_step"] = failure.step
        logger.error("the order is a dead letter and waits for a person: %s", failure, extra=ids)
    else:
        logger.warning("the order waits for another attempt: %s", failure, extra=ids)


def _cancel_reason(attempt: Attempt, failure: StepFailed) -> Reason | None:
    """Return why a failed call cancels the order: the dependency refused it, or the order is too old. Else None."""
    cause = failure.cause
    if isinstance(cause, DependencyRefused) and failure.step in (Step.VALIDATE_INVENTORY, Step.CHARGE_PAYMENT):
        return REFUSALS.get(cause.problem, Reason.REFUSED)
    if isinstance(cause, CircuitOpen):  # an open circuit sends no call
        return None
    now = attempt.session.execute(select(DatabaseTime())).scalar_one()
    return Reason.TIMED_OUT if attempt.order.overdue(now) else None


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
    logger.info("order settled: %s", order.status, extra={**ids_of(order), "order.status": str(order.status)})


def _time_taken(attempt: Attempt) -> timedelta:
    """Return the time from the order's arrival until now, by the monotonic clock if it arrived in this attempt.

    For a resumed order it is bounded, because a clock may have been set in between: at least the time of this attempt,
    at most ORDER_TIMEOUT, which is far above the bound of the last bucket.
    """
    here = timedelta(seconds=time.monotonic() - attempt.began)
    if attempt.order.attempts == 1:
        return here
    return max(here, min(attempt.order.updated_at - attempt.order.created_at, ORDER_TIMEOUT))
