"""What the benchmarks of the services share: requests to a running shop, the CPU of its services, paired ratios."""

import json
import statistics
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from itertools import chain
from typing import Any

import psutil
from sqlalchemy import create_engine, text

DRAIN_SECONDS = 1.3
"""Services export their telemetry every second."""
STOCK = 2 * 10**9
BODY: dict[str, Any] = {
    "customer_id": "cus_1",
    "region": "eu",
    "payment_token": "tok_approve",
    "lines": [{"sku": "TEA-SENCHA", "quantity": 2}, {"sku": "CUP-PORCELAIN", "quantity": 1}],
}
QUIET = {"PROCESSOR_LATENCY_MS": "0", "WEB_CONCURRENCY": "1"}
"""A card processor that responds immediately, and one gunicorn worker per service."""


@dataclass(frozen=True)
class Round:
    """A short time of one kind of request: how many were sent, the seconds until the last response, CPU seconds."""

    requests: int
    seconds: float
    cpu: float

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds

    @property
    def cpu_ms(self) -> float:
        """CPU milliseconds per request."""
        return self.cpu * 1000 / self.requests


class Shop:
    """A running stack, as clients see it. `services` are the masters of its services: their CPU is counted."""

    def __init__(self, name: str, port: int, services: Sequence[psutil.Process], connections: int = 4) -> None:
        self.name = name
        self.port = port
        self.services = services
        self.connections = connections
        self.order_id = ""

    def post_order(self, connection: HTTPConnection, body: dict[str, Any] = BODY) -> HTTPResponse:
        headers = {"Content-Type": "application/json", "Idempotency-Key": str(uuid.uuid4())}
        connection.request("POST", "/orders", json.dumps(body), headers)
        return connection.getresponse()

    def get_order(self, connection: HTTPConnection) -> HTTPResponse:
        connection.request("GET", f"/orders/{self.order_id}")
        return connection.getresponse()

    def get_items(self, connection: HTTPConnection) -> HTTPResponse:
        connection.request("GET", "/items")
        return connection.getresponse()

    def prepare(self, inventory_url: str) -> None:
        """Fill the stock, place a first order, which the rounds then read, and warm up."""
        engine = create_engine(inventory_url)
        with engine.begin() as inventory:
            inventory.execute(text("UPDATE items SET stock = :stock"), {"stock": STOCK})
        engine.dispose()
        connection = self.connect()
        for _ in range(20):
            self.order_id = json.loads(self.body(self.post_order(connection)))["id"]
        connection.close()

    def round(self, endpoint: str, turns: Callable[[], Iterable[object]]) -> Round:
        """Send a request per turn of each connection, as fast as they are answered; wait until the telemetry left."""
        cpu, began = self.cpu_seconds(), time.perf_counter()
        with ThreadPoolExecutor(self.connections) as pool:
            requests = sum(pool.map(lambda _: self._send_many(endpoint, turns()), range(self.connections)))
        seconds = time.perf_counter() - began
        time.sleep(DRAIN_SECONDS)
        return Round(requests, seconds, self.cpu_seconds() - cpu)

    def latencies(self, endpoint: str, rate: float, seconds: float) -> list[float]:
        """Send `rate` requests per second, evenly; return the seconds from when each was due to its response."""
        began = time.perf_counter()
        due = [began + turn / rate for turn in range(max(1, round(rate * seconds)))]
        shares = [due[first :: self.connections] for first in range(self.connections)]
        with ThreadPoolExecutor(self.connections) as pool:
            return list(chain.from_iterable(pool.map(lambda share: self._send_paced(endpoint, share), shares)))

    def cpu_seconds(self) -> float:
        """Return the CPU time that the processes of the services have used since they started."""
        total = 0.0
        for master in self.services:
            for process in (master, *master.children(recursive=True)):
                times = process.cpu_times()
                total += times.user + times.system
        return total

    def workers(self) -> list[psutil.Process]:
        """Return the processes that respond to requests."""
        return [worker for master in self.services for worker in master.children()]

    def connect(self) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", self.port, timeout=60)

    def body(self, response: HTTPResponse) -> bytes:
        """Return the body of a response; end the run if it is an error."""
        body = response.read()
        if response.status not in (200, 201):
            raise SystemExit(f"{self.name}: HTTP {response.status}: {body[:300]!r}")
        return body

    def _send_many(self, endpoint: str, turns: Iterable[object]) -> int:
        connection, send, sent = self.connect(), ENDPOINTS[endpoint], 0
        for _ in turns:
            self.body(send(self, connection))
            sent += 1
        connection.close()
        return sent

    def _send_paced(self, endpoint: str, due: Iterable[float]) -> list[float]:
        connection, send, taken = self.connect(), ENDPOINTS[endpoint], []
        for when in due:
            time.sleep(max(0.0, when - time.perf_counter()))
            self.body(send(self, connection))
            taken.append(time.perf_counter() - when)
        connection.close()
        return taken


ENDPOINTS: dict[str, Callable[[Shop, HTTPConnection], HTTPResponse]] = {
    "POST /orders": Shop.post_order,
    "GET /orders/{id}": Shop.get_order,
    "GET /items": Shop.get_items,
}


def during(seconds: float) -> Iterator[None]:
    """Yield turns until `seconds` have passed, at least one."""
    end = time.perf_counter() + seconds
    yield
    while time.perf_counter() < end:
        yield


def quartiles(values: Iterable[float]) -> tuple[float, float, float]:
    """Return the lower quartile, the median and the upper quartile; one value is all three."""
    values = list(values)
    if len(values) == 1:
        return (values[0],) * 3
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def paired(ours: Iterable[float], theirs: Iterable[float]) -> tuple[float, float, float]:
    """Return the quartiles of the ratios, round by round, of two series."""
    return quartiles(a / b for a, b in zip(ours, theirs, strict=True))
