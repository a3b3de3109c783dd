"""The stack that `waybill cluster` has started, load within the cluster, and what became of each order."""

import json
import os
import shlex
import subprocess
import sys
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
import requests
import yaml

from local.cluster import FORWARDED, NAMESPACE, forwarded, kubectl, pods_of
from local.containers import ContainerSettings
from local.registry import REGISTRY
from local.settings import HOST
from tests.support.waiting import until
from waybill_explorer.client import ClientError

LOAD_IMAGE = "waybill-load"
"""Built by `docker compose build load`."""
ARRIVAL_TIMEOUT = 120
"""Seconds within which what happened is in the backends: batches, the wait of tail sampling, and a busy machine."""
IN_AN_ORDER = {"order-service", *(REGISTRY[name].host for name in REGISTRY["order"].calls)}

SAID = ("sent", "answered", "failed", "retries", "errors", "rate", "latency_ms", "outcomes")
"""What is printed of a report."""

settings = ContainerSettings()


def say(text: str) -> None:
    """Print a line of the transcript, which `pytest -s` shows."""
    sys.stdout.write(f"\n  {text}\n")


def copy_into_the_cluster(*images: str) -> None:
    """Copy images of the container engine into the cluster, by the command in CLUSTER_LOAD."""
    if command := os.environ.get("CLUSTER_LOAD"):
        subprocess.run([*shlex.split(command), *images], check=True)


def kube(*arguments: str, text: str | None = None) -> str:
    """Run kubectl in the namespace of the stack."""
    return kubectl("--namespace", NAMESPACE, *arguments, text=text)


@pytest.fixture(scope="session", autouse=True)
def stack() -> Iterator[None]:
    """The stack is ready, its backends can be reached from here, and there is enough of everything to sell."""
    try:
        kube("rollout", "status", "deployment/order-service", "--timeout=10s")
    except ClientError as error:
        pytest.exit(f"the stack is not in the cluster; start it with `waybill cluster`: {error}", returncode=2)
    copy_into_the_cluster(LOAD_IMAGE)
    sql("inventory", "UPDATE items SET stock = 1000000")
    with ExitStack() as forwards:
        for service in ("jaeger", "prometheus", "loki"):
            forwards.enter_context(forwarded(service, getattr(settings, FORWARDED[service])))
        yield


def sql(database: str, statement: str) -> str:
    """Run a statement in the database of a service."""
    where = f"postgresql://{database}:{database}@127.0.0.1/{database}"
    return kube("exec", "postgres-0", "--container", "postgres", "--", "psql", "-qtAc", statement, where).strip()


def pods(service: str) -> list[str]:
    """The names of a service's pods that are ready and do not end."""
    listed = json.loads(kube("get", "pods", "--selector", f"app.kubernetes.io/name={service}", "--output", "json"))
    return [
        pod["metadata"]["name"]
        for pod in listed["items"]
        if "deletionTimestamp" not in pod["metadata"]
        and {"type": "Ready", "status": "True"}.items()
        <= next((each for each in pod["status"].get("conditions", []) if each["type"] == "Ready"), {}).items()
    ]


def scale(service: str, number: int) -> None:
    """Run so many pods of a service, by the lower bound of its autoscaler, and wait until they are ready."""
    bound = json.dumps({"spec": {"minReplicas": number, "maxReplicas": max(number, 4)}})
    kube("patch", "hpa", service, "--patch", bound)
    # The autoscaler takes none away for five minutes, nor at all without a metrics API.
    if len(pods(service)) > number:
        kube("scale", f"deployment/{service}", f"--replicas={number}")
    until(lambda: len(pods(service)) == number)


