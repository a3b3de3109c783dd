"""Charges, the rules of their states, and the books of the simulated card processor."""

import uuid
from datetime import datetime
from enum import StrEnum
from http import HTTPStatus

from sqlalchemy import BigInteger, Index, MetaData, String, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from app.database import NAMING_CONVENTION, UtcDateTime, string_enum
from app.problems import ProblemError


class ChargeStatus(StrEnum):
    """PENDING -> APPROVED -> REFUNDED, or DECLINED; VOIDED is a charge refunded before it was made."""

    PENDING = "PENDING"
    APPROVED = "APPROVED"
    DECLINED = "DECLINED"
    REFUNDED = "REFUNDED"
    VOIDED = "VOIDED"


NEXT = {
    ChargeStatus.PENDING: {ChargeStatus.APPROVED, ChargeStatus.DECLINED, ChargeStatus.VOIDED},
    ChargeStatus.APPROVED: {ChargeStatus.REFUNDED},
    ChargeStatus.DECLINED: set(),
    ChargeStatus.REFUNDED: set(),
    ChargeStatus.VOIDED: set(),
}


class WrongTransition(Exception):
    """A charge was asked to go where its state does not lead."""


class CardDeclined(ProblemError, name="card-declined", status=HTTPStatus.PAYMENT_REQUIRED, title="Card declined"):
    """The card's bank said no; no money was taken."""


class ChargeRefunded(ProblemError, name="charge-refunded", status=HTTPStatus.CONFLICT, title="Charge was refunded"):
    """The order's charge was refunded or voided; it is not made again."""


class ChargeDiffers(ProblemError, name="charge-differs", status=HTTPStatus.CONFLICT, title="Charge differs"):
    """The order has a charge of another amount or token."""


class Base(DeclarativeBase):
    """The tables of payment-service."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class Charge(Base):
    """What one order is charged, under that order's id; `amount` in minor units of `currency`."""

    __tablename__ = "charges"

    order_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    payment_token: Mapped[str | None] = mapped_column(String(64))
    amount: Mapped[int | None] = mapped_column(BigInteger)
    currency: Mapped[str | None] = mapped_column(String(3))
    status: Mapped[ChargeStatus] = mapped_column(string_enum(ChargeStatus))
    attempts: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)

    # Every UPDATE has `AND status = ?` with the status that was read, and raises StaleDataError if that has changed:
    # https://docs.sqlalchemy.org/en/20/orm/versioning.html
    __mapper_args__ = {"version_id_col": status, "version_id_generator": False}  # noqa: RUF012

    def advance(self, status: ChargeStatus) -> None:
        """Go to `status`; raises WrongTransition where the state does not lead there."""
        if status not in NEXT[self.status]:
            raise WrongTransition(f"charge {self.order_id} cannot go from {self.status} to {status}")
        self.status = status


class EntryKind(StrEnum):
    """What the processor did: took the money, gave it back, or voided the charge in advance."""

    CAPTURE = "CAPTURE"
    REFUND = "REFUND"
    VOID = "VOID"


class ProcessorEntry(Base):
    """A line in the processor's own books: the other party's word on which money really moved."""

    __tablename__ = "processor_entries"
    __table_args__ = (
        # A charge is captured or voided, never both, however close the two calls are.
        Index(
            "uq_processor_entries_first",
            "idempotency_key",
            unique=True,
            sqlite_where=text("kind <> 'REFUND'"),
            postgresql_where=text("kind <> 'REFUND'"),
        ),
    )

    idempotency_key: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    kind: Mapped[EntryKind] = mapped_column(string_enum(EntryKind), primary_key=True)
    amount: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(String(3))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
