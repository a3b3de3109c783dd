"""Orders, their lines, and which state may follow which."""

import uuid
from datetime import datetime, timedelta
from enum import StrEnum
from http import HTTPStatus

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    FetchedValue,
    ForeignKey,
    Index,
    MetaData,
    String,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from app.database import LOCK_WAIT, NAMING_CONVENTION, DatabaseTime, UtcDateTime, string_enum
from app.http_client import CALL_DEADLINE
from app.problems import ProblemError

Time = datetime | DatabaseTime
"""A time that is known, or the database's when the statement that has it runs."""
WRITTEN = FetchedValue()
"""Marks a column to which a DatabaseTime is assigned: its UPDATE returns what was written."""

LEASE = timedelta(seconds=CALL_DEADLINE + LOCK_WAIT)
"""How long a step may take: the longest call plus the longest wait for the lock under which its outcome is recorded."""
ORDER_TIMEOUT = timedelta(minutes=2)
"""Once an order is older, the next failed attempt at its stock or its payment cancels it."""
MIN_ATTEMPTS = 5
"""An order is not canceled for its age before this attempt. The backoff before each takes real time, so setting the
clock cannot cancel an order by itself."""

MAX_BACKOFF = timedelta(seconds=5)
"""The longest wait before the next attempt at an order whose dependency was unavailable."""
MAX_SLOW_BACKOFF = timedelta(minutes=5)
"""The same for a notification, which holds no stock or money, and after an invalid response, which rarely is fixed
within seconds."""
MAX_INVALID_RESPONSES = 20
"""After as many invalid responses in a row, about an hour, a step that must not be abandoned is a dead letter."""

WAITS_TO_SETTLE = text("next_attempt_at IS NOT NULL AND status <> 'CONFIRMED'")
WAITS_TO_NOTIFY = text("next_attempt_at IS NOT NULL AND status = 'CONFIRMED'")
"""The two lanes of recovery, each with its own index. They are text, because a database uses a partial index only for a
query that contains the index's condition literally, not as a parameter."""
IS_DEAD_LETTER = text("dead_letter_step IS NOT NULL")


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
    """Why an order was canceled."""

    OUT_OF_STOCK = "out_of_stock"
    UNKNOWN_ITEM = "unknown_item"
    PAYMENT_DECLINED = "payment_declined"
    REFUSED = "refused"
    TIMED_OUT = "timed_out"


class Step(StrEnum):
    """A call of the saga; its span has the same name."""

    VALIDATE_INVENTORY = "validate_inventory"
    CHARGE_PAYMENT = "charge_payment"
    SEND_NOTIFICATION = "send_notification"
    REFUND_PAYMENT = "refund_payment"
    RELEASE_INVENTORY = "release_inventory"


class WrongTransition(Exception):
    """The order's state does not allow this transition."""


class LeaseLost(Exception):
    """Another worker holds the lease now, so this one must not touch the order."""


class IdempotencyKeyReused(
    ProblemError,
    name="idempotency-key-reused",
    status=HTTPStatus.UNPROCESSABLE_ENTITY,
    title="Idempotency-Key was used before",
):
    """The key came with another body (draft-ietf-httpapi-idempotency-key-header)."""


class UnknownCursor(
    ProblemError,
    name="unknown-cursor",
    status=HTTPStatus.UNPROCESSABLE_ENTITY,
    title="Unknown cursor",
):
    """No page ended with this cursor. An empty page would look like the end of the list."""