@dataclass(frozen=True)
class Load:
    """Orders that a pod in the cluster sends at a fixed rate."""

    pod: str
    began: float

    @classmethod
    def start(cls, rate: float, seconds: int, *options: str) -> "Load":
        """Start to send; a client retries under the same Idempotency-Key, as every client of the API should."""
        name = f"load-{uuid.uuid4().hex[:6]}"
        api, traces = "http://order-service:8080", "http://jaeger:16686"
        command = ["python", "-m", "local.cli", "load", "--api", api, "--traces", traces, "--json"]
        command += ["--rate", str(rate), "--duration", f"{seconds}s", "--tokens", "tok_approve=1", *options]
        manifest = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": {"app.kubernetes.io/component": "load"}},
            "spec": {
                "restartPolicy": "Never",
                "automountServiceAccountToken": False,
                "enableServiceLinks": False,
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": 10001,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [
                    {
                        "name": "load",
                        "image": LOAD_IMAGE,
                        "imagePullPolicy": "IfNotPresent",
                        "args": command,
                        "securityContext": {
                            "allowPrivilegeEscalation": False,
                            "capabilities": {"drop": ["ALL"]},
                        },
                    }
                ],
            },
        }
        began = time.time()
        kube("apply", "--filename", "-", text=yaml.safe_dump(manifest))
        kube("wait", "--for=jsonpath={.status.phase}=Running", f"pod/{name}", "--timeout=60s")
        # The first orders are there: what happens from now on happens under load.
        before = sql("order", f"SELECT count(*) FROM orders WHERE created_at > to_timestamp({began})")
        until(lambda: sql("order", f"SELECT count(*) FROM orders WHERE created_at > to_timestamp({began})") != before)
        return cls(name, began)

    def report(self) -> dict[str, Any]:
        """What came of it, once all orders are sent."""
        until(lambda: kube("get", "pod", self.pod, "--output", "jsonpath={.status.phase}") in ("Succeeded", "Failed"))
        text = kube("logs", self.pod)
        report: dict[str, Any] = json.loads(text[text.index("{") :])
        say(f"{self.pod}: {json.dumps({key: report[key] for key in SAID})}")
        return report

    def orders(self) -> dict[str, int]:
        """How many orders of this load are in each state."""
        where = f"created_at > to_timestamp({self.began})"
        rows = sql("order", f"SELECT status, count(*) FROM orders WHERE {where} GROUP BY status").split()
        return {status: int(number) for status, _, number in (row.partition("|") for row in rows)}

    def traces(self) -> list[dict[str, Any]]:
        """The traces of orders since it began, in Jaeger's JSON: requests for them, and what resumed them."""
        query: dict[str, str | int] = {
            "service": "order-service",
            "limit": 3000,
            "start": int(self.began * 1e6),
            "end": int(time.time() * 1e6),
        }
        response = requests.get(f"http://{HOST}:{settings.traces_port}/api/traces", query, timeout=120)
        return [trace for trace in response.json()["data"] if ids_of_orders(trace)]


def ids_of_orders(trace: dict[str, Any]) -> set[str]:
    """The orders that a trace is about."""
    return {tag["value"] for span in trace["spans"] for tag in span["tags"] if tag["key"] == "order.id"}


def is_whole(trace: dict[str, Any]) -> bool:
    """Whether each span has its parent."""
    known = {span["spanID"] for span in trace["spans"]}
    parents = {
        reference["spanID"]
        for span in trace["spans"]
        for reference in span["references"]
        if reference["refType"] == "CHILD_OF" and reference["traceID"] == span["traceID"]
    }
    return parents <= known


def seen_by_all(traces: list[dict[str, Any]]) -> set[str]:
    """The orders of which all services have left spans, in one trace or in those of its later attempts."""
    services: dict[str, set[str]] = defaultdict(set)
    for trace in traces:
        for order in ids_of_orders(trace):
            services[order] |= {each["service.name"] for each in pods_of(trace)}
    return {order for order, names in services.items() if names >= IN_AN_ORDER}


def pods_in(traces: list[dict[str, Any]]) -> Counter[str]:
    """In how many traces each pod has left spans."""
    return Counter(name for trace in traces for name in {each.get("k8s.pod.name", "?") for each in pods_of(trace)})


def assert_nothing_is_lost(load: Load) -> list[dict[str, Any]]:
    """No order failed to the client, all are confirmed once, and each has a whole trace; return the traces."""
    report = load.report()
    sent = report["sent"]
    assert (report["failed"], report["answered"]) == (0, sent), report
    until(lambda: load.orders() == {"CONFIRMED": sent}, ARRIVAL_TIMEOUT)

    def whole() -> list[dict[str, Any]]:
        found = load.traces()
        return found if all(map(is_whole, found)) and len(seen_by_all(found)) == sent else []

    try:
        found = until(whole, ARRIVAL_TIMEOUT)
    except AssertionError:
        found = load.traces()
        broken = [trace["traceID"] for trace in found if not is_whole(trace)]
        raise AssertionError(
            f"{len(seen_by_all(found))} of {sent} orders in all services; not whole: {broken}"
        ) from None
    say(f"{sent} orders, {len(found)} whole traces; traces by pod: {dict(pods_in(found))}")
    return found
