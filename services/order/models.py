"""Orders, their lines, and the rules of their states."""

import uuid
from datetime import datetime, timedelta
from enum import StrEnum
from http import HTTPStatus

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, MetaData, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from app.database import NAMING_CONVENTION, UtcDateTime, string_enum
from app.problems import ProblemError

LEASE = timedelta(seconds=10)
"""How long whoever drives an order may take for one step; longer than a peer call can last."""
PATIENCE = timedelta(minutes=2)
"""How old an order may get without its stock and its money being settled before it is cancelled."""

LONGEST_PAUSE = timedelta(seconds=5)
"""The most to wait before an order that met an absent peer is tried again."""


class Status(StrEnum):
    """PENDING -> RESERVED -> CHARGED -> CONFIRMED, or CANCELLED from PENDING or RESERVED."""

    PENDING = "PENDING"
    RESERVED = "RESERVED"
    CHARGED = "CHARGED"
    CONFIRMED = "CONFIRMED"
    CANCELLED = "CANCELLED"


NEXT = {
    Status.PENDING: {Status.RESERVED, Status.CANCELLED},
    Status.RESERVED: {Status.CHARGED, Status.CANCELLED},
    Status.CHARGED: {Status.CONFIRMED},
    Status.CONFIRMED: set(),
    Status.CANCELLED: set(),
}


class Reason(StrEnum):
    """Why an order was cancelled."""

    OUT_OF_STOCK = "out_of_stock"
    UNKNOWN_ITEM = "unknown_item"
    PAYMENT_DECLINED = "payment_declined"
    REFUSED = "refused"
    TIMED_OUT = "timed_out"


class WrongTransition(Exception):
    """An order was asked to go where its state does not lead."""


class LeaseLost(Exception):
    """Another worker drives the order now; leave it alone."""


class IdempotencyKeyReused(ProblemError):
    """https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/"""

    name, status, title = (
        "idempotency-key-reused",
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "Idempotency-Key was used before",
    )


class UnknownCursor(ProblemError):
    """The page before did not end with it; an empty page would look like the end of the list."""

    name, status, title = "unknown-cursor", HTTPStatus.UNPROCESSABLE_ENTITY, "Unknown cursor"


class Base(DeclarativeBase):
    """The tables of order-service."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class OrderLine(Base):
    """`quantity` of one item; its price is known once the stock is reserved."""

    __tablename__ = "order_lines"
    __table_args__ = (CheckConstraint("quantity > 0", name="quantity"),)

    order_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("orders.id"), primary_key=True)
    sku: Mapped[str] = mapped_column(String(32), primary_key=True)
    quantity: Mapped[int]
    unit_price: Mapped[int | None]


class Order(Base):
    """One order: what was asked, how far it got, and who drives it."""

    __tablename__ = "orders"
    __table_args__ = (Index("ix_orders_created_at_id", "created_at", "id"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    idempotency_key: Mapped[str] = mapped_column(String(128), unique=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    """SHA-256 of the request body: tells the same request from another under the same key."""
    customer_id: Mapped[str] = mapped_column(String(64))
    region: Mapped[str] = mapped_column(String(8))
    payment_token: Mapped[str] = mapped_column(String(64))
    traceparent: Mapped[str | None] = mapped_column(String(64))
    """W3C context of the span that took the order; whoever drives it on links to it."""

    status: Mapped[Status] = mapped_column(string_enum(Status), default=Status.PENDING)
    reason: Mapped[Reason | None] = mapped_column(string_enum(Reason))
    """Set before the compensation begins, so that it is finished by whoever comes next."""
    currency: Mapped[str | None] = mapped_column(String(3))
    total: Mapped[int | None] = mapped_column(BigInteger)
    """Minor units of `currency`."""
    notified_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)

    driver: Mapped[uuid.UUID | None]
    """Whoever holds the lease on this order, a fresh id each time it is taken."""
    drive_after: Mapped[datetime | None] = mapped_column(UtcDateTime, index=True)
    """From when on anybody may take the order; None once it is finished."""
    attempts: Mapped[int] = mapped_column(default=0)

    lines: Mapped[list[OrderLine]] = relationship(lazy="selectin", order_by=OrderLine.sku)

    @property
    def settled(self) -> bool:
        """Whether stock and money are where they belong for good."""
        return not NEXT[self.status]

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do: settled, and the customer of a confirmed order was told."""
        return self.settled and (self.status is Status.CANCELLED or self.notified_at is not None)

    def advance(self, status: Status) -> None:
        """Go to `status`; raises WrongTransition where the state does not lead there."""
        if status not in NEXT[self.status]:
            raise WrongTransition(f"order {self.id} cannot go from {self.status} to {status}")
        self.status = status

    def price(self, currency: str, unit_prices: dict[str, int]) -> None:
        """Take over the prices of the reservation, in minor units of `currency`."""
        self.currency = currency
        for line in self.lines:
            line.unit_price = unit_prices[line.sku]
        self.total = sum(line.quantity * unit_prices[line.sku] for line in self.lines)

    def overdue(self, now: datetime) -> bool:
        """Whether it is older than PATIENCE and may still be cancelled: an order that is paid goes on."""
        undecided = self.reason is None and Status.CANCELLED in NEXT[self.status]
        return undecided and now - self.created_at > PATIENCE

    def give_up(self, reason: Reason) -> None:
        """Decide that the order ends CANCELLED; what was done for it may be undone once this is committed."""
        if Status.CANCELLED not in NEXT[self.status]:
            raise WrongTransition(f"order {self.id} is {self.status}: too late to cancel it")
        self.reason = reason

    def take(self, driver: uuid.UUID, now: datetime) -> None:
        """Let `driver`, and nobody else, drive the order until LEASE from now."""
        self.driver = driver
        self.drive_after = now + LEASE
        self.attempts += 1

    def renew(self, driver: uuid.UUID, now: datetime) -> None:
        """Start the time of the lease again after a step; raises LeaseLost if another has taken the order."""
        if self.driver != driver:
            raise LeaseLost(f"order {self.id} is driven by another worker")
        self.drive_after = now + LEASE
        self.updated_at = now

    def rest(self, now: datetime) -> None:
        """Give the lease back: for good when the order is finished, else until another attempt is due."""
        self.driver = None
        doublings = min(self.attempts - 1, 10)  # the power of an order tried for long would overflow
        pause = min(timedelta(seconds=2**doublings), LONGEST_PAUSE)
        self.drive_after = None if self.finished else now + pause
