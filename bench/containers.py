"""What the container stack takes: memory at rest and under load, how soon an order is seen, whether telemetry is lost.

Run it against a stack that `make up` has started: `.venv/bin/python -m bench.containers`. It prints Markdown.
"""

import argparse
import json
import re
import subprocess
import time
from collections import defaultdict

from local import load
from local.client import order_body, place_order, skus_in_stock
from tests.stack.conftest import compose, prometheus, restock, url

API = url("ORDER_PORT")
LOST = ("receiver_refused", "receiver_failed", "exporter_send_failed", "exporter_enqueue_failed")
SIGNALS = ("spans", "metric_points", "log_records")
UNITS = {"B": 2**-20, "KiB": 2**-10, "MiB": 1, "GiB": 2**10}


def query(promql: str) -> float | None:
    """The value of an instant query, None where there is no series."""
    result = prometheus(promql)
    return float(result[0]["value"][1]) if result else None


def memory() -> dict[str, tuple[float, float]]:
    """Service -> MiB in use and at most."""
    command = ["docker", "stats", "--no-stream", "--format", "{{json .}}", *compose("ps", "-q").split()]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    found = {}
    for entry in map(json.loads, lines):
        used, limit = (mebibytes(part) for part in entry["MemUsage"].split(" / "))
        found[re.sub(r"^waybill-|-\d+$", "", entry["Name"])] = used, limit
    return found


def mebibytes(text: str) -> float:
    unit = text.strip().lstrip(".0123456789")
    return float(text.strip().removesuffix(unit)) * UNITS[unit]


def seconds_until_seen() -> float:
    """From a new order to a point of the panel "orders a second" that counts it."""
    before = query("sum(orders_created_total)") or 0

    def seen() -> bool:
        counted = query("sum(orders_created_total)") or 0
        return counted > before and query("sum(rate(orders_created_total[1m]))") is not None

    body = order_body({skus_in_stock(API)[0]: 1}, token="tok_approve", region="eu", customer="cus_42")
    began = time.monotonic()
    place_order(API, body).raise_for_status()
    while not seen():
        time.sleep(0.2)
    return time.monotonic() - began


def under_load(rate: float, duration: float) -> tuple[load.Report, dict[str, float]]:
    """The report of a load, and each container's highest memory meanwhile (MiB)."""
    plan = load.Plan(
        api=API,
        rate=rate,
        duration=duration,
        concurrency=64,
        skus=skus_in_stock(API),
        tokens={"tok_approve": 90, "tok_decline": 10},
        retry_for=30,
        seed=1,
    )
    running = load.Load(plan)
    running.start()
    highest: dict[str, float] = defaultdict(float)
    ends = time.monotonic() + duration
    while running.running() and time.monotonic() < ends:
        for name, (used, _limit) in memory().items():
            highest[name] = max(highest[name], used)
    running.stop(grace=60)
    return running.report, highest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=50, help="orders a second (default 50)")
    parser.add_argument("--duration", type=float, default=300, help="seconds (default 300)")
    options = parser.parse_args()

    print(f"From an order to the panel that counts it: {seconds_until_seen():.1f} s\n")
    restock()
    at_rest = memory()
    report, highest = under_load(options.rate, options.duration)
    print(f"{report.sent} orders in {options.duration:.0f} s asked for at {options.rate:g}/s: ", end="")
    print(f"{report.answered / report.seconds:.1f}/s answered, {report.failed} failed, ", end="")
    print(f"P50 {report.percentile(50):.2f} s, P99 {report.percentile(99):.2f} s\n")
    print("| container | at rest, MiB | under load, MiB | limit, MiB |\n|---|---|---|---|")
    for name, (used, limit) in sorted(at_rest.items()):
        print(f"| {name} | {used:.0f} | {highest[name]:.0f} | {limit:.0f} |")
    print(f"| all | {sum(used for used, _ in at_rest.values()):.0f} | {sum(highest.values()):.0f} |", end=" ")
    print(f"{sum(limit for _, limit in at_rest.values()):.0f} |\n")
    time.sleep(15)  # the last batches and a scrape
    print("| the Collector's own count | " + " | ".join(SIGNALS) + " |\n|---|---|---|---|")
    for counter in ("receiver_accepted", *LOST):
        counts = [query(f"sum(otelcol_{counter}_{signal})") or 0 for signal in SIGNALS]
        print(f"| {counter} | " + " | ".join(f"{count:.0f}" for count in counts) + " |")


if __name__ == "__main__":
    main()
