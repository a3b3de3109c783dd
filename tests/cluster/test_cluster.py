"""Orders, traces and logs survive what happens in a cluster. These tests run one after the other: each starts load."""

import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests

from local.cluster import apply, kubectl, pods_of, rendered, wait_until_ready
from local.registry import REGISTRY
from local.settings import HOST
from tests.cluster.conftest import (
    ARRIVAL_TIMEOUT,
    Load,
    assert_nothing_is_lost,
    copy_into_the_cluster,
    kube,
    pods,
    pods_in,
    say,
    scale,
    settings,
    sql,
)
from tests.support.waiting import until

RATE = 2.0
"""Orders per second: two cores serve some twenty, and here they also start pods."""
SERVICES = [service.host for service in REGISTRY.values()]
EXPANDS = '''"""Add a column that the version before neither reads nor writes."""

import sqlalchemy as sa
from alembic import op

revision = "9001"
down_revision = "{head}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """It may be empty: the version before inserts rows without it."""
    op.add_column("orders", sa.Column("gift_note", sa.String(200), nullable=True))


def downgrade() -> None:
    """Remove it."""
    op.drop_column("orders", "gift_note")
'''

KILL = """
import os, signal
for pid in filter(str.isdigit, os.listdir("/proc")):
    if b"gunicorn" in open(f"/proc/{pid}/cmdline", "rb").read() and int(pid) != os.getpid():
        os.kill(int(pid), signal.SIGKILL)
"""
"""What a process in a container of a service runs to kill the service, as the kernel does when memory is short."""

pytestmark = pytest.mark.timeout(900)


def logs_of(pod: str, since: float = 0) -> list[str]:
    """What Loki has of a pod, since a time or in the last hour."""
    query = f'{{service_name=~".+"}} | k8s_pod_name="{pod}"'
    url = f"http://{HOST}:{settings.loki_port}/loki/api/v1/query_range"
    params: dict[str, str | int] = {"query": query, "limit": 5000, **({"start": int(since * 1e9)} if since else {})}
    streams = requests.get(url, params, timeout=60).json()["data"]["result"]
    return [line for stream in streams for _time, line, *_ in stream["values"]]


def restarts(pod: str) -> int:
    """How often the container of a pod was started again."""
    return int(kube("get", "pod", pod, "--output", "jsonpath={.status.containerStatuses[0].restartCount}"))


def test_spans_logs_and_metrics_say_which_pod_they_are_from() -> None:
    load = Load.start(1, 10)
    traces = assert_nothing_is_lost(load)
    running = {name for service in SERVICES for name in pods(service)}
    for attributes in (each for trace in traces for each in pods_of(trace)):
        assert attributes["k8s.pod.name"] in running
        assert attributes["k8s.deployment.name"] == attributes["service.name"]
        assert attributes["k8s.namespace.name"] == "waybill"
        assert attributes["k8s.node.name"]
    until(lambda: all(logs_of(pod) for pod in running), ARRIVAL_TIMEOUT)

    def counted() -> set[str]:
        query = {"query": "sum by (k8s_pod_name) (orders_created_total)"}
        url = f"http://{HOST}:{settings.prometheus_port}/api/v1/query"
        found = requests.get(url, query, timeout=60).json()["data"]["result"]
        return {series["metric"].get("k8s_pod_name", "") for series in found}

    until(lambda: counted() >= set(pods("order-service")), ARRIVAL_TIMEOUT)


@pytest.fixture(scope="module")
def two_of_each() -> Iterator[None]:
    """Two pods of each service, as base/ has it, so that a lost one stops nothing."""
    for service in SERVICES:
        scale(service, 2)
    yield
    for service in SERVICES:
        scale(service, 1)


@pytest.mark.usefixtures("two_of_each")
def test_nothing_is_lost_while_pods_of_each_service_are_deleted() -> None:
    load = Load.start(RATE, 60)
    deleted = []
    for service in SERVICES:
        (pod, *_others) = pods(service)
        kube("delete", "pod", pod, "--wait=false")
        deleted.append(pod)
        until(lambda service=service, pod=pod: len(set(pods(service)) - {pod}) == 2)  # type: ignore[misc]
    traces = assert_nothing_is_lost(load)
    # What they sent while they ended arrived, with the attributes of a pod that is gone.
    assert set(deleted) <= pods_in(traces).keys()
    until(lambda: all(logs_of(pod) for pod in deleted), ARRIVAL_TIMEOUT)


