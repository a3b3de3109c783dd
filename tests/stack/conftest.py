"""The container stack that is running, and the questions its backends answer."""

import json
import subprocess
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from local.client import trace_id_of
from local.containers import ContainerSettings
from local.registry import REGISTRY
from local.settings import HOST, ROOT
from tests.support.waiting import until

ARRIVAL_TIMEOUT = 60
"""Seconds within which what happened must be seen in a backend: batches, scrapes and retries take their time."""
MINUTE = 60.0
RATE = 5.0
"""Orders a second of the tests' own load."""

IN_AN_ORDER = {"order", *REGISTRY["order"].calls}
"""The services that leave spans in the trace of an order."""

settings = ContainerSettings()


def url(variable: str) -> str:
    """The base URL of a published port."""
    return f"http://{HOST}:{getattr(settings, variable.lower())}"


def compose(*arguments: str, check: bool = True, folder: Path = ROOT) -> str:
    """Run `docker compose` in this project or a copy of it; what it prints."""
    command = ["docker", "compose", *arguments]
    return subprocess.run(command, cwd=folder, check=check, capture_output=True, text=True).stdout


def containers() -> list[dict[str, Any]]:
    """What the engine knows of each container that is to stay up."""
    ids = compose("ps", "--quiet").split()
    inspected = subprocess.run(["docker", "inspect", *ids], check=True, capture_output=True, text=True).stdout
    return sorted(json.loads(inspected), key=service_of)


def service_of(container: dict[str, Any]) -> str:
    """The name that docker-compose.yml gives it."""
    return str(container["Config"]["Labels"]["com.docker.compose.service"])


def trace(trace_id: str) -> dict[str, Any] | None:
    """A trace in Jaeger's JSON, or None while it is not there."""
    body = requests.get(f"{url('TRACES_PORT')}/api/traces/{trace_id}", timeout=30).json()
    return body["data"][0] if body.get("data") else None


def span_rows(found: dict[str, Any]) -> dict[str, tuple[str, str, str]]:
    """Span id -> (service without -service, kind, name)."""
    rows = {}
    for span in found["spans"]:
        service = found["processes"][span["processID"]]["serviceName"]
        kinds = [tag["value"] for tag in span["tags"] if tag["key"] == "span.kind"]
        rows[span["spanID"]] = (
            service.removesuffix("-service"),
            (kinds or ["internal"])[0].upper(),
            span["operationName"],
        )
    return rows


def services_in(found: dict[str, Any] | None) -> set[str]:
    """The services, without -service, that left a span."""
    return {service for service, _, _ in span_rows(found).values()} if found else set()


def prometheus(query: str, *, path: str = "query", **params: Any) -> list[dict[str, Any]]:
    """The result of a PromQL query; fails if Prometheus refuses it."""
    answer = requests.get(f"{url('PROMETHEUS_PORT')}/api/v1/{path}", {"query": query, **params}, timeout=30).json()
    assert answer["status"] == "success", f"{query}: {answer.get('error')}"
    data = answer["data"]
    return list(data["result"] if path != "query_exemplars" else data)


def loki(query: str, *, path: str = "query_range", **params: Any) -> list[dict[str, Any]]:
    """The result of a LogQL query over the last hour; fails if Loki refuses it."""
    response = requests.get(f"{url('LOKI_PORT')}/loki/api/v1/{path}", {"query": query, **params}, timeout=30)
    assert response.ok, f"{query}: {response.text}"
    return list(response.json()["data"]["result"])


@dataclass(frozen=True)
class Order:
    """What came of a request for an order."""

    status: int
    state: str
    trace_id: str


def place_order(**changes: Any) -> Order:
    """Place an order that will be confirmed, but for `changes`."""
    body = {
        "customer_id": "cus_1",
        "region": "eu",
        "payment_token": "tok_approve",
        "lines": [{"sku": "TEA-SENCHA", "quantity": 1}],
        **changes,
    }
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    response = requests.post(f"{url('ORDER_PORT')}/orders", json=body, headers=headers, timeout=30)
    return Order(response.status_code, response.json().get("status", ""), trace_id_of(response) or "")


def load(seconds: float, **changes: Any) -> list[Order]:
    """Place RATE orders a second for so long, each when it is due, whatever becomes of the others."""
    with ThreadPoolExecutor(32) as pool:
        began, placed = time.monotonic(), []
        for number in range(int(seconds * RATE)):
            time.sleep(max(0.0, began + number / RATE - time.monotonic()))
            placed.append(pool.submit(place_order, **changes))
        return [order.result() for order in placed]


def look_at_the_catalogue(seconds: float) -> None:
    """Read it once a second, as people do before they order."""
    for _ in range(int(seconds)):
        assert requests.get(f"{url('ORDER_PORT')}/items", timeout=60).ok
        time.sleep(1)


@contextmanager
def away(*services: str) -> Iterator[None]:
    """Stop containers for a while, as in an outage, and start them again."""
    compose("stop", *services)
    try:
        yield
    finally:
        compose("start", *services)
        until(lambda: all(state(service) == "healthy" for service in services), ARRIVAL_TIMEOUT)


def state(service: str) -> str:
    """What a container's health check says."""
    return compose("ps", "--all", "--format", "{{.Health}}", service).strip()


def sql(service: str, statement: str) -> str:
    """Run a statement in a service's own database, as that service's user."""
    where = f"postgresql://{service}:{service}@127.0.0.1/{service}"
    return compose("exec", "-T", "postgres", "psql", "-qtAc", statement, where).strip()


def restock() -> None:
    """Let there be enough of everything to sell."""
    sql("inventory", "UPDATE items SET stock = 1000000")


@pytest.fixture(scope="session", autouse=True)
def stack() -> None:
    """The stack is up, and has enough of everything to sell."""
    if not compose("ps", "--quiet", check=False).strip():
        pytest.exit("the container stack is not up: start it with `make up`", returncode=2)
    restock()


@pytest.fixture(scope="session")
def minute_of_load() -> list[Order]:
    """A minute of orders, of which some are declined, so that every dashboard has something to show."""
    with ThreadPoolExecutor(4) as pool:
        looks = pool.submit(look_at_the_catalogue, MINUTE)
        good = pool.submit(load, MINUTE)
        bad = pool.submit(load, MINUTE / 6, payment_token="tok_decline")
        sold_out = pool.submit(load, MINUTE / 30, lines=[{"sku": "NO-SUCH-ITEM", "quantity": 1}])
        looks.result()
        return [*good.result(), *bad.result(), *sold_out.result()]
