"""A dependency is unavailable, or its response is lost: the order waits, is resumed, and leaves nothing half done."""

import pytest
from sqlalchemy import update

from app.dependency_errors import DependencyRefused, InvalidResponse
from services.inventory.models import Item
from services.notification.channels import LogChannel
from services.order.clients import Clients
from services.order.models import Order
from tests.conftest import RunningService, Shop
from tests.order.conftest import grow_old, lose_answers


@pytest.mark.parametrize(
    ("peer", "status"), [("inventory", "PENDING"), ("payment", "RESERVED"), ("notification", "CONFIRMED")]
)
def test_an_order_waits_for_an_unavailable_dependency_and_is_resumed_later(shop: Shop, peer: str, status: str) -> None:
    before = shop.stock()
    service: RunningService = getattr(shop, peer)
    with service.unavailable():
        response = shop.post_order()
        assert response.status_code == (201 if peer == "notification" else 202)
        order = response.json()
        assert order["status"] == status
        assert order == shop.read_order(order)
        shop.resume()
        assert shop.read_order(order)["status"] == status
    shop.resume()
    assert shop.read_order(order)["status"] == "CONFIRMED"
    assert shop.stock() == before - 2
    assert shop.money_taken(order) == [2 * 1290]


def test_an_order_that_waits_is_not_tried_again_before_its_pause_is_over(shop: Shop) -> None:
    with shop.payment.unavailable():
        order = shop.post_order().json()
        assert not shop.recover_one()
    shop.resume()
    assert shop.read_order(order)["status"] == "CONFIRMED"


def test_the_same_request_again_finds_the_order_that_waits(shop: Shop) -> None:
    with shop.payment.unavailable():
        order = shop.post_order("key-of-one-that-waits").json()
        again = shop.post_order("key-of-one-that-waits")
        assert (again.status_code, again.json()) == (202, order)
    shop.resume()
    again = shop.post_order("key-of-one-that-waits")
    assert (again.status_code, again.json()["id"], again.json()["status"]) == (201, order["id"], "CONFIRMED")


def test_a_customer_is_told_as_soon_as_the_channel_works_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = []

    def fail(_channel: LogChannel, notification: object) -> None:
        attempts.append(notification)
        raise OSError("the mail server is unavailable")

    with monkeypatch.context() as patch:
        patch.setattr(LogChannel, "send", fail)
        response = shop.post_order()
        assert (response.status_code, response.json()["status"]) == (201, "CONFIRMED")
        shop.resume()
    tries = len(attempts)
    assert tries >= 2
    monkeypatch.setattr(LogChannel, "send", lambda _channel, notification: attempts.append(notification))
    shop.resume()
    shop.resume()
    assert len(attempts) == tries + 1


@pytest.mark.parametrize("peer", ["inventory", "payment"])
def test_an_order_whose_peer_stays_away_is_cancelled_and_everything_put_back(shop: Shop, peer: str) -> None:
    before = shop.stock()
    service: RunningService = getattr(shop, peer)
    with service.unavailable():
        order = shop.post_order().json()
        grow_old(shop)
        shop.resume()
        waiting = shop.read_order(order)
        assert (waiting["reason"], waiting["status"]) == ("timed_out", order["status"])
    shop.resume()
    over = shop.read_order(order)
    assert (over["status"], over["reason"]) == ("CANCELLED", "timed_out")
    assert shop.stock() == before
    assert shop.money_taken(order) == []


@pytest.mark.parametrize(("call", "books"), [("reserve", []), ("charge", [2 * 1290, -2 * 1290])])
def test_what_a_peer_did_though_its_answer_was_lost_is_undone_when_the_order_times_out(
    shop: Shop, clients: Clients, monkeypatch: pytest.MonkeyPatch, call: str, books: list[int]
) -> None:
    before = shop.stock()
    with monkeypatch.context() as patch:
        lose_answers(patch, clients, call)
        response = shop.post_order()
        assert response.status_code == 202
        assert shop.stock() == before - 2
        grow_old(shop)
        shop.resume()
    over = shop.read_order(response.json())
    assert (over["status"], over["reason"]) == ("CANCELLED", "timed_out")
    assert shop.stock() == before
    assert shop.money_taken(over) == books


@pytest.mark.parametrize("call", ["reserve", "charge", "notify"])
def test_what_a_peer_did_though_its_answer_was_lost_is_not_done_twice(
    shop: Shop, clients: Clients, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    before = shop.stock()
    with monkeypatch.context() as patch:
        lose_answers(patch, clients, call)
        order = shop.post_order().json()
    shop.resume()
    assert shop.read_order(order)["status"] == "CONFIRMED"
    assert shop.stock() == before - 2
    assert shop.money_taken(order) == [2 * 1290]


@pytest.mark.parametrize("call", ["refund", "release"])
def test_a_compensation_whose_answer_was_lost_is_finished_later_and_only_once(
    shop: Shop, clients: Clients, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    before = shop.stock()
    with monkeypatch.context() as patch:
        lose_answers(patch, clients, "charge")
        lose_answers(patch, clients, call)
        order = shop.post_order().json()
        grow_old(shop)
        shop.resume()
        assert shop.read_order(order)["status"] == "RESERVED"
    shop.resume()
    assert shop.read_order(order)["status"] == "CANCELLED"
    assert shop.stock() == before
    assert shop.money_taken(order) == [2 * 1290, -2 * 1290]


def test_an_order_that_is_paid_goes_on_however_old_it_got(
    shop: Shop, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(_order: Order) -> None:
        raise SystemError("the process dies before the customer is told")

    with monkeypatch.context() as patch:
        patch.setattr(clients, "notify", die)
        assert shop.post_order("key-of-one-that-got-old").status_code == 500
    grow_old(shop)
    shop.resume()
    order = shop.post_order("key-of-one-that-got-old").json()
    assert (order["status"], order["reason"]) == ("CONFIRMED", None)
    assert shop.money_taken(order) == [2 * 1290]


def test_a_peer_that_breaks_its_contract_is_asked_again_later(
    shop: Shop, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_contract(_order: Order) -> None:
        raise InvalidResponse("payment-service", "unexpected body")

    with monkeypatch.context() as patch:
        patch.setattr(clients, "charge", break_contract)
        response = shop.post_order()
        assert (response.status_code, response.json()["status"]) == (202, "RESERVED")
    shop.resume()
    assert shop.read_order(response.json())["status"] == "CONFIRMED"


def test_a_reservation_that_arrives_after_its_order_was_refused_holds_nothing(
    shop: Shop, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first attempt waits at the peer for a lock while the second is told that there is too little."""
    late: list[Order] = []
    real = clients.reserve

    def keep_and_reserve(order: Order) -> object:
        late.append(order)
        return real(order)

    monkeypatch.setattr(clients, "reserve", keep_and_reserve)
    order = shop.post_order(lines=[{"sku": "CUP-RAKU", "quantity": 6}]).json()
    assert order["reason"] == "out_of_stock"
    with shop.inventory.session() as session, session.begin():
        session.execute(update(Item).where(Item.sku == "CUP-RAKU").values(stock=6))
    with pytest.raises(DependencyRefused, match="released"):
        real(late[0])
    assert shop.stock("CUP-RAKU") == 6
