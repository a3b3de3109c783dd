"""The services as real processes, sending to a receiver and to the explorer: the runs that tests look at."""

import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from explorer.tests.conftest import Backend, start
from local.registry import ALL, REGISTRY
from tests.conftest import migrate
from tests.support.operations import operations
from tests.support.servers import valkey_server
from tests.support.service_process import ServiceProcess, starting_service
from tests.support.telemetry_receiver import Receiver, Span, matching, running_receiver
from tests.support.tested_services import TESTED
from tests.support.waiting import CAP, until

CUSTOMER = "cus_4711"
IN_AN_ORDER = ("order", *REGISTRY["order"].calls)


@dataclass
class TracedShop:
    """Four orders, and every signal that they and some refused calls left behind."""

    receiver: Receiver
    explorer: Backend
    processes: list[ServiceProcess]
    approved: requests.Response
    declined: requests.Response
    recovered: requests.Response
    free: requests.Response

    def trace(self, response: requests.Response) -> list[Span]:
        """The spans of the request that was answered with this."""
        return self.receiver.trace(trace_id(response))

    def recovery(self, step: str) -> list[Span]:
        """The spans of the attempt in which this step of the recovered order succeeded."""
        return self.receiver.trace(went_well(self.receiver, self.recovered, step)[0].trace_id)


def went_well(receiver: Receiver, response: requests.Response, step: str) -> list[Span]:
    """The spans of a step of the order that was answered with this, if it went well."""
    spans = matching(receiver.spans, name=step, status="UNSET")
    return [span for span in spans if span.attributes.get("order.id") == response.json()["id"]]


def trace_id(response: requests.Response) -> str:
    """The trace of the request that was answered with this."""
    return response.headers["traceresponse"].split("-")[1]


def run_shop(folder: Path, receiver: Receiver, explorer: Backend) -> TracedShop:
    """Bring about what the tests look at, and stop the services, so that everything has been flushed."""
    with ExitStack() as stack:
        cache_url = stack.enter_context(valkey_server())

        processes: list[ServiceProcess] = []

        def service(name: str, **environment: str) -> ServiceProcess:
            processes.append(stack.enter_context(_service(folder, receiver, name, **environment)))
            return processes[-1]

        named: dict[str, ServiceProcess] = {}
        for name in TESTED:
            urls = {ALL[called].variable("URL"): named[called].url for called in ALL[name].calls}
            named[name] = service(name, CACHE_URL=cache_url, PROCESSOR_LATENCY_MS="20", **urls)
        for process in processes:
            until(process.ready)
        order, inventory, payment = named["order"], named["inventory"], named["payment"]

        _make_free(folder, "CUP-PORCELAIN")
        free = _order(order, "free", lines=[{"sku": "CUP-PORCELAIN", "quantity": 1}])
        approved, declined = _order(order, "approved"), _order(order, "declined", payment_token="tok_decline")
        _other_calls(order, inventory, payment)
        for name in TESTED:
            if name not in IN_AN_ORDER:
                _every_operation_twice(name, named[name])
        # payment-service is unavailable for the first attempt, and available for a later recovery.
        payment.terminate()
        recovered = _order(order, "recovered")
        assert recovered.status_code == 202, recovered.text
        payment = service("payment", PORT=str(payment.port), PROCESSOR_LATENCY_MS="20")
        until(lambda: went_well(receiver, recovered, "send_notification"))
        until(lambda: matching(receiver.points, name="orders.dead_letters"))
        for process in processes:
            process.process.send_signal(signal.SIGTERM)
        for process in processes:
            process.process.wait(CAP)
    return TracedShop(receiver, explorer, processes, approved, declined, recovered, free)


def _order(order: ServiceProcess, key: str, **changes: Any) -> requests.Response:
    body = {
        "customer_id": CUSTOMER,
        "region": "eu",
        "payment_token": "tok_approve",
        "lines": [{"sku": "TEA-SENCHA", "quantity": 2}],
        **changes,
    }
    return requests.post(f"{order.url}/orders", json=body, headers={"Idempotency-Key": key}, timeout=30)


def _make_free(folder: Path, sku: str) -> None:
    with closing(sqlite3.connect(folder / "inventory.db")) as database, database:
        database.execute("UPDATE items SET price = 0 WHERE sku = ?", (sku,))


def _other_calls(order: ServiceProcess, inventory: ServiceProcess, payment: ServiceProcess) -> None:
    """What the orders above do not bring about: other outcomes, pages, repeated calls, refusals."""
    _order(order, "approved")
    _order(order, "sold-out", lines=[{"sku": "CUP-RAKU", "quantity": 6}])
    _order(order, "unknown", lines=[{"sku": "NO-SUCH-ITEM", "quantity": 1}])
    _order(order, "flaky", payment_token="tok_fail_then_succeed")
    _order(order, "approved", region="us")
    order.get("/orders")
    for _ in range(2):
        inventory.get("/items")
        inventory.get("/items/TEA-SENCHA")
    order_id = "0b9ff5f2-6d3f-4a43-9d3f-6f0e2a1f2f10"
    charge = {"payment_token": "tok_approve", "amount": 1290, "currency": "EUR"}
    for process, path, json in (
        (payment, f"/charges/{order_id}", charge),
        (payment, f"/charges/{order_id}/refund", {}),
        (payment, f"/charges/{order_id}", charge),
        (inventory, f"/reservations/{order_id}/release", {}),
        (inventory, f"/reservations/{order_id}/release", {}),
    ):
        requests.put(process.url + path, json=json, timeout=60)


def _every_operation_twice(name: str, service: ServiceProcess) -> None:
    """What a service does that no order brings about: each operation, and each again; first those that write."""
    for operation in sorted(operations(name) * 2, key=lambda operation: not operation.takes_body):
        body = operation.body if operation.takes_body else None
        requests.request(operation.method, service.url + operation.path, json=body, timeout=60)


@contextmanager
def _service(folder: Path, receiver: Receiver, name: str, **environment: str) -> Iterator[ServiceProcess]:
    url = f"sqlite:///{folder}/{name}.db"
    if ALL[name].database:
        migrate(name, url)
    with starting_service(
        f"services.{name}:create_app()",
        folder / f"{name}-{time.monotonic_ns()}",
        DATABASE_URL=url,
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
        OTEL_METRIC_EXPORT_INTERVAL="1000",
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test",
        **environment,
    ) as process:
        yield process


@contextmanager
def traced_shop_in(folder: Path) -> Iterator[TracedShop]:
    """The shop after its runs, its services stopped; the explorer, which got it all too, is still up."""
    (folder / "explorer").mkdir()
    explorer = start(folder / "explorer")
    try:
        with running_receiver(forward_to=f"http://127.0.0.1:{explorer.http_port}") as receiver:
            yield run_shop(folder, receiver, explorer)
    finally:
        explorer.stop()
