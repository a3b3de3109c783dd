"""Charging and refunding an order, each idempotent by order id; no transaction is open while the processor works."""

import logging
import time
import uuid
from datetime import UTC, datetime

from opentelemetry.trace import SpanKind, Status, StatusCode
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from app.database import insert_once
from services.payment.models import (
    CardDeclined,
    Charge,
    ChargeDiffers,
    ChargeRefunded,
    ChargeStatus,
    EntryKind,
)
from services.payment.processor import Outcome, Processor
from services.payment.telemetry import charges, processor_duration, refunds, tracer

logger = logging.getLogger(__name__)

PEER = {"service.peer.name": "card-processor"}
"""What the spans of calls of the card processor say of it, which sends none: it is a dependency by that name."""
STATUS = {
    Outcome.APPROVED: ChargeStatus.APPROVED,
    Outcome.DECLINED: ChargeStatus.DECLINED,
    Outcome.VOIDED: ChargeStatus.VOIDED,
}


def charge(
    session: Session, processor: Processor, order_id: uuid.UUID, token: str, amount: int, currency: str
) -> tuple[Charge, bool]:
    """Charge the order once, however often this is called. Return the charge, and whether this call settled it.

    Raises CardDeclined, ChargeRefunded, ChargeDiffers, or ProcessorUnavailable if it should be called again.
    """
    asked = Charge(
        order_id=order_id,
        payment_token=token,
        amount=amount,
        currency=currency,
        status=ChargeStatus.PENDING,
        attempts=1,
        created_at=datetime.now(UTC),
    )
    known, settled = _record_attempt(session, asked), False
    if known.status is ChargeStatus.PENDING:
        settled = _settle(session, known, _authorize(session, processor, known))
    return _approved(known), settled


def refund(session: Session, processor: Processor, order_id: uuid.UUID) -> tuple[Charge, bool]:
    """Refund the order's charge. A charge that has not arrived yet is voided in advance.

    Return the charge, and whether this call refunded or voided it.
    """
    charge, voided = _find_or_void(session, order_id)
    if voided or charge.status not in (ChargeStatus.PENDING, ChargeStatus.APPROVED):
        return charge, voided
    attributes = {"order.id": str(order_id), **PEER}
    with tracer.start_as_current_span("return_money", kind=SpanKind.CLIENT, attributes=attributes) as span:
        kind = processor.refund(session, order_id)
        outcome = "refunded" if kind is EntryKind.REFUND else "voided"
        span.set_attribute("payment.outcome", outcome)
    refunds.add(1, {"payment.outcome": outcome})
    with session.begin():
        session.refresh(charge, with_for_update=True)
        open_until_now = charge.status in (ChargeStatus.PENDING, ChargeStatus.APPROVED)
        if charge.status is ChargeStatus.PENDING and kind is EntryKind.REFUND:
            charge.advance(ChargeStatus.APPROVED)  # captured, but its outcome was never recorded
        if charge.status is ChargeStatus.PENDING:
            charge.advance(ChargeStatus.VOIDED)
        elif charge.status is ChargeStatus.APPROVED:
            charge.advance(ChargeStatus.REFUNDED)
    logger.info("charge %s", charge.status, extra={"order.id": str(order_id), "payment.outcome": outcome})
    return charge, open_until_now


def _record_attempt(session: Session, asked: Charge) -> Charge:
    with session.begin():
        if insert_once(session, asked):
            return asked
        known = session.get_one(Charge, asked.order_id, with_for_update=True)
        known.attempts += 1
    if known.status not in (ChargeStatus.REFUNDED, ChargeStatus.VOIDED) and (
        (known.payment_token, known.amount, known.currency) != (asked.payment_token, asked.amount, asked.currency)
    ):
        raise ChargeDiffers(f"order {asked.order_id} has a charge of another amount or token")
    return known


def _authorize(session: Session, processor: Processor, charge: Charge) -> Outcome:
    token, amount, currency = charge.payment_token or "", charge.amount or 0, charge.currency or ""
    attributes: dict[str, str | int] = {
        "order.id": str(charge.order_id),
        "payment.amount": amount,
        "payment.currency": currency,
        "payment.attempt": charge.attempts,
        **PEER,
    }
    started = time.perf_counter()
    result = "unavailable"
    with tracer.start_as_current_span("authorize_card", kind=SpanKind.CLIENT, attributes=attributes) as span:
        try:
            outcome = processor.charge(session, charge.order_id, token, amount, currency, charge.attempts)
            result = str(outcome)
        finally:
            span.set_attribute("payment.outcome", result)
            charges.add(1, {"payment.outcome": result})
            processor_duration.record((time.perf_counter() - started) * 1000, {"payment.outcome": result})
        if outcome is Outcome.DECLINED:
            span.set_status(Status(StatusCode.ERROR, "the card was declined"))
    return outcome


def _settle(session: Session, charge: Charge, outcome: Outcome) -> bool:
    """Record the outcome of a pending charge. Return False if another call has recorded one meanwhile."""
    try:
        with session.begin():
            charge.advance(STATUS[outcome])
    except StaleDataError:
        with session.begin():
            session.refresh(charge)
        return False
    return True


def _approved(charge: Charge) -> Charge:
    if charge.status is ChargeStatus.DECLINED:
        raise CardDeclined("The card's bank declined the charge.")
    if charge.status is not ChargeStatus.APPROVED:
        raise ChargeRefunded(f"The charge of order {charge.order_id} is {charge.status}.")
    return charge


def _find_or_void(session: Session, order_id: uuid.UUID) -> tuple[Charge, bool]:
    voided = Charge(order_id=order_id, status=ChargeStatus.VOIDED, attempts=0, created_at=datetime.now(UTC))
    with session.begin():
        if insert_once(session, voided):
            return voided, True
        return session.get_one(Charge, order_id), False
