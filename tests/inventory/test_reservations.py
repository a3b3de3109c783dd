"""Stock is set aside for an order: all lines or none, once, and never more than there is."""

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from services.inventory.models import Item
from tests.conftest import RunningService, start_service
from tests.support.servers import valkey_server


@pytest.fixture(scope="module")
def inventory(new_database: Callable[[str], str]) -> Iterator[RunningService]:
    """inventory-service with its catalogue."""
    with valkey_server() as cache_url:
        service = start_service("inventory", new_database("inventory"), CACHE_URL=cache_url)
        yield service
        service.close()


@pytest.fixture(autouse=True)
def _full_shelves(inventory: RunningService) -> None:
    """Each test begins with five raku cups and a hundred of the rest."""
    with inventory.session() as session, session.begin():
        for item in session.query(Item).order_by(Item.sku).with_for_update():
            item.stock = 5 if item.sku == "CUP-RAKU" else 100


def reserve(inventory: RunningService, order_id: str | None = None, /, **quantities: int) -> requests.Response:
    """Reserve pieces by sku, written with an underscore."""
    lines = [{"sku": sku.replace("_", "-"), "quantity": quantity} for sku, quantity in quantities.items()]
    url = f"{inventory.url}/reservations/{order_id or uuid.uuid4()}"
    return requests.put(url, json={"lines": lines}, timeout=30)


def release(inventory: RunningService, order_id: str) -> requests.Response:
    return requests.put(f"{inventory.url}/reservations/{order_id}/release", json={}, timeout=30)


def stock(inventory: RunningService, sku: str) -> int:
    with inventory.session() as session, session.begin():
        return session.get_one(Item, sku).stock


def test_a_reservation_takes_stock_and_brings_the_prices(inventory: RunningService) -> None:
    order_id = str(uuid.uuid4())
    response = reserve(inventory, order_id, TEA_SENCHA=2, CUP_RAKU=5)
    assert response.status_code == 201
    assert response.json() == {
        "order_id": order_id,
        "status": "HELD",
        "currency": "EUR",
        "lines": [
            {"sku": "TEA-SENCHA", "quantity": 2, "unit_price": 1290},
            {"sku": "CUP-RAKU", "quantity": 5, "unit_price": 12900},
        ],
    }
    assert (stock(inventory, "TEA-SENCHA"), stock(inventory, "CUP-RAKU")) == (98, 0)


def test_the_same_reservation_again_changes_nothing(inventory: RunningService) -> None:
    order_id = str(uuid.uuid4())
    first = reserve(inventory, order_id, TEA_SENCHA=2, CUP_RAKU=5)
    again = reserve(inventory, order_id, CUP_RAKU=5, TEA_SENCHA=2)
    assert again.status_code == 200
    assert sorted(again.json()["lines"], key=str) == sorted(first.json()["lines"], key=str)
    assert (stock(inventory, "TEA-SENCHA"), stock(inventory, "CUP-RAKU")) == (98, 0)


def test_the_same_order_with_other_lines_is_refused(inventory: RunningService) -> None:
    order_id = str(uuid.uuid4())
    reserve(inventory, order_id, TEA_SENCHA=2)
    response = reserve(inventory, order_id, TEA_SENCHA=3)
    assert (response.status_code, response.json()["type"]) == (409, "tag:waybill.example,2026:reservation-differs")
    assert stock(inventory, "TEA-SENCHA") == 98


@pytest.mark.parametrize(
    ("quantities", "problem"),
    [({"TEA_SENCHA": 2, "CUP_RAKU": 6}, "out-of-stock"), ({"TEA_SENCHA": 2, "TEA_MINT": 1}, "unknown-item")],
)
def test_a_reservation_is_made_of_all_lines_or_of_none(
    inventory: RunningService, quantities: dict[str, int], problem: str
) -> None:
    response = reserve(inventory, **quantities)
    assert (response.status_code, response.json()["type"]) == (409, f"tag:waybill.example,2026:{problem}")
    assert (stock(inventory, "TEA-SENCHA"), stock(inventory, "CUP-RAKU")) == (100, 5)


