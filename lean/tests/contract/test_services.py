"""Waybill's own services leave the same telemetry under the official parts and under the lean ones."""

import re
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
import requests

from lean.tests.contract.items import Item, difference, items, totals
from lean.tests.receiver import receiving
from local.registry import REGISTRY
from tests.conftest import migrate, postgresql
from tests.support.servers import create_database, free_port, valkey_server
from tests.support.service_process import ServiceProcess, starting_service
from tests.support.waiting import until

__all__ = ["postgresql"]  # a fixture

LEAN = {f"OTEL_PYTHON_{signal}_PROVIDER": "lean" for signal in ("TRACER", "METER", "LOGGER")}
PARENT = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"
GARBAGE = ["", "garbage", f"00-{PARENT}-00", f"00-{PARENT}-01", f"ff-{PARENT}-01", "\xff"]
SERVICES = ("notification", "payment", "inventory", "order")
DATABASE = re.compile(r"\b(notification|payment|inventory|order)_[0-9a-f]{8}\b")
MEASURED = re.compile(r"^(process|cpython|db\.client)\.")
"""Metrics whose values are of the process and the moment, not of the requests."""


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_the_four_services_leave_the_same_telemetry(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    ports = {name: free_port() for name in SERVICES}
    server = request.getfixturevalue("postgresql") if kind == "postgresql" else None

    def run(side: str, variables: dict[str, str]) -> Counter[Item]:
        folder = tmp_path / side
        folder.mkdir()
        new = partial(create_database, server) if server else lambda name: f"sqlite:///{folder}/{name}.db"
        return _run(folder, ports, new, variables)

    official, lean = run("official", {}), run("lean", LEAN)

    assert not difference(official, lean), totals(official)
    assert totals(official)["span"] > 200


def _run(
    folder: Path, ports: dict[str, int], new_database: Callable[[str], str], variables: dict[str, str]
) -> Counter[Item]:
    with receiving() as receiver, ExitStack() as stack:
        cache_url = stack.enter_context(valkey_server())
        urls = {REGISTRY[name].variable("URL"): f"http://127.0.0.1:{ports[name]}" for name in SERVICES}
        running = {}
        for name in SERVICES:
            database_url = new_database(name)
            if REGISTRY[name].database:
                migrate(name, database_url)
            running[name] = stack.enter_context(
                starting_service(
                    f"services.{name}:create_app()",
                    folder / name,
                    PORT=str(ports[name]),
                    DATABASE_URL=database_url,
                    CACHE_URL=cache_url,
                    PROCESSOR_LATENCY_MS="1",
                    WEB_CONCURRENCY="1",
                    OTEL_EXPORTER_OTLP_ENDPOINT=receiver.http,
                    OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
                    OTEL_METRIC_EXPORT_INTERVAL="3600000",
                    **urls,
                    **variables,
                )
            )
        for service in running.values():
            until(service.ready)
        _send_all(running)
        for service in reversed(running.values()):
            service.terminate()
        return Counter(_settled(item, cache_url) for item in items(receiver.requests).elements() if not _waited(item))


def _waited(item: Item) -> bool:
    """Whether the item is the span of a wait for SQLite's write lock: how many there are depends on the machine."""
    return item[0] == "span" and any("db.sqlite.waited_for" in str(part) for part in item)


def _settled(item: Item, cache_url: str) -> Item:
    """Return an item without what differs between any two runs."""
    port = cache_url.rpartition(":")[2].partition("/")[0]
    values = [_masked(part, port) if isinstance(part, str) else part for part in item]
    if item[0] in ("point", "exemplar") and MEASURED.match(str(item[3])):
        return tuple(values[:8])
    return tuple(values)


def _masked(text: str, cache_port: str) -> str:
    return DATABASE.sub(r"\1", re.sub(rf"\b{cache_port}\b", "<port>", text))


def _send_all(running: dict[str, ServiceProcess]) -> None:
    order, inventory, payment = running["order"], running["inventory"], running["payment"]
    variations: list[dict[str, object]] = [
        {},
        {"payment_token": "tok_decline"},
        {"lines": [{"sku": "CUP-RAKU", "quantity": 999}]},
        {"lines": [{"sku": "NO-SUCH-ITEM", "quantity": 1}]},
        {"customer_id": ""},
        {"payment_token": "tok_fail_then_succeed"},
        {"region": "us"},
    ]
    for number, changes in enumerate(variations):
        for _ in range(2):  # the second is answered from what the first stored
            _place(order, f"key-{number}", changes)
    order_id = _place(order, "key-0", {}).json()["id"]
    for service, path in (
        *((order, f"/orders/{order_id}"), (order, "/orders"), (order, "/orders/not-an-id"), (order, "/missing?q=1")),
        *((inventory, "/items"), (inventory, "/items"), (inventory, "/items/TEA-SENCHA"), (inventory, "/items/NONE")),
        *(
            (inventory, "/items?limit=x&card=4111"),
            (payment, "/charges/not-an-id"),
            (order, "/healthz"),
            (order, "/readyz"),
        ),
    ):
        service.get(path)
        service.get(path, traceparent=f"00-{PARENT}-01", baggage="user=ann", tracestate="a=1")
    for traceparent in GARBAGE:
        inventory.get("/items/TEA-SENCHA", traceparent=traceparent)
        order.get(f"/orders/{order_id}", traceparent=traceparent)
    for method in ("HEAD", "OPTIONS", "DELETE", "PURGE"):
        requests.request(method, f"{inventory.url}/items", timeout=30)
    requests.post(f"{order.url}/orders", data="no JSON", headers={"Idempotency-Key": "k"}, timeout=30)


def _place(order: ServiceProcess, key: str, changes: dict[str, object]) -> requests.Response:
    body = {
        "customer_id": "cus_4711",
        "region": "eu",
        "payment_token": "tok_approve",
        "lines": [{"sku": "TEA-SENCHA", "quantity": 2}],
        **changes,
    }
    return requests.post(f"{order.url}/orders", json=body, headers={"Idempotency-Key": key}, timeout=30)
