"""A card processor, simulated: real ones too take an idempotency key, keep books, are slow and sometimes unavailable.

Test tokens: `tok_approve` approves; `tok_decline` declines; `tok_slow` approves after two seconds more;
`tok_fail_then_succeed` is unavailable at the first attempt of each charge. Any other token is declined.
"""

import random
import time
import uuid
from datetime import UTC, datetime
from enum import StrEnum
from http import HTTPStatus
from typing import Protocol

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.database import insert_once
from app.problems import ProblemError
from app.telemetry import untraced
from services.payment.models import EntryKind, ProcessorEntry

SPREAD = 0.5
"""Sigma of the log-normal latency: the P99 is 3.2 times the median."""
SLOW = 2.0
"""Seconds that `tok_slow` takes longer."""


class Outcome(StrEnum):
    """The processor's answer to a charge."""

    APPROVED = "approved"
    DECLINED = "declined"
    VOIDED = "voided"


class ProcessorUnavailable(
    ProblemError,
    name="processor-unavailable",
    status=HTTPStatus.SERVICE_UNAVAILABLE,
    title="Card processor unavailable",
):
    """The processor did not answer; the charge may be asked for again."""


class Processor(Protocol):
    """What payment-service needs of a card processor; both calls are idempotent under `key`."""

    def charge(self, books: Session, key: uuid.UUID, token: str, amount: int, currency: str, attempt: int) -> Outcome:
        """Take `amount` minor units; raises ProcessorUnavailable."""

    def refund(self, books: Session, key: uuid.UUID) -> EntryKind:
        """Refund the charge, or void it in advance if it has not arrived yet."""


class SimulatedProcessor:
    """Latency is log-normal around `median` seconds. `books` stands for the processor's own database.

    Its statements leave no spans: a real processor is a remote system, and its database is not traced here.
    """

    def __init__(self, median: float) -> None:
        self._median = median

    def charge(self, books: Session, key: uuid.UUID, token: str, amount: int, currency: str, attempt: int) -> Outcome:
        """Take the money once under `key`, as the token says; raises ProcessorUnavailable."""
        self._wait(SLOW if token == "tok_slow" else 0)  # noqa: S105
        if token == "tok_fail_then_succeed" and attempt == 1:  # noqa: S105
            raise ProcessorUnavailable("the card processor did not answer")
        if token not in ("tok_approve", "tok_slow", "tok_fail_then_succeed"):
            return Outcome.DECLINED
        return _capture_once(books, key, amount, currency)

    def refund(self, books: Session, key: uuid.UUID) -> EntryKind:
        """Give back what was captured under `key`, once; VOID if nothing was."""
        self._wait()
        return _refund_once(books, key)

    def _wait(self, extra: float = 0.0) -> None:
        time.sleep(self._median * random.lognormvariate(0, SPREAD) + extra)


def _capture_once(books: Session, key: uuid.UUID, amount: int, currency: str) -> Outcome:
    with untraced(), books.begin():
        if insert_once(books, _entry(key, EntryKind.CAPTURE, amount, currency)):
            return Outcome.APPROVED
        return Outcome.VOIDED if _first_entry(books, key).kind is EntryKind.VOID else Outcome.APPROVED


def _refund_once(books: Session, key: uuid.UUID) -> EntryKind:
    with untraced(), books.begin():
        if insert_once(books, _entry(key, EntryKind.VOID, 0, "")):
            return EntryKind.VOID
        first = _first_entry(books, key)
        if first.kind is EntryKind.CAPTURE:
            insert_once(books, _entry(key, EntryKind.REFUND, first.amount, first.currency))
            return EntryKind.REFUND
    return EntryKind.VOID


def _first_entry(books: Session, key: uuid.UUID) -> ProcessorEntry:
    """Return the capture or the void: there is one of them at most."""
    query = select(ProcessorEntry).where(ProcessorEntry.idempotency_key == key, ProcessorEntry.kind != EntryKind.REFUND)
    return books.scalars(query).one()


def _entry(key: uuid.UUID, kind: EntryKind, amount: int, currency: str) -> ProcessorEntry:
    return ProcessorEntry(
        idempotency_key=key, kind=kind, amount=amount, currency=currency, created_at=datetime.now(UTC)
    )
