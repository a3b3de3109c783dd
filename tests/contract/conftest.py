"""The four services over SQLite, and a valid request to each of their operations that take a body."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from local.registry import SERVICES
from tests.conftest import RunningService, Shop, open_shop, valkey_server

ORDER_ID = "0b9f8e2a-6d3c-4f1e-9a57-3c1d2e4f5a6b"


@dataclass(frozen=True)
class Operation:
    """Where a body goes, and one that is accepted."""

    service: str
    path: str
    body: dict[str, Any]


OPERATIONS = [
    Operation(
        "order",
        "/orders",
        {
            "customer_id": "cus_1",
            "region": "eu",
            "payment_token": "tok_approve",
            "lines": [{"sku": "TEA-SENCHA", "quantity": 2}],
        },
    ),
    Operation("inventory", "/reservations", {"order_id": ORDER_ID, "lines": [{"sku": "TEA-SENCHA", "quantity": 2}]}),
    Operation("inventory", "/releases", {"order_id": ORDER_ID}),
    Operation(
        "payment",
        "/charges",
        {"order_id": ORDER_ID, "payment_token": "tok_approve", "amount": 500, "currency": "EUR"},
    ),
    Operation("payment", "/refunds", {"order_id": ORDER_ID}),
    Operation(
        "notification",
        "/notifications",
        {"order_id": ORDER_ID, "customer_id": "cus_1", "template": "order_confirmed"},
    ),
]


@pytest.fixture(scope="module")
def shop(new_sqlite: Callable[[str], str]) -> Iterator[Shop]:
    """The whole shop over SQLite."""
    with valkey_server() as cache_url:
        shop = open_shop(new_sqlite, cache_url)
        yield shop
        shop.close()


@pytest.fixture(params=OPERATIONS, ids=lambda operation: operation.path)
def operation(request: pytest.FixtureRequest) -> Operation:
    """Each operation that takes a body, in turn."""
    chosen: Operation = request.param
    return chosen


@pytest.fixture(params=SERVICES)
def service(request: pytest.FixtureRequest, shop: Shop) -> RunningService:
    """Each service in turn."""
    return shop.services[request.param]
