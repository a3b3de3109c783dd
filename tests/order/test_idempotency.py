"""The same request may come any number of times: it is one order."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from sqlalchemy import func, select

from services.order.models import Order
from tests.conftest import Shop

BODY = {
    "customer_id": "cus_1",
    "region": "eu",
    "payment_token": "tok_approve",
    "lines": [{"sku": "TEA-SENCHA", "quantity": 2}],
}


def post(shop: Shop, key: str | None, body: str) -> requests.Response:
    """Post a body as it is spelled."""
    headers = {"Content-Type": "application/json"} | ({} if key is None else {"Idempotency-Key": key})
    return requests.post(f"{shop.order.url}/orders", data=body, headers=headers, timeout=30)


def test_the_same_key_and_body_find_the_same_order(shop: Shop) -> None:
    before = shop.stock()
    first, again = (shop.post_order("key-of-a-retry") for _ in range(2))
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["Location"] == first.headers["Location"]
    assert shop.stock() == before - 2
    assert shop.money_taken(first.json()) == [2 * 1290]


def test_a_cancelled_order_stays_cancelled_for_its_key(shop: Shop) -> None:
    first, again = (shop.post_order("key-of-a-cancelled", payment_token="tok_decline") for _ in range(2))
    assert again.json() == first.json()
    assert again.json()["status"] == "CANCELLED"


def test_the_order_and_spacing_of_json_keys_do_not_make_another_body(shop: Shop) -> None:
    first = post(shop, "key-of-another-spelling", json.dumps(BODY))
    again = post(shop, "key-of-another-spelling", json.dumps(dict(reversed(BODY.items())), indent=2))
    assert (again.status_code, again.json()) == (201, first.json())


@pytest.mark.parametrize(
    "change",
    [
        {"region": "us"},
        {"payment_token": "tok_slow"},
        {"lines": [{"sku": "TEA-SENCHA", "quantity": 3}]},
        {"lines": [{"sku": "TEA-SENCHA", "quantity": 2}, {"sku": "TEA-ASSAM", "quantity": 1}]},
    ],
    ids=lambda change: "-".join(change),
)
def test_the_same_key_with_another_body_is_refused(shop: Shop, change: dict[str, object]) -> None:
    shop.post_order("key-of-two-bodies")
    before = shop.stock()
    response = shop.post_order("key-of-two-bodies", **change)
    assert response.status_code == 422
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["type"] == "tag:waybill.example,2026:idempotency-key-reused"
    assert shop.stock() == before


def test_the_same_key_of_another_customer_is_another_order(shop: Shop) -> None:
    before = shop.stock()
    first, other = (shop.post_order("key-of-two-customers", customer_id=customer) for customer in ("cus_1", "cus_2"))
    assert (first.status_code, other.status_code) == (201, 201)
    assert first.json()["id"] != other.json()["id"]
    assert other.json()["customer_id"] == "cus_2"
    assert shop.stock() == before - 4
    again = shop.post_order("key-of-two-customers", customer_id="cus_2")
    assert again.json() == other.json()


def test_sixteen_requests_at_once_under_one_key_make_one_order(shop: Shop) -> None:
    before = shop.stock()
    with ThreadPoolExecutor(16) as clients:
        responses = list(clients.map(lambda _: shop.post_order("key-of-sixteen"), range(16)))
    assert {response.status_code for response in responses} <= {201, 202}
    assert len({response.json()["id"] for response in responses}) == 1
    final = shop.post_order("key-of-sixteen")
    assert (final.status_code, final.json()["status"]) == (201, "CONFIRMED")
    assert shop.stock() == before - 2
    assert shop.money_taken(final.json()) == [2 * 1290]
    with shop.order.session() as session, session.begin():
        query = select(func.count()).select_from(Order).where(Order.idempotency_key == "key-of-sixteen")
        assert session.scalar(query) == 1


def test_keys_are_told_apart_by_case(shop: Shop) -> None:
    assert shop.post_order("key-a").json()["id"] != shop.post_order("KEY-A").json()["id"]


@pytest.mark.parametrize("key", ["x", "x" * 128, "".join(map(chr, range(0x21, 0x7F)))], ids=["one", "128", "visible"])
def test_a_key_is_any_visible_ascii(shop: Shop, key: str) -> None:
    assert shop.post_order(key).status_code == 201


@pytest.mark.parametrize("key", [None, "", "x" * 129, "two words", "tab\there", "\u00e9t\u00e9"])
def test_a_missing_or_bad_key_is_refused_by_name_but_not_repeated(shop: Shop, key: str | None) -> None:
    response = post(shop, key, json.dumps(BODY))
    assert response.status_code == 422
    assert [error["field"] for error in response.json()["errors"]] == ["Idempotency-Key"]
    assert not key or key not in response.text
