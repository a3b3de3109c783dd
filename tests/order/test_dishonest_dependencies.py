"""A dependency that responds with something wrong: no order is settled by it, none is lost, and none answers 500."""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
import svcs
from sqlalchemy import update

from app import circuit_breaker
from app.database import write_session
from services.order.clients import Clients
from services.order.models import Order
from services.order.recovery import recover_notifications, recover_orders
from tests.conftest import LONG_AGO, RunningService, all_services_at, start_service
from tests.support.stub_server import Answer, StubHandler, StubServer, serving

Body = dict[str, Any]
JSON = {"Content-Type": "application/json"}
PROBLEM = {"Content-Type": "application/problem+json"}
PRICE = 1290


def honest(operation: str, ids: list[str], request: Body) -> Body:
    """What the real services respond with, to the order and template of the URL."""
    order = {"order_id": ids[0]} if ids else {}
    responses: dict[str, Callable[[], Body]] = {
        "/items": lambda: {"items": [ITEM]},
        "/reservations": lambda: {
            **order,
            "status": "HELD",
            "currency": "EUR",
            "lines": [{**line, "unit_price": PRICE} for line in request["lines"]],
        },
        "/release": lambda: {**order, "status": "RELEASED", "currency": None, "lines": []},
        "/charges": lambda: {
            **order,
            "status": "APPROVED",
            "amount": request["amount"],
            "currency": request["currency"],
        },
        "/refund": lambda: {**order, "status": "VOIDED", "amount": None, "currency": None},
        "/notifications": lambda: {**order, "template": ids[1], "sent_at": datetime.now(UTC).isoformat()},
    }
    return responses[operation]()


ITEM = {"sku": "TEA-SENCHA", "name": "Sencha, 100 g", "price": PRICE, "currency": "EUR", "stock": 5}


