"""Any process may die at any moment: what it left is resumed until stock and money agree.

A death is simulated before and after each commit of any of the services, one per order: the transaction is
rolled back, or has happened, and the caller loses its connection.
"""

import uuid
from contextlib import suppress
from itertools import count
from typing import Any

import pytest
import requests
from sqlalchemy import select

from services.notification.models import Notification
from services.order.clients import Clients
from services.order.models import Order
from tests.conftest import Shop
from tests.order.conftest import grow_old, lose_answers
from tests.support.crashes import Died, fated


def order_through_a_death(shop: Shop, place: int, **changes: object) -> tuple[dict[str, Any] | None, bool]:
    """Place an order while a process dies at `place`; (the order as the books have it, whether one died)."""
    key = str(uuid.uuid4())
    with fated(shop, place) as fate:
        with suppress(requests.ConnectionError):
            shop.post_order(key, **changes)
        with suppress(Died):
            shop.resume()
    shop.resume()
    with shop.order.session() as session, session.begin():
        order = session.scalar(select(Order).where(Order.idempotency_key == key))
    if order is None:
        return None, fate.struck
    assert order.next_attempt_at is None, f"place {place}: unfinished"
    return shop.read_order({"id": str(order.id)}), fate.struck


def notifications_of(shop: Shop, order: dict[str, Any]) -> int:
    query = select(Notification).where(Notification.order_id == uuid.UUID(order["id"]))
    with shop.notification.session() as session, session.begin():
        return sum(notification.sent_at is not None for notification in session.scalars(query))


def test_an_order_is_confirmed_and_charged_once_wherever_a_process_dies(shop: Shop) -> None:
    for place in count(1):
        before = shop.stock()
        order, died = order_through_a_death(shop, place)
        if order is None:
            assert shop.stock() == before
            continue
        assert order["status"] == "CONFIRMED", f"place {place}"
        assert shop.stock() == before - 2, f"place {place}"
        assert shop.money_taken(order) == [2 * 1290], f"place {place}"
        assert notifications_of(shop, order) == 1, f"place {place}"
        if not died:
            break
    assert place > 18


@pytest.mark.parametrize("new_database", ["sqlite"], indirect=True, scope="module")
def test_a_declined_order_leaves_nothing_wherever_a_process_dies(shop: Shop) -> None:
    for place in count(1):
        before = shop.stock()
        order, died = order_through_a_death(shop, place, payment_token="tok_decline")
        assert shop.stock() == before, f"place {place}"
        if order is None:
            continue
        assert (order["status"], order["reason"]) == ("CANCELLED", "payment_declined"), f"place {place}"
        assert shop.money_taken(order) == [], f"place {place}"
        assert notifications_of(shop, order) == 0, f"place {place}"
        if not died:
            break
    assert place > 14


@pytest.mark.parametrize("new_database", ["sqlite"], indirect=True, scope="module")
def test_an_order_out_of_stock_leaves_nothing_wherever_a_process_dies(shop: Shop) -> None:
    lines = [{"sku": "TEA-SENCHA", "quantity": 1}, {"sku": "CUP-RAKU", "quantity": 6}]
    for place in count(1):
        before = shop.stock()
        order, died = order_through_a_death(shop, place, lines=lines)
        assert (shop.stock(), shop.stock("CUP-RAKU")) == (before, 5), f"place {place}"
        if order is None:
            continue
        assert (order["status"], order["reason"]) == ("CANCELLED", "out_of_stock"), f"place {place}"
        assert shop.money_taken(order) == [], f"place {place}"
        if not died:
            break
    assert place > 6


def test_an_order_that_timed_out_is_undone_wherever_a_process_dies(shop: Shop, clients: Clients) -> None:
    """It was charged, but its service does not know: the answer never came."""
    for place in count(1):
        before = shop.stock()
        with pytest.MonkeyPatch.context() as patch:
            lose_answers(patch, clients, "charge")
            order = shop.post_order().json()
            assert (order["status"], shop.money_taken(order)) == ("RESERVED", [2 * 1290])
            grow_old(shop)
            with fated(shop, place) as fate, suppress(Died):
                shop.resume()
            shop.resume()
        over = shop.read_order(order)
        assert (over["status"], over["reason"]) == ("CANCELLED", "timed_out"), f"place {place}"
        assert shop.stock() == before, f"place {place}"
        assert shop.money_taken(over) == [2 * 1290, -2 * 1290], f"place {place}"
        if not fate.struck:
            break
    assert place > 14
