"""A worker processes an order under a lease, so two workers never process the same one."""

import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from services.inventory.models import Item
from services.order.clients import Clients
from services.order.models import LEASE, Order
from tests.conftest import LONG_AGO, Shop


def end_leases(shop: Shop) -> None:
    """Let every lease and every pause be over."""
    with shop.order.session() as session, session.begin():
        session.execute(update(Order).where(Order.next_attempt_at.is_not(None)).values(next_attempt_at=LONG_AGO))


def test_many_workers_that_recover_at_the_same_time_process_each_order_once(
    shop: Shop, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    with shop.payment.unavailable():
        orders = [shop.post_order().json() for _ in range(6)]
    charged: Counter[str] = Counter()
    real = clients.charge

    def count(order: Order) -> None:
        charged[str(order.id)] += 1
        real(order)

    monkeypatch.setattr(clients, "charge", count)
    end_leases(shop)
    with ThreadPoolExecutor(8) as workers:
        recovered = list(workers.map(lambda _: shop.recover_order(), range(24)))
    while shop.recover_order():
        recovered.append(True)
    assert sum(recovered) == 6
    assert charged == {order["id"]: 1 for order in orders}
    assert {shop.read_order(order)["status"] for order in orders} == {"CONFIRMED"}


def test_an_order_that_is_leased_is_not_recovered(
    shop: Shop, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    recovered = []
    real = clients.charge

    def recover_meanwhile(order: Order) -> Any:
        recovered.append(shop.recover_order())
        return real(order)

    monkeypatch.setattr(clients, "charge", recover_meanwhile)
    assert shop.post_order().json()["status"] == "CONFIRMED"
    assert recovered == [False]


@pytest.mark.parametrize("call", ["reserve", "charge", "notify"])
def test_a_worker_that_lost_its_lease_leaves_the_order_to_the_other(
    shop: Shop, clients: Clients, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """The first worker stops for longer than its lease in the middle of a call; another finishes the order."""
    before = shop.stock()
    real = getattr(clients, call)
    slept: list[Any] = []

    def sleep_through_the_lease(order: Order) -> Any:
        answer = real(order)
        if not slept:
            slept.append(order.id)
            end_leases(shop)
            assert shop.recover_one()
        return answer

    monkeypatch.setattr(clients, call, sleep_through_the_lease)
    response = shop.post_order()
    assert (response.status_code, response.json()["status"]) == (201, "CONFIRMED")
    assert response.json() == shop.read_order(response.json())
    assert shop.stock() == before - 2
    assert shop.money_taken(response.json()) == [2 * 1290]
    assert not shop.recover_order()


def test_the_two_calls_of_a_compensation_each_have_a_lease_of_their_own(
    shop: Shop, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One call may last nearly as long as a lease."""
    left = {}

    def note(call: str) -> None:
        real = getattr(clients, call)

        def noting(order_id: object) -> None:
            with shop.order.session() as session, session.begin():
                order = session.get_one(Order, order_id)
                left[call] = order.next_attempt_at - order.updated_at if order.next_attempt_at else None
                order.next_attempt_at = order.updated_at
            real(order_id)

        monkeypatch.setattr(clients, call, noting)

    note("refund")
    note("release")
    with shop.inventory.session() as session, session.begin():
        session.execute(update(Item).where(Item.sku == "TEA-ROOIBOS").values(price=2**31 - 1))
    lines = [{"sku": "TEA-ROOIBOS", "quantity": 1000}]
    order = shop.post_order(lines=lines).json()
    assert (order["status"], order["reason"]) == ("CANCELLED", "refused")
    assert left == {"refund": LEASE, "release": LEASE}


def test_an_order_tried_in_vain_for_hours_is_still_tried(shop: Shop) -> None:
    with shop.notification.unavailable():
        order = shop.post_order().json()
        with shop.order.session() as session, session.begin():
            session.execute(update(Order).where(Order.next_attempt_at.is_not(None)).values(attempts=5000))
        shop.resume()
    shop.resume()
    with shop.order.session() as session, session.begin():
        assert session.get_one(Order, uuid.UUID(order["id"])).finished


def test_a_database_that_fails_in_the_middle_of_an_order_is_a_503_and_the_order_is_resumed(
    shop: Shop, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = clients.charge

    def fail(order: Order) -> None:
        real(order)
        raise OperationalError("COMMIT", {}, Exception("the connection was lost"))

    with monkeypatch.context() as patch:
        patch.setattr(clients, "charge", fail)
        response = shop.post_order("key-when-the-database-failed")
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "1"
    shop.resume()
    again = shop.post_order("key-when-the-database-failed")
    assert (again.status_code, again.json()["status"]) == (201, "CONFIRMED")
    assert shop.money_taken(again.json()) == [2 * 1290]
