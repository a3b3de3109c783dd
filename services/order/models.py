"""Orders, their lines, and the rules of their states."""

import uuid
from datetime import datetime, timedelta
from enum import StrEnum
from http import HTTPStatus

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, MetaData, String, UniqueConstraint, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from app.database import LOCK_WAIT, NAMING_CONVENTION, DatabaseTime, UtcDateTime, string_enum
from app.http_client import CALL_DEADLINE
from app.problems import ProblemError

LEASE = timedelta(seconds=CALL_DEADLINE + LOCK_WAIT)
"""How long a step may take: the longest call, and the longest wait for the lock to record what came of it."""
PATIENCE = timedelta(minutes=2)
"""The age from which on an order is cancelled when another attempt at its stock or its money fails."""
MIN_ATTEMPTS = 5
"""An order is not cancelled for its age before this attempt: the pauses last, whatever the clock is set to."""

LONGEST_PAUSE = timedelta(seconds=5)
"""The most to wait before an order that met an absent peer is tried again."""
LONGEST_BACKOFF = timedelta(minutes=5)
"""The same where nobody's stock or money waits, or where waiting does not help: a notification, a broken contract."""
MAX_BAD_ANSWERS = 20
"""Broken answers in a row, about an hour's, after which a step that must not be given up is a dead letter."""

WAITS_TO_SETTLE = text("drive_after IS NOT NULL AND status <> 'CONFIRMED'")
WAITS_TO_NOTIFY = text("drive_after IS NOT NULL AND status = 'CONFIRMED'")
"""The two lanes of recovery, each with an index of its own. As text, since a database uses a partial index only
where it finds the very condition of the index, not a parameter."""
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
    """Why an order was cancelled."""

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
    __table_args__ = (
        # A key is its customer's own: another customer's same key is another order.
        UniqueConstraint("customer_id", "idempotency_key", name="uq_orders_customer_id_idempotency_key"),
        Index("ix_orders_created_at_id", "created_at", "id"),
        Index("ix_orders_to_settle", "drive_after", sqlite_where=WAITS_TO_SETTLE, postgresql_where=WAITS_TO_SETTLE),
        Index("ix_orders_to_notify", "drive_after", sqlite_where=WAITS_TO_NOTIFY, postgresql_where=WAITS_TO_NOTIFY),
        Index(
            "ix_orders_dead_letters", "dead_letter_step", sqlite_where=IS_DEAD_LETTER, postgresql_where=IS_DEAD_LETTER
        ),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    idempotency_key: Mapped[str] = mapped_column(String(128))
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
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, insert_default=DatabaseTime())
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, insert_default=DatabaseTime())

    driver: Mapped[uuid.UUID | None]
    """Whoever holds the lease on this order, a fresh id each time it is taken."""
    drive_after: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """From when on any process may take the order; None once it is finished, or a dead letter."""
    attempts: Mapped[int] = mapped_column(default=0)
    bad_answers: Mapped[int] = mapped_column(default=0, server_default="0")
    """How many attempts in a row, in this state, ended with an answer that breaks the contract."""
    dead_letter_step: Mapped[Step | None] = mapped_column(string_enum(Step))
    """The step that can never succeed as things are: the order waits for a person."""
    dead_letter_reason: Mapped[str | None] = mapped_column(String(200))

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
        self.bad_answers = 0

    @property
    def free(self) -> bool:
        """Whether there is nothing to charge."""
        return self.total == 0

    def price(self, currency: str, unit_prices: dict[str, int]) -> None:
        """Take over the prices of the reservation, in minor units of `currency`."""
        self.currency = currency
        for line in self.lines:
            line.unit_price = unit_prices[line.sku]
        self.total = sum(line.quantity * unit_prices[line.sku] for line in self.lines)

    def overdue(self, now: datetime) -> bool:
        """Whether it may be cancelled for its age: older than PATIENCE, or from the future of a clock set back."""
        undecided = self.reason is None and Status.CANCELLED in NEXT[self.status]
        age = now - self.created_at
        return undecided and self.attempts >= MIN_ATTEMPTS and not timedelta() <= age <= PATIENCE

    def give_up(self, reason: Reason) -> None:
        """Decide that the order ends CANCELLED; what was done for it may be undone once this is committed."""
        if Status.CANCELLED not in NEXT[self.status]:
            raise WrongTransition(f"order {self.id} is {self.status}: too late to cancel it")
        self.reason = reason
        self.bad_answers = 0

    def begin(self, driver: uuid.UUID) -> None:
        """Let a new order be leased, from its insertion on, to the process that places it."""
        self.driver = driver
        self.drive_after = DatabaseTime(LEASE)
        self.attempts = 1

    def take(self, driver: uuid.UUID, now: datetime) -> None:
        """Let `driver`, and nobody else, drive the order until LEASE from now."""
        self.driver = driver
        self.drive_after = now + LEASE
        self.attempts += 1

    def renew(self, driver: uuid.UUID, now: datetime) -> None:
        """Start the time of the lease again after a step; raises LeaseLost if another has taken the order."""
        self.check_lease(driver)
        self.drive_after = now + LEASE
        self.updated_at = now

    def check_lease(self, driver: uuid.UUID) -> None:
        """Raise LeaseLost if another has taken the order."""
        if self.driver != driver:
            raise LeaseLost(f"order {self.id} is driven by another worker")

    def rest(self, now: datetime) -> None:
        """Give the lease back: for good when the order is finished, else until another attempt is due."""
        self.driver = None
        self.drive_after = None if self.finished else now + self._pause()

    def _pause(self) -> timedelta:
        longest = LONGEST_BACKOFF if self.settled or self.bad_answers else LONGEST_PAUSE
        doublings = min((self.bad_answers or self.attempts) - 1, 10)  # 2**attempts would overflow in the end
        return min(timedelta(seconds=2**doublings), longest)

    def hand_over(self, now: datetime) -> None:
        """Give the lease back to whoever comes next, at once."""
        self.driver = None
        self.drive_after = now

    def bury(self, step: Step, reason: str) -> None:
        """Make it a dead letter: no attempt follows until a person asks for one."""
        self.driver = self.drive_after = None
        self.dead_letter_step, self.dead_letter_reason = step, reason[:200]

    def retry(self, now: datetime) -> None:
        """Let the recovery try a dead letter again, at once."""
        self.dead_letter_step = self.dead_letter_reason = None
        self.bad_answers = 0
        self.hand_over(now)
