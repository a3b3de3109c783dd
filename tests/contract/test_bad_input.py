"""Whatever is sent: a 4xx in application/problem+json that says which field and why, and repeats no value."""

import copy
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.conftest import Shop
from tests.contract.conftest import OPERATIONS
from tests.support.operations import Operation

SECRET = "4111111111111111"
WITH_FIELDS = [operation for operation in OPERATIONS if operation.body]
WITH_LINES = [operation for operation in OPERATIONS if "lines" in operation.body]
WITH_AN_AMOUNT = [operation for operation in OPERATIONS if "amount" in operation.body]


@pytest.fixture(autouse=True)
def _logs_without_secrets(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No test of this file may bring a value it sent, or an error of ours, into the log."""
    yield
    assert SECRET not in caplog.text
    assert "unexpected error" not in caplog.text


def send(shop: Shop, operation: Operation, body: Any, **headers: str | None) -> requests.Response:
    """Send `body` as it is, or as JSON if it is not text."""
    data = body if isinstance(body, bytes) or hasattr(body, "__next__") else json.dumps(body)
    sent: dict[str, str | None] = {"Content-Type": "application/json", "Idempotency-Key": str(uuid.uuid4())}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    url = shop.services[operation.service].url + operation.path
    return requests.request(operation.method, url, data=data, headers=sent, timeout=10)


def refused(response: requests.Response, *statuses: int) -> dict[str, Any]:
    """The problem of an answer that has one of `statuses` and tells nothing it was told."""
    assert response.status_code in statuses, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    assert SECRET not in response.text
    problem: dict[str, Any] = response.json()
    assert problem["status"] == response.status_code
    assert problem["type"]
    assert problem["title"]
    assert problem["detail"]
    return problem


def fields(problem: dict[str, Any]) -> list[str]:
    assert all(error["reason"] for error in problem["errors"])
    return [error["field"] for error in problem["errors"]]


def test_a_valid_body_is_accepted(shop: Shop, operation: Operation) -> None:
    assert send(shop, operation.about(uuid.uuid4()), operation.body).status_code == 201


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"{'single': 1}", b"\xff\xfe{}", b'{"a": 1} {"b": 2}', b'{"a": 1e}', b"[" * 60_000, b'{"a":' * 12_000],
    ids=["empty", "open", "quotes", "encoding", "two", "number", "deep-arrays", "deep-objects"],
)
def test_a_body_that_is_not_json_is_refused(shop: Shop, operation: Operation, body: bytes) -> None:
    assert "JSON" in refused(send(shop, operation, body), 400)["detail"]


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_json_does_not_have_are_refused(shop: Shop, operation: Operation, constant: str) -> None:
    body = json.dumps(operation.body | {"amount": float(constant)})
    assert constant in refused(send(shop, operation, body.encode()), 400)["detail"]


@pytest.mark.parametrize("body", [None, True, 5, 1.5, SECRET, [], [{}]], ids=repr)
def test_a_body_that_is_no_object_is_refused(shop: Shop, operation: Operation, body: object) -> None:
    assert fields(refused(send(shop, operation, body), 422)) == ["body"]


def test_a_json_string_that_holds_a_valid_body_is_no_body(shop: Shop, operation: Operation) -> None:
    assert fields(refused(send(shop, operation, json.dumps(operation.body)), 422)) == ["body"]


@pytest.mark.parametrize("operation", WITH_FIELDS, ids=lambda operation: operation.template)
def test_an_empty_object_lacks_every_field(shop: Shop, operation: Operation) -> None:
    assert set(fields(refused(send(shop, operation, {}), 422))) == set(operation.body)


@pytest.mark.parametrize("name", ["unknown", "", "a" * 1000, "\x00", "\ud800", "__proto__", SECRET[:2]])
def test_an_unknown_field_is_refused_by_name(shop: Shop, operation: Operation, name: str) -> None:
    problem = refused(send(shop, operation, operation.body | {name: SECRET}), 422)
    assert len(fields(problem)) == 1


@pytest.mark.parametrize("operation", WITH_FIELDS, ids=lambda operation: operation.template)
@pytest.mark.parametrize(
    "value", [None, True, 5, 1.5, "", f"{SECRET}!", [], {}, "\x00", "\ud800", "x" * 5000, "ünï"], ids=repr
)
def test_every_field_refuses_what_it_is_not(shop: Shop, operation: Operation, value: object) -> None:
    for name, right in operation.body.items():
        if name == "amount" and type(value) is int:
            continue
        problem = refused(send(shop, operation, operation.body | {name: value}), 422)
        assert fields(problem) == [name], (name, right)


@pytest.mark.parametrize("quantity", [0, -1, 1001, 2**31, 2**63, 10**30, -(10**30), 1.0, 1.5, 1e308, True, "2", None])
@pytest.mark.parametrize("operation", WITH_LINES, ids=lambda operation: operation.service + operation.path)
def test_a_quantity_is_a_whole_number_of_sane_size(shop: Shop, operation: Operation, quantity: object) -> None:
    body = copy.deepcopy(operation.body)
    body["lines"][0]["quantity"] = quantity
    assert fields(refused(send(shop, operation, body), 422)) == ["lines.0.quantity"]


@pytest.mark.parametrize("amount", [0, -1, 10**12 + 1, 2**63, 10**30, 1.0, True, "500", None])
@pytest.mark.parametrize("operation", WITH_AN_AMOUNT, ids=lambda operation: operation.service + operation.path)
def test_an_amount_is_a_whole_number_of_sane_size(shop: Shop, operation: Operation, amount: object) -> None:
    assert fields(refused(send(shop, operation, operation.body | {"amount": amount}), 422)) == ["amount"]


def test_an_integer_of_ten_thousand_digits_is_refused(shop: Shop, operation: Operation) -> None:
    body = json.dumps(operation.body | {"amount": "digits"}).replace('"digits"', "9" * 10_000)
    refused(send(shop, operation, body.encode()), 400)


@pytest.mark.parametrize("operation", WITH_LINES, ids=lambda operation: operation.service + operation.path)
@pytest.mark.parametrize(
    ("lines", "field"),
    [
        ([], "lines"),
        ([{"sku": "TEA-SENCHA", "quantity": 1}] * 2, "lines"),
        ([{"sku": f"TEA-{number}", "quantity": 1} for number in range(21)], "lines"),
        ([{"sku": "TEA-SENCHA", "quantity": 1, "price": 1}], "lines.0.price"),
        ([{"sku": "TEA-SENCHA"}], "lines.0.quantity"),
        ([{"sku": "tea-sencha", "quantity": 1}], "lines.0.sku"),
        ([{"sku": "TEA-SENCHA\n", "quantity": 1}], "lines.0.sku"),
        ([{"sku": "TEA-SENCHA\x00", "quantity": 1}], "lines.0.sku"),
        ([{"sku": "A" * 33, "quantity": 1}], "lines.0.sku"),
        ([None], "lines.0"),
    ],
)
def test_lines_are_checked_one_by_one(shop: Shop, operation: Operation, lines: object, field: str) -> None:
    problem = refused(send(shop, operation, operation.body | {"lines": lines}), 422)
    assert fields(problem) == [field]
    assert "Value error" not in problem["detail"]


@pytest.mark.parametrize(
    "content_type",
    [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/xml", ""],
)
def test_only_json_is_taken(shop: Shop, operation: Operation, content_type: str | None) -> None:
    data = json.dumps(operation.body).encode()
    assert "application/json" in refused(send(shop, operation, data, Content_Type=content_type), 415)["detail"]


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON"])
def test_a_parameter_or_capitals_do_not_make_another_content_type(
    shop: Shop, operation: Operation, content_type: str
) -> None:
    assert send(shop, operation, operation.body, Content_Type=content_type).status_code in (200, 201, 409)


def test_a_body_of_64_kib_is_read_and_one_byte_more_is_not(shop: Shop, operation: Operation) -> None:
    padded = json.dumps(operation.body).encode()[:-1].ljust(64 * 1024 - 1) + b"}"
    assert send(shop, operation, padded).status_code in (200, 201, 409)
    refused(send(shop, operation, padded + b" "), 413)


def test_a_chunked_body_over_64_kib_is_refused_too(shop: Shop, operation: Operation) -> None:
    chunks = [b'{"a": "', *[b"x" * 8192] * 8, b'"}']
    refused(send(shop, operation, iter(chunks)), 413)
    valid_up_to_there = json.dumps(operation.body).encode().ljust(64 * 1024)
    refused(send(shop, operation, iter([valid_up_to_there, b" and more"])), 413)


def test_a_chunked_body_is_read(shop: Shop, operation: Operation) -> None:
    data = json.dumps(operation.body).encode()
    assert send(shop, operation, iter([data[:1], data[1:]])).status_code in (200, 201, 409)
