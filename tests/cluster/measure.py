"""`python -m tests.cluster.measure`: orders per second against pods and workers, and the cost of an order.

Prints tables for docs/kubernetes.md. The stack and the image `waybill-load` are in a cluster. Services, databases and
load share the cores of its node, so read the ratios.
"""

import json
import sys
import time
from contextlib import ExitStack

from local.cluster import FORWARDED, forwarded, kubectl
from local.registry import REGISTRY
from tests.cluster.conftest import Load, kube, pods, say, scale, settings, sql

RATE = 60
SECONDS = 20
STORED = (1_000, 1_000_000)


def main() -> None:
    """Measure what is named: pods, workers, stored; or all of it."""
    parts = {"pods": measure_pods, "workers": measure_workers, "stored": measure_stored}
    with ExitStack() as forwards:
        forwards.enter_context(forwarded("jaeger", getattr(settings, FORWARDED["jaeger"])))
        sql("inventory", "UPDATE items SET stock = 1000000000")
        for name in sys.argv[1:] or parts:
            parts[name]()


def measure_pods() -> None:
    """Orders per second with one process in each pod."""
    say("| pods of each service | workers in each | orders per second | P50, ms | memory of a pod, MiB |")
    for number in (1, 2, 4):
        for service in REGISTRY.values():
            scale(service.host, number)
        say(saturated(number, 1))
    for service in REGISTRY.values():
        scale(service.host, 1)


def measure_workers() -> None:
    """Orders per second with several processes in one pod of each service."""
    for workers in (2, 4):
        for service in REGISTRY.values():
            memory = f"--limits=memory={workers * service.memory}Mi"
            kube("set", "resources", f"deployment/{service.host}", "--containers=service", memory)
            kube("set", "env", f"deployment/{service.host}", "--containers=service", f"WEB_CONCURRENCY={workers}")
        rolled_out()
        say(saturated(1, workers))
    for service in REGISTRY.values():
        kube("set", "env", f"deployment/{service.host}", "--containers=service", "WEB_CONCURRENCY-")
    rolled_out()


def rolled_out() -> None:
    """Wait until the new pods of all services are ready."""
    for service in REGISTRY.values():
        kube("rollout", "status", f"deployment/{service.host}", "--timeout=600s")


def measure_stored() -> None:
    """What an order costs PostgreSQL, with few orders and with many."""
    say("| stored orders | blocks that PostgreSQL reads or finds for an order | P50, ms |")
    for number in STORED:
        say(with_stored(number))


def saturated(number: int, workers: int) -> str:
    """Send more orders than it can serve for a while, and return a row."""
    load = Load.start(RATE, SECONDS, "--retry-for", "0s", "--concurrency", "16")
    time.sleep(SECONDS / 2)
    memory = max(memory_of(pod) for pod in pods("order-service"))
    report = load.report()
    rate, p50 = report["rate"], report["latency_ms"]["p50"]
    return f"| {number} | {workers} | {rate} ({report['failed']} failed) | {p50} | {memory:.0f} |"


def memory_of(pod: str) -> float:
    """The working set of a pod in MiB, from the kubelet."""
    node = kube("get", "pod", pod, "--output", "jsonpath={.spec.nodeName}")
    summary = json.loads(kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/stats/summary"))
    (found,) = (each for each in summary["pods"] if each["podRef"]["name"] == pod)
    return float(found["memory"]["workingSetBytes"]) / 2**20


def with_stored(number: int) -> str:
    """Fill the table of orders up to a number, place some, and return a row."""
    missing = number - int(sql("order", "SELECT count(*) FROM orders"))
    if missing > 0:
        sql("order", FILL.format(missing=missing))
        sql("order", "ANALYZE orders")
    before = blocks()
    load = Load.start(2, 30)
    report = load.report()
    return f"| {number:,} | {(blocks() - before) / report['answered']:.0f} | {report['latency_ms']['p50']} |"


FILL = (
    "INSERT INTO orders SELECT filled.* FROM (SELECT o FROM orders o WHERE status = 'CONFIRMED' LIMIT 1) one, "
    "generate_series(1, {missing}) number, LATERAL jsonb_populate_record(one.o, jsonb_build_object("
    "'id', gen_random_uuid(), 'idempotency_key', gen_random_uuid()::text || number, "
    "'created_at', now() - number * interval '1 second')) filled"
)
"""Copies of a settled order, a second apart, under other ids and keys."""


def blocks() -> int:
    """How many blocks PostgreSQL has read, or found in its memory, for order-service."""
    time.sleep(2)  # what a backend counts becomes visible when it is idle
    return int(sql("order", "SELECT blks_hit + blks_read FROM pg_stat_database WHERE datname = 'order'"))


if __name__ == "__main__":
    main()