def test_a_reservation_that_was_refused_can_be_made_later(inventory: RunningService) -> None:
    order_id, other = str(uuid.uuid4()), str(uuid.uuid4())
    reserve(inventory, other, CUP_RAKU=1)
    assert reserve(inventory, order_id, CUP_RAKU=5).status_code == 409
    release(inventory, other)
    assert reserve(inventory, order_id, CUP_RAKU=5).status_code == 201


def test_a_release_puts_the_stock_back_once(inventory: RunningService) -> None:
    order_id = str(uuid.uuid4())
    reserve(inventory, order_id, TEA_SENCHA=2, CUP_RAKU=1)
    first, again = release(inventory, order_id), release(inventory, order_id)
    assert (first.status_code, first.json()["status"]) == (201, "RELEASED")
    assert (again.status_code, again.json()) == (200, first.json())
    assert (stock(inventory, "TEA-SENCHA"), stock(inventory, "CUP-RAKU")) == (100, 5)


def test_a_release_bars_a_reservation_that_comes_after_it(inventory: RunningService) -> None:
    order_id = str(uuid.uuid4())
    released = release(inventory, order_id)
    assert released.status_code == 201
    assert released.json() == {"order_id": order_id, "status": "RELEASED", "currency": None, "lines": []}
    assert release(inventory, order_id).status_code == 200
    response = reserve(inventory, order_id, TEA_SENCHA=2)
    assert (response.status_code, response.json()["type"]) == (409, "tag:waybill.example,2026:reservation-released")
    assert stock(inventory, "TEA-SENCHA") == 100


def test_a_released_reservation_is_not_made_again(inventory: RunningService) -> None:
    order_id = str(uuid.uuid4())
    reserve(inventory, order_id, TEA_SENCHA=2)
    release(inventory, order_id)
    assert reserve(inventory, order_id, TEA_SENCHA=2).status_code == 409
    assert stock(inventory, "TEA-SENCHA") == 100


def test_twenty_buyers_at_once_get_no_more_than_the_five_cups_there_are(inventory: RunningService) -> None:
    with ThreadPoolExecutor(20) as buyers:
        responses = list(buyers.map(lambda _: reserve(inventory, CUP_RAKU=1), range(20)))
    assert sorted(response.status_code for response in responses) == [201] * 5 + [409] * 15
    assert stock(inventory, "CUP-RAKU") == 0


def test_one_reservation_sent_many_times_at_once_is_made_once(inventory: RunningService) -> None:
    """All cups go to the order, so whoever does not see that it has them finds none left."""
    for _ in range(3):
        order_id = str(uuid.uuid4())
        with ThreadPoolExecutor(8) as senders:
            responses = list(senders.map(lambda _, order=order_id: reserve(inventory, order, CUP_RAKU=5), range(8)))
        assert sorted(response.status_code for response in responses) == [200] * 7 + [201]
        assert stock(inventory, "CUP-RAKU") == 0
        release(inventory, order_id)


def test_a_release_that_races_its_reservation_leaves_no_stock_behind(inventory: RunningService) -> None:
    for _ in range(10):
        order_id = str(uuid.uuid4())
        with ThreadPoolExecutor(4) as senders:
            reserved = [senders.submit(reserve, inventory, order_id, CUP_RAKU=2) for _ in range(2)]
            released = [senders.submit(release, inventory, order_id) for _ in range(2)]
        assert {future.result().status_code for future in reserved} <= {200, 201, 409}
        assert sorted(future.result().status_code for future in released) == [200, 201]
        assert stock(inventory, "CUP-RAKU") == 5


def test_reservations_whose_items_cross_do_not_block_each_other(inventory: RunningService) -> None:
    def one(number: int) -> requests.Response:
        pair = {"TEA_ASSAM": 1, "TEA_KEEMUN": 1}
        return reserve(inventory, **(pair if number % 2 else dict(reversed(pair.items()))))

    def both(number: int) -> list[int]:
        response = one(number)
        return [response.status_code, release(inventory, response.json()["order_id"]).status_code]

    with ThreadPoolExecutor(8) as senders:
        assert list(senders.map(both, range(24))) == [[201, 201]] * 24
    assert (stock(inventory, "TEA-ASSAM"), stock(inventory, "TEA-KEEMUN")) == (100, 100)