class Base(DeclarativeBase):
    """The tables of order-service."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class OrderLine(Base):
    """`quantity` pieces of one item. The price is known once the stock is reserved."""

    __tablename__ = "order_lines"
    __table_args__ = (CheckConstraint("quantity > 0", name="quantity"),)

    order_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("orders.id"), primary_key=True)
    sku: Mapped[str] = mapped_column(String(32), primary_key=True)
    quantity: Mapped[int]
    unit_price: Mapped[int | None]


class Order(Base):
    """One order: what was ordered, its progress, and who holds its lease."""

    __tablename__ = "orders"
    __table_args__ = (
        # A key belongs to its customer: the same key of another customer is another order.
        UniqueConstraint("customer_id", "idempotency_key", name="uq_orders_customer_id_idempotency_key"),
        Index("ix_orders_created_at_id", "created_at", "id"),
        Index("ix_orders_to_settle", "next_attempt_at", sqlite_where=WAITS_TO_SETTLE, postgresql_where=WAITS_TO_SETTLE),
        Index("ix_orders_to_notify", "next_attempt_at", sqlite_where=WAITS_TO_NOTIFY, postgresql_where=WAITS_TO_NOTIFY),
        Index(
            "ix_orders_dead_letters", "dead_letter_step", sqlite_where=IS_DEAD_LETTER, postgresql_where=IS_DEAD_LETTER
        ),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    idempotency_key: Mapped[str] = mapped_column(String(128))
    fingerprint: Mapped[str] = mapped_column(String(64))
    """SHA-256 of the request body. It distinguishes a repeated request from a different one under the same key."""
    customer_id: Mapped[str] = mapped_column(String(64))
    region: Mapped[str] = mapped_column(String(8))
    payment_token: Mapped[str] = mapped_column(String(64))
    traceparent: Mapped[str | None] = mapped_column(String(64))
    """W3C context of the span that received the order. A process that resumes the order links to it."""

    status: Mapped[Status] = mapped_column(string_enum(Status), default=Status.PENDING)
    reason: Mapped[Reason | None] = mapped_column(string_enum(Reason))
    """Set before the compensation begins, so that any process can finish it."""
    currency: Mapped[str | None] = mapped_column(String(3))
    total: Mapped[int | None] = mapped_column(BigInteger)
    """Minor units of `currency`."""
    notified_at: Mapped[datetime | None] = mapped_column(UtcDateTime, server_onupdate=WRITTEN)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, insert_default=DatabaseTime())
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, insert_default=DatabaseTime(), server_onupdate=WRITTEN)

    lease_owner: Mapped[uuid.UUID | None]
    """Who holds the lease: a new id each time the lease is acquired. None while there is no lease."""
    next_attempt_at: Mapped[datetime | None] = mapped_column(UtcDateTime, server_onupdate=WRITTEN)
    """When the lease expires or, without a lease, when the next attempt is due. Any process may then acquire the lease.
    None once the order is finished or a dead letter."""
    attempts: Mapped[int] = mapped_column(default=0)
    """How often a lease was acquired, and so the number of the current one. Every UPDATE has `AND attempts = ?`: it
    raises StaleDataError for a worker that has lost its lease."""
    invalid_responses: Mapped[int] = mapped_column(default=0, server_default="0")
    """How many attempts in a row ended with an invalid response in this state."""
    dead_letter_step: Mapped[Step | None] = mapped_column(string_enum(Step))
    """The step that cannot succeed until a person fixes its cause."""
    dead_letter_reason: Mapped[str | None] = mapped_column(String(200))

    lines: Mapped[list[OrderLine]] = relationship(lazy="selectin", order_by=OrderLine.sku)

    # https://docs.sqlalchemy.org/en/20/orm/versioning.html. It cannot be lease_owner, because NULL equals nothing.
    __mapper_args__ = {"version_id_col": attempts, "version_id_generator": False, "eager_defaults": True}  # noqa: RUF012

    @property
    def settled(self) -> bool:
        """Whether the state is final for stock and money."""
        return not NEXT[self.status]

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do: settled and, if confirmed, the customer is notified."""
        return self.settled and (self.status is Status.CANCELLED or self.notified_at is not None)

    def advance(self, status: Status) -> None:
        """Go to `status`. Raise WrongTransition if the state does not allow it."""
        if status not in NEXT[self.status]:
            raise WrongTransition(f"order {self.id} cannot go from {self.status} to {status}")
        self.status = status
        self.invalid_responses = 0

    @property
    def free(self) -> bool:
        """Whether the total is 0, so that there is nothing to charge."""
        return self.total == 0

    def price(self, currency: str, unit_prices: dict[str, int]) -> None:
        """Set the prices of the reservation, in minor units of `currency`, and the total."""
        self.currency = currency
        for line in self.lines:
            line.unit_price = unit_prices[line.sku]
        self.total = sum(line.quantity * unit_prices[line.sku] for line in self.lines)

    def overdue(self, now: datetime) -> bool:
        """Return whether it may be canceled for its age.

        It may be if it is older than ORDER_TIMEOUT, or was created in the future of a clock that was set back.
        """
        undecided = self.reason is None and Status.CANCELLED in NEXT[self.status]
        age = now - self.created_at
        return undecided and self.attempts >= MIN_ATTEMPTS and not timedelta() <= age <= ORDER_TIMEOUT

    def begin_cancellation(self, reason: Reason) -> None:
        """Decide that the order ends CANCELLED. Commit this before anything is undone."""
        if Status.CANCELLED not in NEXT[self.status]:
            raise WrongTransition(f"order {self.id} is {self.status}: too late to cancel it")
        self.reason = reason
        self.invalid_responses = 0

    def begin(self, lease_owner: uuid.UUID) -> None:
        """Give the process that places a new order its lease, from the insertion on."""
        self.lease_owner = lease_owner
        self.next_attempt_at = DatabaseTime(LEASE)
        self.attempts = 1

    def acquire(self, lease_owner: uuid.UUID, now: Time) -> None:
        """Give `lease_owner` the only lease on the order until LEASE from now."""
        self.lease_owner = lease_owner
        self.next_attempt_at = now + LEASE
        self.attempts += 1

    def renew(self, lease_owner: uuid.UUID, now: Time) -> None:
        """Extend the lease to LEASE from now. Raise LeaseLost if another worker has acquired it."""
        self.check_lease(lease_owner)
        self.next_attempt_at = now + LEASE
        self.updated_at = now

    def check_lease(self, lease_owner: uuid.UUID) -> None:
        """Raise LeaseLost if another worker has acquired the lease."""
        if self.lease_owner != lease_owner:
            raise LeaseLost(f"order {self.id} is leased by another worker")

    def release(self, now: Time) -> None:
        """Release the lease. Unless the order is finished, another attempt is due after the backoff."""
        self.lease_owner = None
        self.next_attempt_at = None if self.finished else now + self._backoff()

    def _backoff(self) -> timedelta:
        longest = MAX_SLOW_BACKOFF if self.settled or self.invalid_responses else MAX_BACKOFF
        # 2**attempts overflows timedelta after 1,000 attempts, so the exponent is capped.
        doublings = min((self.invalid_responses or self.attempts) - 1, 10)
        return min(timedelta(seconds=2**doublings), longest)

    def make_due(self, now: Time) -> None:
        """Release the lease. Another attempt is due immediately."""
        self.lease_owner = None
        self.next_attempt_at = now

    def mark_dead_letter(self, step: Step, reason: str) -> None:
        """Make it a dead letter: no attempt follows until a person requests one."""
        self.lease_owner = self.next_attempt_at = None
        self.dead_letter_step, self.dead_letter_reason = step, reason[:200]

    def retry(self, now: Time) -> None:
        """Make an attempt at a dead letter due immediately."""
        self.dead_letter_step = self.dead_letter_reason = None
        self.invalid_responses = 0
        self.make_due(now)