class Dependency(StubServer):
    """All three services at once; `lie` turns an honest body into what is sent for one operation.

    An operation is named by the last fixed part of its path: /charges for /charges/{order_id}, /refund for
    /charges/{order_id}/refund.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lies: dict[str, Callable[[Body], Body | Answer]] = {}
        self.requested: list[str] = []

    def answer(self, handler: StubHandler) -> Answer:
        collection, *ids = handler.path.removeprefix("/").split("/")
        operation = f"/{ids.pop() if ids[-1:] in (['release'], ['refund']) else collection}"
        self.requested.append(operation)
        truth = honest(operation, ids, json.loads(handler.body or b"{}"))
        lie = self.lies.get(operation)
        said = lie(truth) if lie else truth
        return said if isinstance(said, tuple) else (200, JSON, json.dumps(said).encode())


@pytest.fixture(scope="module")
def dependency() -> Iterator[Dependency]:
    """The one that lies."""
    with serving(Dependency()) as server:
        yield server


@pytest.fixture(autouse=True)
def _honest_again(dependency: Dependency) -> None:
    dependency.lies.clear()
    dependency.requested.clear()


@pytest.fixture(scope="module")
def service(dependency: Dependency, new_sqlite: Callable[[str], str]) -> Iterator[RunningService]:
    """Order-service, whose dependencies are all that one."""
    running = start_service("order", new_sqlite("order"), **all_services_at(dependency.url))
    yield running
    running.close()


def post_order(service: RunningService) -> requests.Response:
    body = {
        "customer_id": "cus_1",
        "region": "eu",
        "payment_token": "tok_approve",
        "lines": [{"sku": "TEA-SENCHA", "quantity": 2}, {"sku": "CUP-RAKU", "quantity": 1}],
    }
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    return requests.post(f"{service.url}/orders", json=body, headers=headers, timeout=30)


def process(service: RunningService) -> None:
    """Let every pause be over, and do what the recovery loop does."""
    with service.session() as session, session.begin():
        session.execute(update(Order).where(Order.next_attempt_at.is_not(None)).values(next_attempt_at=LONG_AGO))
    with service.app.app_context():
        for recover in (recover_orders, recover_notifications):
            while recover(write_session(), svcs.flask.get(Clients)):
                pass


def read_order(service: RunningService, order: Body) -> Body:
    found: Body = requests.get(f"{service.url}/orders/{order['id']}", timeout=60).json()
    return found


def first_line(**changes: Any) -> Callable[[Body], Body]:
    return lambda body: {**body, "lines": [{**body["lines"][0], **changes}, *body["lines"][1:]]}


def changed(**changes: Any) -> Callable[[Body], Body]:
    return lambda body: {**body, **changes}


def without(name: str) -> Callable[[Body], Body]:
    return lambda body: {key: value for key, value in body.items() if key != name}


def gateway(status: int) -> Callable[[Body], Answer]:
    return lambda _body: (status, {"Content-Type": "text/html"}, b"<h1>no such route</h1>")


OTHER = str(uuid.uuid4())

LIES: list[tuple[str, str, str, Callable[[Body], Any]]] = [
    ("/reservations", "PENDING", "another order", changed(order_id=OTHER)),
    ("/reservations", "PENDING", "a released reservation", changed(status="RELEASED")),
    ("/reservations", "PENDING", "no lines", changed(lines=[])),
    ("/reservations", "PENDING", "a line less", lambda body: {**body, "lines": body["lines"][:1]}),
    ("/reservations", "PENDING", "a line twice", lambda body: {**body, "lines": [*body["lines"], body["lines"][0]]}),
    ("/reservations", "PENDING", "too many lines", lambda body: {**body, "lines": body["lines"] * 1000}),
    ("/reservations", "PENDING", "another item", first_line(sku="TEA-ROOIBOS")),
    ("/reservations", "PENDING", "another quantity", first_line(quantity=7)),
    ("/reservations", "PENDING", "a price of 10**30", first_line(unit_price=10**30)),
    ("/reservations", "PENDING", "a price that no column holds", first_line(unit_price=2**31)),
    ("/reservations", "PENDING", "a price below zero", first_line(unit_price=-5)),
    ("/reservations", "PENDING", "a price with a fraction", first_line(unit_price=12.5)),
    ("/reservations", "PENDING", "a price as text", first_line(unit_price="1290")),
    ("/reservations", "PENDING", "no currency", changed(currency=None)),
    ("/reservations", "PENDING", "half a currency", changed(currency="\ud800")),
    ("/reservations", "PENDING", "a gateway's 404", gateway(404)),
    ("/charges", "RESERVED", "another order", changed(order_id=OTHER)),
    ("/charges", "RESERVED", "a declined charge", changed(status="DECLINED")),
    ("/charges", "RESERVED", "a pending charge", changed(status="PENDING")),
    ("/charges", "RESERVED", "another amount", changed(amount=1)),
    ("/charges", "RESERVED", "another currency", changed(currency="USD")),
    ("/charges", "RESERVED", "no word of what happened", lambda _body: {}),
    ("/charges", "RESERVED", "a gateway's 401", gateway(401)),
    ("/charges", "RESERVED", "a gateway's 402", gateway(402)),
    ("/notifications", "CONFIRMED", "another order", changed(order_id=OTHER)),
    ("/notifications", "CONFIRMED", "another template", changed(template="order_cancelled")),
    ("/notifications", "CONFIRMED", "one that was not sent", changed(sent_at=None)),
    ("/notifications", "CONFIRMED", "no word of what happened", without("sent_at")),
    ("/notifications", "CONFIRMED", "a gateway's 404", gateway(404)),
]


@pytest.mark.parametrize(
    ("path", "status", "lie"),
    [pytest.param(path, status, lie, id=f"{path} {name}") for path, status, name, lie in LIES],
)
def test_an_order_waits_for_a_true_response_and_is_then_confirmed(
    service: RunningService, dependency: Dependency, path: str, status: str, lie: Callable[[Body], Any]
) -> None:
    dependency.lies[path] = lie
    response = post_order(service)
    assert response.status_code == (201 if status == "CONFIRMED" else 202)
    order = response.json()
    assert (order["status"], order["reason"]) == (status, None)
    process(service)
    assert read_order(service, order)["status"] == status
    tried = dependency.requested.count(path)
    dependency.lies.clear()
    process(service)
    assert read_order(service, order)["status"] == "CONFIRMED"
    assert dependency.requested.count(path) == tried + 1


@pytest.mark.parametrize(
    ("path", "lie"),
    [
        ("/refund", changed(order_id=OTHER)),
        ("/refund", changed(status="APPROVED")),
        ("/refund", changed(status="PENDING")),
        ("/refund", gateway(404)),
        ("/release", changed(order_id=OTHER)),
        ("/release", changed(status="HELD")),
        ("/release", gateway(404)),
    ],
)
def test_a_compensation_is_done_only_once_the_dependency_says_so(
    service: RunningService, dependency: Dependency, path: str, lie: Callable[[Body], Any]
) -> None:
    refusal = {"type": "tag:waybill.example,2026:something-new", "title": "Something new", "status": 409}
    dependency.lies["/charges"] = lambda _body: (409, PROBLEM, json.dumps(refusal).encode())
    dependency.lies[path] = lie
    order = post_order(service).json()
    assert (order["status"], order["reason"]) == ("RESERVED", "refused")
    del dependency.lies[path]
    process(service)
    assert read_order(service, order)["status"] == "CANCELLED"


@pytest.mark.parametrize("status", ["REFUNDED", "VOIDED", "DECLINED"])
def test_a_refund_is_done_in_each_state_in_which_no_money_is_held(
    service: RunningService, dependency: Dependency, status: str
) -> None:
    refusal = {"type": "tag:waybill.example,2026:something-new", "title": "Something new", "status": 409}
    dependency.lies["/charges"] = lambda _body: (409, PROBLEM, json.dumps(refusal).encode())
    dependency.lies["/refund"] = changed(status=status)
    assert post_order(service).json()["status"] == "CANCELLED"


@pytest.mark.parametrize(
    "change",
    [{"price": -1}, {"price": 10**30}, {"stock": -1}, {"currency": "euro"}, {"sku": "../../etc"}, {"name": "x" * 101}],
)
def test_a_catalogue_with_an_impossible_item_is_answered_502(
    service: RunningService, dependency: Dependency, change: Body
) -> None:
    dependency.lies["/items"] = lambda body: {"items": [{**body["items"][0], **change}]}
    response = requests.get(f"{service.url}/items", timeout=10)
    assert (response.status_code, response.headers["Content-Type"]) == (502, "application/problem+json")
    dependency.lies.clear()
    assert requests.get(f"{service.url}/items", timeout=60).json() == {"items": [ITEM]}


def test_an_order_is_confirmed_within_seconds_after_a_dependency_is_back_though_its_circuit_was_open(
    service: RunningService, dependency: Dependency, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(circuit_breaker, "THRESHOLD", 3)
    dependency.lies["/charges"] = gateway(503)
    order = post_order(service).json()
    tried = dependency.requested.count("/charges")
    process(service)
    assert (read_order(service, order)["status"], dependency.requested.count("/charges")) == ("RESERVED", tried)
    dependency.lies.clear()
    deadline = time.monotonic() + circuit_breaker.MAX_PAUSE + 15  # for a busy machine
    while read_order(service, order)["status"] != "CONFIRMED":
        assert time.monotonic() < deadline
        time.sleep(0.1)
        process(service)
    assert dependency.requested.count("/charges") == tried + 1
