"""Reserving and releasing stock, each idempotent by order id; reading items through the cache."""

import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from opentelemetry.trace import Span
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.cache import Cache
from app.database import insert_once
from app.problems import ProblemError
from services.inventory.models import (
    Item,
    MixedCurrencies,
    Reservation,
    ReservationDiffers,
    ReservationLine,
    ReservationReleased,
    ReservationStatus,
    UnknownItem,
)
from services.inventory.schemas import ItemList, ItemResponse
from services.inventory.telemetry import releases, reservations, tracer

LOCK = {"of": Reservation}
"""Its lines are joined, and PostgreSQL locks no row that an outer join may leave out."""
CATALOGUE_KEY = "catalogue"


def reserve(
    session: Session, cache: Cache, order_id: uuid.UUID, quantities: dict[str, int]
) -> tuple[Reservation, bool]:
    """Set the stock of `quantities` (pieces by sku) aside for the order, or find that this was done before.

    Return the reservation, and whether this call made it.
    Raises UnknownItem, MixedCurrencies, OutOfStock, ReservationReleased or ReservationDiffers; it then changes nothing.
    """
    with tracer.start_as_current_span("reserve_stock", attributes={"order.id": str(order_id)}) as span:
        span.set_attribute("inventory.line_count", len(quantities))
        with _counted(span):
            reservation, outcome = _reserve_once(session, order_id, quantities)
        _count_reservation(span, outcome)
    _forget(cache, quantities)
    return reservation, outcome == "held"


def release(session: Session, cache: Cache, order_id: uuid.UUID) -> tuple[Reservation, bool]:
    """Release the order's stock. A reservation that has not arrived yet is voided in advance.

    Return the reservation, and whether this call released or voided it.
    """
    with tracer.start_as_current_span("release_stock", attributes={"order.id": str(order_id)}) as span:
        reservation, outcome = _release_once(session, order_id)
        span.set_attribute("inventory.outcome", outcome)
        releases.add(1, {"inventory.outcome": outcome})
    _forget(cache, reservation.quantities())
    return reservation, outcome != "repeated"


def get_item(session: Session, cache: Cache, sku: str) -> ItemResponse | None:
    """Return the item, from the cache if it is there."""

    def load() -> ItemResponse | None:
        with session.begin():
            item = session.get(Item, sku)
        return ItemResponse.model_validate(item) if item else None

    return cache.get_or_load(_key(sku), ItemResponse, load)


def list_items(session: Session, cache: Cache) -> ItemList:
    """Return all items by sku, from the cache if they are there."""

    def load() -> ItemList:
        with session.begin():
            items = session.scalars(select(Item).order_by(Item.sku)).all()
        return ItemList.model_validate({"items": items})

    return cache.get_or_load(CATALOGUE_KEY, ItemList, load)


def _reserve_once(session: Session, order_id: uuid.UUID, quantities: dict[str, int]) -> tuple[Reservation, str]:
    with session.begin():
        items = _lock_items(session, quantities)
        reservation = Reservation(
            order_id=order_id,
            status=ReservationStatus.HELD,
            currency=_common_currency(items.values()),
            created_at=datetime.now(UTC),
            lines=[
                ReservationLine(sku=sku, quantity=quantity, unit_price=items[sku].price)
                for sku, quantity in quantities.items()
            ],
        )
        # Before any piece is taken: an earlier attempt of this order may be the one that took the last.
        if not insert_once(session, reservation):
            return _same_reservation(session.get_one(Reservation, order_id), quantities), "repeated"
        for sku, quantity in quantities.items():
            items[sku].take(quantity)
    return reservation, "held"


def _common_currency(items: Iterable[Item]) -> str:
    currency, *others = {item.currency for item in items}
    if others:
        raise MixedCurrencies(f"the items are sold in {', '.join(sorted([currency, *others]))}; order them apart")
    return currency


def _same_reservation(known: Reservation, quantities: dict[str, int]) -> Reservation:
    if known.status is ReservationStatus.RELEASED:
        raise ReservationReleased(f"the reservation of order {known.order_id} was released")
    if known.quantities() != quantities:
        raise ReservationDiffers(f"order {known.order_id} has a reservation of other lines")
    return known


def _lock_items(session: Session, quantities: dict[str, int]) -> dict[str, Item]:
    """Return the items of these skus, locked in the order of their sku, so that two reservations cannot deadlock."""
    query = select(Item).where(Item.sku.in_(quantities)).order_by(Item.sku).with_for_update()
    items = {item.sku: item for item in session.scalars(query)}
    unknown = sorted(quantities.keys() - items.keys())
    if unknown:
        raise UnknownItem(f"no item {', '.join(unknown)}")
    return items


def _release_once(session: Session, order_id: uuid.UUID) -> tuple[Reservation, str]:
    voided = Reservation(order_id=order_id, status=ReservationStatus.RELEASED, created_at=datetime.now(UTC), lines=[])
    with session.begin():
        reservation = session.get(Reservation, order_id, with_for_update=LOCK)
        if reservation is None:
            if insert_once(session, voided):
                return voided, "absent"
            reservation = session.get_one(Reservation, order_id, with_for_update=LOCK)
        if reservation.status is ReservationStatus.RELEASED:
            return reservation, "repeated"
        items = _lock_items(session, reservation.quantities())
        for line in reservation.lines:
            items[line.sku].put_back(line.quantity)
        reservation.status = ReservationStatus.RELEASED
    return reservation, "released"


@contextmanager
def _counted(span: Span) -> Iterator[None]:
    try:
        yield
    except ProblemError as refusal:
        _count_reservation(span, refusal.name)
        raise


def _count_reservation(span: Span, outcome: str) -> None:
    span.set_attribute("inventory.outcome", outcome)
    reservations.add(1, {"inventory.outcome": outcome})


def _key(sku: str) -> str:
    return f"item:{sku}"


def _forget(cache: Cache, quantities: dict[str, int]) -> None:
    """After a repeated call too: the process that did the work may have died before it came here."""
    cache.delete(CATALOGUE_KEY, *(_key(sku) for sku in quantities))
