"""Compare two checkouts in one run: `python -m bench.services --against ../other`.

Each checkout starts its own local stack with the Python of its own .venv: one gunicorn worker and eight threads per
service, SQLite, a card processor that responds immediately, telemetry sent to the stack's own explorer. Short
rounds of POST /orders, GET /orders/{id} and GET /items alternate between the two, so that other load on the machine
affects both. Each pair of rounds gives one ratio, and the median of these is the figure. CPU is that of the four
services' processes, read a moment after each round, when the last of its telemetry has left.

Last, an order is placed in both, and their traces are compared span by span.
"""

import argparse
import json
import sqlite3
import statistics
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from itertools import repeat
from pathlib import Path

from local.client import TraceApi, trace_id_of
from local.registry import SERVICES
from tests.support.local_stack import LocalStack, local_stack
from waybill_explorer.client import new_session

ROOT = Path(__file__).resolve().parent.parent
CONNECTIONS = 4
DRAIN_SECONDS = 1.3
"""Services export their telemetry every second."""
STOCK = 2 * 10**9
BODY = {
    "customer_id": "cus_1",
    "region": "eu",
    "payment_token": "tok_approve",
    "lines": [{"sku": "TEA-SENCHA", "quantity": 2}, {"sku": "CUP-PORCELAIN", "quantity": 1}],
}
QUIET = {"PROCESSOR_LATENCY_MS": "0", "WEB_CONCURRENCY": "1"}


@dataclass
class Rounds:
    """What the rounds of one endpoint took, in the order in which they were: requests/s and CPU ms per request."""

    rates: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


class Checkout:
    """A running stack of one checkout."""

    def __init__(self, name: str, stack: LocalStack) -> None:
        self.name = name
        self.stack = stack
        self.rounds: dict[str, Rounds] = {}
        self.order_id = ""
        with sqlite3.connect(stack.data / "inventory.db") as inventory:
            inventory.execute("UPDATE items SET stock = ?", (STOCK,))

    def post_order(self, connection: HTTPConnection) -> HTTPResponse:
        headers = {"Content-Type": "application/json", "Idempotency-Key": str(uuid.uuid4())}
        connection.request("POST", "/orders", json.dumps(BODY), headers)
        return connection.getresponse()

    def get_order(self, connection: HTTPConnection) -> HTTPResponse:
        connection.request("GET", f"/orders/{self.order_id}")
        return connection.getresponse()

    def get_items(self, connection: HTTPConnection) -> HTTPResponse:
        connection.request("GET", "/items")
        return connection.getresponse()

    def prepare(self) -> None:
        """Place a first order, which the rounds then read, and warm up."""
        connection = HTTPConnection("127.0.0.1", self.stack.port("order"))
        for _ in range(20):
            response = self.post_order(connection)
            self.order_id = json.load(response)["id"]
        connection.close()

    def round(self, endpoint: str, send: Callable[[HTTPConnection], HTTPResponse], number: int) -> None:
        """Send `number` requests over CONNECTIONS connections and record what they took."""
        share = number // CONNECTIONS
        cpu, began = self._cpu_seconds(), time.perf_counter()
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            list(pool.map(self._send_many, repeat(send, CONNECTIONS), repeat(share)))
        seconds = time.perf_counter() - began
        time.sleep(DRAIN_SECONDS)
        rounds = self.rounds.setdefault(endpoint, Rounds())
        rounds.rates.append(share * CONNECTIONS / seconds)
        rounds.cpu.append((self._cpu_seconds() - cpu) * 1000 / (share * CONNECTIONS))

    def spans_of_an_order(self) -> Counter[tuple[str, str]]:
        """Place an order and count the (service, span name) pairs of its trace."""
        with new_session() as session:
            headers = {"Idempotency-Key": str(uuid.uuid4())}
            response = session.post(f"{self.stack.url('order')}/orders", json=BODY, headers=headers, timeout=30)
        trace_id = trace_id_of(response)
        fetched = TraceApi(self.stack.traces_url).wait_for_trace(trace_id) if trace_id else None
        if fetched is None:
            raise SystemExit(f"{self.name}: the trace of an order has not arrived")
        processes = fetched.data["processes"]
        return Counter(
            (processes[span["processID"]]["serviceName"], span["operationName"]) for span in fetched.data["spans"]
        )

    def _send_many(self, send: Callable[[HTTPConnection], HTTPResponse], number: int) -> None:
        connection = HTTPConnection("127.0.0.1", self.stack.port("order"), timeout=60)
        for _ in range(number):
            response = send(connection)
            body = response.read()
            if response.status not in (200, 201):
                raise SystemExit(f"{self.name}: HTTP {response.status}: {body[:300]!r}")
        connection.close()

    def _cpu_seconds(self) -> float:
        total = 0.0
        for service in SERVICES:
            master = self.stack.process(f"{service}-service")
            for process in (master, *master.children(recursive=True)):
                times = process.cpu_times()
                total += times.user + times.system
        return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, required=True, help="the other checkout, after `make setup` in it")
    parser.add_argument("--rounds", type=int, default=8, help="rounds of each endpoint and checkout (default 8)")
    parser.add_argument("--orders", type=int, default=160, help="orders per round; four times the reads (default 160)")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="waybill-bench-")))
        checkouts = []
        for name, root in (("this", ROOT), ("other", options.against.resolve())):
            command = (str(root / ".venv" / "bin" / "waybill"), "up")
            running = stack.enter_context(local_stack(folder / name, QUIET, command=command, folder=root))
            checkouts.append(Checkout(name, running))
        this, other = checkouts
        for checkout in checkouts:
            checkout.prepare()
        for number in range(options.rounds):
            pair = checkouts if number % 2 else checkouts[::-1]
            for endpoint, send, requests in (
                ("POST /orders", Checkout.post_order, options.orders),
                ("GET /orders/{id}", Checkout.get_order, options.orders * 4),
                ("GET /items", Checkout.get_items, options.orders * 4),
            ):
                for checkout in pair:
                    checkout.round(endpoint, send.__get__(checkout), requests)
            print(f"\rround {number + 1} of {options.rounds}", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        print_rounds(this, other)
        print_traces(this.spans_of_an_order(), other.spans_of_an_order())


def print_rounds(this: Checkout, other: Checkout) -> None:
    """Print for each endpoint the medians of both and the paired ratios with their quartiles."""
    print(f"{'':18} {'this':>8} {'other':>8} {'ratio':>7}  quartiles")
    for endpoint, mine in this.rounds.items():
        theirs = other.rounds[endpoint]
        for unit, ours, others in (("requests/s", mine.rates, theirs.rates), ("CPU ms/request", mine.cpu, theirs.cpu)):
            ratios = [a / b for a, b in zip(ours, others, strict=True)]
            low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
            print(
                f"{endpoint:18} {statistics.median(ours):8.2f} {statistics.median(others):8.2f} {middle:7.3f}"
                f"  {low:.3f} - {high:.3f}  {unit}"
            )


def print_traces(this: Counter[tuple[str, str]], other: Counter[tuple[str, str]]) -> None:
    """Print how many spans a normal order has in both, and which spans only one of them has."""
    print(f"spans of an order: {this.total()} in this, {other.total()} in the other")
    for name, more in (("this", this - other), ("the other", other - this)):
        for (service, span), number in sorted(more.items()):
            print(f"  only in {name}: {number} x {service} {span}")


if __name__ == "__main__":
    main()
