"""An order goes through, or leaves no trace in stock and money."""

import pytest
from sqlalchemy import select

from services.inventory.models import Item
from services.notification.models import Notification
from services.order.clients import Clients
from services.payment import processor
from tests.conftest import Shop
from tests.support.dependencies import dependency


def test_an_approved_order_is_confirmed_charged_and_takes_its_stock(shop: Shop) -> None:
    before = shop.stock()
    response = shop.post_order()
    order = response.json()
    assert response.status_code == 201
    assert response.headers["Location"] == f"/orders/{order['id']}"
    assert (order["status"], order["reason"]) == ("CONFIRMED", None)
    assert (order["total"], order["currency"]) == (2 * 1290, "EUR")
    assert order["lines"] == [{"sku": "TEA-SENCHA", "quantity": 2, "unit_price": 1290}]
    assert shop.stock() == before - 2
    assert shop.money_taken(order) == [2 * 1290]
    assert shop.read_order(order) == order


def test_the_customer_of_a_confirmed_order_is_told_once(shop: Shop) -> None:
    order = shop.post_order(customer_id="cus_told").json()
    shop.resume()
    with shop.notification.session() as session, session.begin():
        told = session.scalars(select(Notification).where(Notification.customer_id == "cus_told")).all()
    assert [str(notification.order_id) for notification in told if notification.sent_at] == [order["id"]]


def test_a_declined_card_leaves_stock_and_money_as_they_were(shop: Shop) -> None:
    before = shop.stock()
    response = shop.post_order(payment_token="tok_decline")
    order = response.json()
    assert response.status_code == 201
    assert (order["status"], order["reason"]) == ("CANCELLED", "payment_declined")
    assert shop.stock() == before
    assert shop.money_taken(order) == []


def test_a_token_that_nobody_knows_is_declined(shop: Shop) -> None:
    order = shop.post_order(payment_token="tok_unheard_of").json()
    assert (order["status"], order["reason"]) == ("CANCELLED", "payment_declined")


def test_an_order_of_more_than_there_is_takes_nothing_of_any_line(shop: Shop) -> None:
    before = shop.stock()
    lines = [{"sku": "TEA-SENCHA", "quantity": 1}, {"sku": "CUP-RAKU", "quantity": 6}]
    order = shop.post_order(lines=lines).json()
    assert (order["status"], order["reason"], order["total"]) == ("CANCELLED", "out_of_stock", None)
    assert (shop.stock(), shop.stock("CUP-RAKU")) == (before, 5)
    assert shop.money_taken(order) == []


def test_an_order_of_an_unknown_item_is_cancelled(shop: Shop) -> None:
    before = shop.stock()
    lines = [{"sku": "TEA-SENCHA", "quantity": 1}, {"sku": "TEA-EARL-GREY", "quantity": 1}]
    order = shop.post_order(lines=lines).json()
    assert (order["status"], order["reason"]) == ("CANCELLED", "unknown_item")
    assert shop.stock() == before


def test_an_order_in_two_currencies_has_no_total_and_is_cancelled(shop: Shop) -> None:
    with shop.inventory.session() as session, session.begin():
        session.get_one(Item, "TEA-KEEMUN").currency = "JPY"
    before = shop.stock()
    lines = [{"sku": "TEA-SENCHA", "quantity": 1}, {"sku": "TEA-KEEMUN", "quantity": 1}]
    order = shop.post_order(lines=lines).json()
    assert (order["status"], order["reason"], order["total"]) == ("CANCELLED", "refused", None)
    assert shop.stock() == before
    assert shop.money_taken(order) == []


def test_a_card_processor_that_fails_once_is_asked_again(shop: Shop) -> None:
    order = shop.post_order(payment_token="tok_fail_then_succeed").json()
    assert order["status"] == "CONFIRMED"
    assert shop.money_taken(order) == [2 * 1290]


def test_a_slow_card_processor_is_waited_for(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "SLOW", 0.3)
    order = shop.post_order(payment_token="tok_slow").json()
    assert order["status"] == "CONFIRMED"
    assert shop.money_taken(order) == [2 * 1290]


def test_a_price_that_changes_later_does_not_change_the_order(shop: Shop) -> None:
    lines = [{"sku": "TEA-OOLONG", "quantity": 3}]
    order = shop.post_order(lines=lines).json()
    with shop.inventory.session() as session, session.begin():
        session.get_one(Item, "TEA-OOLONG").price = 9990
    assert shop.read_order(order)["total"] == 3 * 1890
    assert shop.post_order(lines=lines).json()["total"] == 3 * 9990


def test_the_total_of_a_large_order_does_not_overflow(shop: Shop) -> None:
    with shop.inventory.session() as session, session.begin():
        session.get_one(Item, "POT-KYUSU").price = 2**31 - 1
    order = shop.post_order(lines=[{"sku": "POT-KYUSU", "quantity": 100}]).json()
    assert (order["status"], order["total"]) == ("CONFIRMED", (2**31 - 1) * 100)


@pytest.fixture
def free_item(shop: Shop) -> str:
    """The sku of an item at price 0."""
    with shop.inventory.session() as session, session.begin():
        session.get_one(Item, "TEA-LAPSANG").price = 0
    return "TEA-LAPSANG"


def test_an_order_of_nothing_but_free_items_is_confirmed_without_a_charge(
    shop: Shop, free_item: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dependency(shop.order.app, Clients), "charge", None)
    before = shop.stock(free_item)
    order = shop.post_order(payment_token="tok_decline", lines=[{"sku": free_item, "quantity": 2}]).json()
    assert (order["status"], order["reason"], order["total"]) == ("CONFIRMED", None, 0)
    assert order["lines"] == [{"sku": free_item, "quantity": 2, "unit_price": 0}]
    assert shop.stock(free_item) == before - 2
    assert shop.money_taken(order) == []


def test_a_free_item_beside_another_costs_nothing(shop: Shop, free_item: str) -> None:
    lines = [{"sku": free_item, "quantity": 2}, {"sku": "TEA-SENCHA", "quantity": 1}]
    order = shop.post_order(lines=lines).json()
    assert (order["status"], order["total"], shop.money_taken(order)) == ("CONFIRMED", 1290, [1290])


def test_the_dearest_order_there_can_be_is_refused_by_payment_and_leaves_nothing(shop: Shop) -> None:
    """20 lines of 1,000 pieces at the highest price: its total still fits, but no card is charged so much."""
    with shop.inventory.session() as session, session.begin():
        session.add_all(
            Item(sku=f"DEAR-{number}", name="Dear", price=2**31 - 1, currency="EUR", stock=1000) for number in range(20)
        )
    lines = [{"sku": f"DEAR-{number}", "quantity": 1000} for number in range(20)]
    order = shop.post_order(lines=lines).json()
    assert (order["status"], order["reason"], order["total"]) == ("CANCELLED", "refused", 20_000 * (2**31 - 1))
    assert shop.stock("DEAR-0") == 1000
