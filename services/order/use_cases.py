"""Placing orders and reading them."""

import uuid
from collections.abc import Sequence

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from app.database import insert_once
from app.problems import InvalidField
from services.order.clients import Catalogue, Clients
from services.order.models import IdempotencyKeyReused, Order, UnknownCursor
from services.order.saga import Attempt, current_traceparent, process


def place_order(session: Session, clients: Clients, order: Order) -> Order:
    """Record a new order and process it as far as possible. Return it, or the order that already has this key.

    Raise IdempotencyKeyReused if the customer sent the key with another body before.
    """
    attempt = Attempt(session, clients, order, lease_owner=uuid.uuid4())
    order.traceparent = current_traceparent()
    order.begin(attempt.lease_owner)
    known = _record_once(session, order)
    if known is not order:
        return known
    process(attempt)
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


def _record_once(session: Session, order: Order) -> Order:
    key = (Order.customer_id == order.customer_id, Order.idempotency_key == order.idempotency_key)
    with session.begin():
        if insert_once(session, order):
            return order
        known = session.scalars(select(Order).where(*key)).one()
    if known.fingerprint != order.fingerprint:
        raise IdempotencyKeyReused(
            "This Idempotency-Key was already used with another body. Use a new key for a new order."
        )
    return known
