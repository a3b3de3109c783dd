"""Compare two checkouts in one run: `python -m bench.services --against ../other`.

Each checkout starts its own local stack with the Python of its own .venv: one gunicorn worker and eight threads per
service, SQLite, a card processor that responds immediately, telemetry sent to the stack's own explorer. Short
rounds of POST /orders, GET /orders/{id} and GET /items alternate between the two, so that other load on the machine
affects both. Each pair of rounds gives one ratio, and the median of these is the figure. CPU is that of the four
services' processes, read a moment after each round, when the last of its telemetry has left.

Last, an order is placed in both, and their traces are compared span by span.
"""

import argparse
import statistics
import sys
import tempfile
import uuid
from collections import Counter, defaultdict
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench.shop import BODY, ENDPOINTS, QUIET, Round, Shop, paired
from local.client import TraceApi, trace_id_of
from local.registry import SERVICES
from tests.support.local_stack import LocalStack, local_stack
from waybill_explorer.client import new_session

ROOT = Path(__file__).resolve().parent.parent


class Checkout:
    """A running stack of one checkout, and its rounds by endpoint."""

    def __init__(self, name: str, stack: LocalStack) -> None:
        self.name = name
        self.stack = stack
        services = [stack.process(f"{service}-service") for service in SERVICES]
        self.shop = Shop(name, stack.port("order"), services)
        self.shop.prepare(f"sqlite:///{stack.data / 'inventory.db'}")
        self.rounds: defaultdict[str, list[Round]] = defaultdict(list)

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
        for number in range(options.rounds):
            pair = checkouts if number % 2 else checkouts[::-1]
            for endpoint in ENDPOINTS:
                requests = options.orders if endpoint == "POST /orders" else options.orders * 4
                for checkout in pair:
                    turns = partial(range, requests // checkout.shop.connections)
                    checkout.rounds[endpoint].append(checkout.shop.round(endpoint, turns))
            print(f"\rround {number + 1} of {options.rounds}", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        print_rounds(this, other)
        print_traces(this.spans_of_an_order(), other.spans_of_an_order())


def print_rounds(this: Checkout, other: Checkout) -> None:
    """Print for each endpoint the medians of both and the paired ratios with their quartiles."""
    print(f"{'':18} {'this':>8} {'other':>8} {'ratio':>7}  quartiles")
    for endpoint, mine in this.rounds.items():
        theirs = other.rounds[endpoint]
        series = (
            ("requests/s", [each.rate for each in mine], [each.rate for each in theirs]),
            ("CPU ms/request", [each.cpu_ms for each in mine], [each.cpu_ms for each in theirs]),
        )
        for unit, ours, others in series:
            low, middle, high = paired(ours, others)
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
