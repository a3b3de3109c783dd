"""Orders are read one by one, or newest first, a page at a time."""

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
import requests

from services.order.models import Order, OrderLine, Status
from tests.conftest import RunningService, all_services_at, start_service

NOBODY = "http://127.0.0.1:9"
NEWEST = datetime(2026, 11, 1, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture(scope="module")
def orders(new_database: Callable[[str], str]) -> Iterator[RunningService]:
    """order-service with 25 orders; five came at each of five instants."""
    service = start_service("order", new_database("order"), **all_services_at(NOBODY))
    with service.session() as session, session.begin():
        session.add_all(order_at(NEWEST - timedelta(microseconds=number // 5)) for number in range(25))
    yield service
    service.close()


def order_at(created_at: datetime) -> Order:
    """A cancelled order that came at this instant."""
    return Order(
        idempotency_key=str(uuid.uuid4()),
        fingerprint="",
        customer_id="cus_1",
        region="eu",
        payment_token="tok_approve",
        status=Status.CANCELLED,
        created_at=created_at,
        updated_at=created_at,
        lines=[OrderLine(sku="TEA-SENCHA", quantity=1)],
    )


def get(service: RunningService, path: str, **query: str | int) -> requests.Response:
    return requests.get(service.url + path, params=query, timeout=60)


def pages(service: RunningService, limit: int) -> Iterator[list[dict[str, str]]]:
    """All pages, from the newest order to the oldest."""
    query: dict[str, str | int] = {"limit": limit}
    while True:
        page = get(service, "/orders", **query).json()
        yield page["orders"]
        if page["next_cursor"] is None:
            return
        query["cursor"] = page["next_cursor"]


@pytest.mark.parametrize("limit", [1, 3, 5, 24, 25, 26, 100])
def test_pages_hold_every_order_once_newest_first(orders: RunningService, limit: int) -> None:
    seen = list(pages(orders, limit))
    assert [len(page) for page in seen[:-1]] == [limit] * (len(seen) - 1)
    assert 1 <= len(seen[-1]) <= limit
    flat = [order for page in seen for order in page]
    assert len({order["id"] for order in flat}) == len(flat) == 25
    assert flat == sorted(flat, key=lambda order: (order["created_at"], order["id"]), reverse=True)


def test_a_page_has_twenty_orders_if_nothing_else_is_asked(orders: RunningService) -> None:
    page = get(orders, "/orders").json()
    assert len(page["orders"]) == 20
    assert page["next_cursor"] == page["orders"][-1]["id"]


def test_an_order_that_comes_while_paging_does_not_move_the_next_page(orders: RunningService) -> None:
    first = get(orders, "/orders", limit=5).json()
    expected = get(orders, "/orders", limit=5, cursor=first["next_cursor"]).json()
    with orders.session() as session, session.begin():
        late = order_at(NEWEST + timedelta(days=1))
        late.lines = []
        session.add(late)
    assert get(orders, "/orders", limit=5, cursor=first["next_cursor"]).json() == expected
    with orders.session() as session, session.begin():
        session.delete(session.get_one(Order, late.id))


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": -1}, "limit"),
        ({"limit": 101}, "limit"),
        ({"limit": 10**30}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"limit": "1.5"}, "limit"),
        ({"limit": ""}, "limit"),
        ({"cursor": "garbage"}, "cursor"),
        ({"cursor": ""}, "cursor"),
        ({"cursor": "\x00"}, "cursor"),
        ({"cursor": "00000000-0000-4000-8000-000000000000"}, "cursor"),
        ({"page": 2}, "page"),
    ],
)
def test_a_bad_limit_or_cursor_is_refused_by_name(
    orders: RunningService, query: dict[str, str | int], field: str
) -> None:
    response = get(orders, "/orders", **query)
    assert response.status_code == 422
    assert [error["field"] for error in response.json()["errors"]] == [field]


@pytest.mark.parametrize("path", ["/orders/00000000-0000-4000-8000-000000000000", "/orders/garbage", "/orders/%00"])
def test_an_order_that_is_not_there_is_not_found(orders: RunningService, path: str) -> None:
    response = get(orders, path)
    assert (response.status_code, response.headers["Content-Type"]) == (404, "application/problem+json")


def test_times_are_utc_to_the_microsecond(orders: RunningService) -> None:
    newest = get(orders, "/orders", limit=1).json()["orders"][0]
    assert newest["created_at"] == "2026-11-01T12:00:00.123456Z"
