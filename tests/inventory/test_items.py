"""Items are read through the cache, and read all the same when the cache is away, dies or holds nonsense."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import requests
from pydantic import BaseModel
from redis import Redis
from sqlalchemy import event

from app import cache
from app.database import Database
from tests.conftest import RunningService, start_service
from tests.support.dependencies import dependency
from tests.support.servers import free_port, valkey_server

SENCHA = {"sku": "TEA-SENCHA", "name": "Sencha, 100 g", "price": 1290, "currency": "EUR"}


@dataclass
class Inventory:
    """inventory-service, its cache, and the statements it sends to its database."""

    service: RunningService
    cache: Redis
    statements: list[str]

    def get(self, path: str) -> requests.Response:
        """Read something; forgets the statements of before."""
        self.statements.clear()
        return requests.get(self.service.url + path, timeout=60)

    def reserve(self, **quantities: int) -> str:
        """Reserve pieces for a new order; its id."""
        lines = [{"sku": sku.replace("_", "-"), "quantity": quantity} for sku, quantity in quantities.items()]
        order_id = str(uuid.uuid4())
        url = f"{self.service.url}/reservations/{order_id}"
        response = requests.put(url, json={"lines": lines}, timeout=60)
        assert response.status_code == 201
        return order_id


@pytest.fixture(scope="module")
def service(new_sqlite: Callable[[str], str]) -> Iterator[Inventory]:
    """inventory-service over a cache."""
    with valkey_server() as cache_url:
        running = start_service("inventory", new_sqlite("inventory"), CACHE_URL=cache_url)
        statements: list[str] = []
        engine = dependency(running.app, Database).engine
        event.listen(engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
        redis = Redis.from_url(cache_url)
        yield Inventory(running, redis, statements)
        redis.close()
        running.close()


@pytest.fixture
def inventory(service: Inventory) -> Inventory:
    """The same with an empty cache."""
    service.cache.flushdb()
    return service


def test_the_first_read_of_an_item_asks_the_database_and_the_next_the_cache(inventory: Inventory) -> None:
    first = inventory.get("/items/TEA-SENCHA")
    assert inventory.statements
    again = inventory.get("/items/TEA-SENCHA")
    assert not inventory.statements
    assert again.json() == first.json()
    assert first.json() == SENCHA | {"stock": first.json()["stock"]}


def test_the_catalogue_is_cached_too_and_sorted_by_sku(inventory: Inventory) -> None:
    first = inventory.get("/items").json()["items"]
    assert inventory.statements
    assert inventory.get("/items").json()["items"] == first
    assert not inventory.statements
    assert [item["sku"] for item in first] == sorted(item["sku"] for item in first)
    assert len(first) == 13


def test_what_is_cached_goes_after_a_while_by_itself(inventory: Inventory) -> None:
    inventory.get("/items/TEA-SENCHA")
    assert 0 < inventory.cache.ttl("item:TEA-SENCHA") <= 30


def test_a_reservation_and_its_release_are_seen_at_once(inventory: Inventory) -> None:
    before = inventory.get("/items/TEA-SENCHA").json()["stock"]
    inventory.get("/items")
    order_id = inventory.reserve(TEA_SENCHA=2, TEA_ASSAM=1)
    assert inventory.get("/items/TEA-SENCHA").json()["stock"] == before - 2
    assert SENCHA | {"stock": before - 2} in inventory.get("/items").json()["items"]
    requests.put(f"{inventory.service.url}/reservations/{order_id}/release", json={}, timeout=60)
    assert inventory.get("/items/TEA-SENCHA").json()["stock"] == before
    assert SENCHA | {"stock": before} in inventory.get("/items").json()["items"]


def test_an_item_that_is_not_there_is_not_found_and_not_cached(inventory: Inventory) -> None:
    for _ in range(2):
        response = inventory.get("/items/TEA-MINT")
        assert (response.status_code, response.json()["detail"]) == (404, "There is no item TEA-MINT.")
        assert inventory.statements


@pytest.mark.parametrize("sku", ["tea-sencha", "TEA_SENCHA", "%00", "A" * 33, "%ff", "-"])
def test_what_cannot_be_a_sku_is_refused(inventory: Inventory, sku: str) -> None:
    response = inventory.get(f"/items/{sku}")
    assert response.status_code == 422
    assert [error["field"] for error in response.json()["errors"]] == ["sku"]
    assert not inventory.statements


@pytest.mark.parametrize("garbage", [b"", b"\xff\xfe\x00", b"{", b"not JSON"])
@pytest.mark.parametrize(("path", "key"), [("/items/TEA-SENCHA", "item:TEA-SENCHA"), ("/items", "catalogue")])
def test_nonsense_in_the_cache_is_passed_over_and_replaced(
    inventory: Inventory, path: str, key: str, garbage: bytes
) -> None:
    right = inventory.get(path).json()
    inventory.cache.set(key, garbage)
    response = inventory.get(path)
    assert (response.status_code, response.json()) == (200, right)
    assert inventory.cache.get(key) != garbage


def test_items_are_read_and_reserved_while_the_cache_is_away(new_sqlite: Callable[[str], str]) -> None:
    service = start_service("inventory", new_sqlite("away"), CACHE_URL=f"redis://127.0.0.1:{free_port()}/0")
    inventory = Inventory(service, Redis(), [])
    before = inventory.get("/items/TEA-SENCHA").json()["stock"]
    inventory.reserve(TEA_SENCHA=1)
    assert inventory.get("/items/TEA-SENCHA").json()["stock"] == before - 1
    assert inventory.get("/items").status_code == 200
    assert inventory.get("/readyz").status_code == 200
    service.close()


def test_a_cache_that_dies_and_comes_back_is_used_again(
    new_sqlite: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "PAUSE", 0.0)
    with valkey_server() as cache_url:
        service = start_service("inventory", new_sqlite("dies"), CACHE_URL=cache_url)
        assert requests.get(f"{service.url}/items/TEA-SENCHA", timeout=60).status_code == 200
    for _ in range(3):
        assert requests.get(f"{service.url}/items/TEA-SENCHA", timeout=60).status_code == 200
    service.close()


def test_a_cache_that_failed_is_left_alone_for_a_while() -> None:
    attempts: list[str] = []
    absent = cache.Cache(f"redis://127.0.0.1:{free_port()}/0", ttl=1, pool_size=1)

    def load() -> None:
        attempts.append("loaded")

    absent.get_or_load("key", BaseModel, load)
    paused_until = absent._paused_until
    absent.get_or_load("key", BaseModel, load)
    assert attempts == ["loaded"] * 2
    assert absent._paused_until == paused_until > 0