@pytest.mark.usefixtures("two_of_each")
def test_no_order_is_lost_when_processes_are_killed() -> None:
    """After SIGKILL no request is finished and no telemetry sent: only the orders are certain."""
    load = Load.start(RATE, 45, "--retry-for", "60s")
    for service in SERVICES:
        (pod, *_others) = pods(service)
        kube("exec", pod, "--", "python", "-c", KILL)
        until(lambda pod=pod: restarts(pod) and pod in pods(service))  # type: ignore[misc]  # noqa: B023
    report = load.report()
    assert (report["failed"], report["answered"]) == (0, report["sent"]), report
    until(lambda: load.orders() == {"CONFIRMED": report["sent"]}, ARRIVAL_TIMEOUT)


@pytest.mark.usefixtures("two_of_each")
def test_nothing_is_lost_while_a_new_version_with_a_migration_replaces_the_old_one(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    command = "jsonpath={.spec.template.spec.containers[0].image}"
    image = kube("get", "deployment", "order-service", "--output", command)
    tag = f"{image.partition(':')[2]}-next"
    head = sql("order", "SELECT version_num FROM alembic_version")
    (tmp_path / "9001_gift_note.py").write_text(EXPANDS.format(head=head))
    (tmp_path / "Dockerfile").write_text(f"FROM {image}\nCOPY 9001_gift_note.py migrations/order/\n")
    subprocess.run(["docker", "build", "--quiet", "--tag", f"waybill:{tag}", str(tmp_path)], check=True)
    copy_into_the_cluster(f"waybill:{tag}")

    before = {service: pods(service) for service in SERVICES}
    request.addfinalizer(partial(go_back, image.partition(":")[2], head))
    # All pods start at the same time, on the cores that also serve: slowly, and with clients that wait.
    load = Load.start(RATE / 2, 120, "--retry-for", "60s")
    apply(rendered(tag))
    wait_until_ready(tag)
    assert sql("order", "SELECT version_num FROM alembic_version") == "9001"
    traces = assert_nothing_is_lost(load)
    after = {service: pods(service) for service in SERVICES}
    for service in SERVICES:
        assert not set(before[service]) & set(after[service])
        assert {*before[service], *after[service]} & pods_in(traces).keys()


def go_back(tag: str, head: str) -> None:
    """Roll back to the version before, whose pods start although the schema is newer; then undo the migration."""
    apply(rendered(tag))
    wait_until_ready(tag)
    sql("order", f"ALTER TABLE orders DROP COLUMN gift_note; UPDATE alembic_version SET version_num = '{head}'")


def test_three_pods_share_the_orders_that_one_had() -> None:
    """The client keeps its connections: a pod that is added gets orders because the others end old ones."""
    scale("order-service", 1)
    load = Load.start(RATE, 90)
    scale("order-service", 3)
    shared = set(pods("order-service"))
    assert len(shared) == 3
    traces = assert_nothing_is_lost(load)
    assert shared <= pods_in(traces).keys()


def test_three_workers_share_interrupted_orders_by_lease_and_none_is_processed_twice() -> None:
    scale("order-service", 3)
    workers = pods("order-service")
    load = Load.start(4, 15, "--retry-for", "120s")
    # An autoscaler leaves a workload without pods alone.
    kube("scale", "deployment/payment-service", "--replicas=0")
    report = load.report()
    assert report["failed"] == 0
    unsettled = sum(number for status, number in load.orders().items() if status != "CONFIRMED")
    assert unsettled >= 10
    kube("scale", "deployment/payment-service", "--replicas=1")
    until(lambda: pods("payment-service"))
    until(lambda: load.orders() == {"CONFIRMED": report["sent"]})
    resumed: dict[str, int] = {}

    def all_have_resumed() -> Any:
        resumed.update({pod: sum("resuming an order" in line for line in logs_of(pod, load.began)) for pod in workers})
        return all(resumed.values())

    until(all_have_resumed, ARRIVAL_TIMEOUT)
    say(f"{unsettled} orders were interrupted; resumed by pod: {resumed}")
    where = f"created_at > to_timestamp({load.began})"
    charges = sql("payment", f"SELECT count(*), count(DISTINCT order_id) FROM charges WHERE {where}")
    assert charges == f"{report['sent']}|{report['sent']}"


def test_the_cluster_accepts_the_production_overlay_but_for_the_kinds_of_operators() -> None:
    text = kubectl("kustomize", "kubernetes/overlays/production")
    # In another namespace, where nothing is that would be changed.
    text = text.replace("namespace: waybill\n", "namespace: default\n")
    elsewhere = ("apiVersion: postgresql.cnpg.io", "kind: Namespace\n")
    known = "---\n".join(part for part in text.split("---\n") if not any(kind in part for kind in elsewhere))
    kubectl("apply", "--server-side", "--force-conflicts", "--dry-run=server", "--filename", "-", text=known)
