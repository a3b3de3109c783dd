"""Items and reservations, and the rules of their numbers."""

import uuid
from datetime import datetime
from enum import StrEnum
from http import HTTPStatus

from sqlalchemy import CheckConstraint, ForeignKey, MetaData, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from app.database import NAMING_CONVENTION, UtcDateTime, string_enum
from app.problems import ProblemError


class ReservationStatus(StrEnum):
    """A reservation is held until it is released, for good."""

    HELD = "HELD"
    RELEASED = "RELEASED"


class OutOfStock(ProblemError, name="out-of-stock", status=HTTPStatus.CONFLICT, title="Out of stock"):
    """Fewer pieces are left than were asked for; nothing was reserved."""


class UnknownItem(ProblemError, name="unknown-item", status=HTTPStatus.CONFLICT, title="Unknown item"):
    """No item has this sku; nothing was reserved."""


class MixedCurrencies(ProblemError, name="mixed-currencies", status=HTTPStatus.CONFLICT, title="Mixed currencies"):
    """The items are sold in different currencies, so the order has no total; nothing was reserved."""


class ReservationReleased(
    ProblemError, name="reservation-released", status=HTTPStatus.CONFLICT, title="Reservation was released"
):
    """The order's reservation was released, perhaps before it arrived; it is not made again."""


class ReservationDiffers(
    ProblemError, name="reservation-differs", status=HTTPStatus.CONFLICT, title="Reservation differs"
):
    """The order already holds a reservation of other lines."""


class Base(DeclarativeBase):
    """The tables of inventory-service."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class Item(Base):
    """Something for sale; `price` in minor units of `currency`, `stock` the pieces that are not reserved."""

    __tablename__ = "items"
    __table_args__ = (CheckConstraint("stock >= 0", name="stock"), CheckConstraint("price >= 0", name="price"))

    sku: Mapped[str] = mapped_column(String(32), primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    price: Mapped[int]
    currency: Mapped[str] = mapped_column(String(3))
    stock: Mapped[int]

    def take(self, quantity: int) -> None:
        """Set pieces aside; raises OutOfStock rather than go below zero."""
        if quantity > self.stock:
            raise OutOfStock(f"{self.sku}: {quantity} asked for, {self.stock} left")
        self.stock -= quantity

    def put_back(self, quantity: int) -> None:
        """Return pieces that were set aside."""
        self.stock += quantity


class ReservationLine(Base):
    """Pieces of one item that are set aside, at the price of that moment."""

    __tablename__ = "reservation_lines"

    order_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("reservations.order_id"), primary_key=True)
    sku: Mapped[str] = mapped_column(ForeignKey("items.sku"), primary_key=True)
    quantity: Mapped[int]
    unit_price: Mapped[int]


class Reservation(Base):
    """The stock set aside for one order, under that order's id."""

    __tablename__ = "reservations"

    order_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    status: Mapped[ReservationStatus] = mapped_column(string_enum(ReservationStatus))
    currency: Mapped[str | None] = mapped_column(String(3))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)

    lines: Mapped[list[ReservationLine]] = relationship(lazy="joined", order_by=ReservationLine.sku)

    def quantities(self) -> dict[str, int]:
        """Pieces by sku."""
        return {line.sku: line.quantity for line in self.lines}
