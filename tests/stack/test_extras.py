"""The extras files do what they promise: the Collector is started again with each, and then as it was."""

import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests

from local.settings import ROOT
from tests.stack.conftest import ARRIVAL_TIMEOUT, compose, load, prometheus, trace, url
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(600)

NANOSECONDS = 1_000_000_000
OK, ERROR = 1, 2
ORDINARY, KEPT = 200, 20
"""How many ordinary traces, and how many with an error, and slow ones."""


@contextmanager
def extras(name: str, **environment: str) -> Iterator[None]:
    """Run the Collector with an extras file for a while."""
    up = ("up", "--detach", "--no-deps", "--wait", "otel-collector")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COMPOSE_FILE", f"{os.environ.get('COMPOSE_FILE', 'docker-compose.yml')}:extras/{name}")
        for variable, value in environment.items():
            patch.setenv(variable, value)
        compose(*up)
    try:
        yield
    finally:
        compose(*up)


def span(seconds: float, status: int) -> dict[str, Any]:
    """A trace of one span, in OTLP's JSON."""
    now = time.time_ns()
    return {
        "traceId": uuid.uuid4().hex,
        "spanId": uuid.uuid4().hex[:16],
        "name": "work",
        "kind": 2,
        "startTimeUnixNano": str(now - int(seconds * NANOSECONDS)),
        "endTimeUnixNano": str(now),
        "status": {"code": status},
    }


def send(service: str, spans: list[dict[str, Any]]) -> None:
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
    body = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]}
    assert requests.post(f"{url('OTLP_HTTP_PORT')}/v1/traces", json=body, timeout=60).ok


def test_tail_sampling_keeps_errors_and_slow_traces_and_some_of_the_others_and_counts_all() -> None:
    service = f"sampled-{uuid.uuid4().hex[:8]}"
    ordinary = [span(0.01, OK) for _ in range(ORDINARY)]
    kept = [*(span(0.01, ERROR) for _ in range(KEPT)), *(span(3, OK) for _ in range(KEPT))]
    with extras("tail-sampling.compose.yaml"):
        send(service, [*ordinary, *kept])
        until(lambda: all(trace(each["traceId"]) for each in kept), ARRIVAL_TIMEOUT)
        counted = f'sum(traces_span_metrics_calls_total{{job="{service}"}})'
        everything = [str(ORDINARY + 2 * KEPT)]
        until(lambda: [each["value"][1] for each in prometheus(counted)] == everything, ARRIVAL_TIMEOUT)
    # One in ten of 200; with a chance of less than one in a million it is outside of these.
    assert 2 <= sum(trace(each["traceId"]) is not None for each in ordinary) <= 45


@pytest.fixture
def vendor() -> Iterator[str]:
    """The name of a container, on the Collector's network, that is a vendor."""
    name = f"vendor-{uuid.uuid4().hex[:8]}"
    script = f"{ROOT / 'tests/stack/vendor.py'}:/vendor.py:ro"
    command = ["docker", "run", "--detach", "--name", name, "--network", "waybill_frontend", "--volume", script]
    subprocess.run([*command, "waybill", "python", "/vendor.py"], check=True, capture_output=True)
    try:
        yield name
    finally:
        subprocess.run(["docker", "rm", "--force", name], check=True, capture_output=True)


def test_a_vendor_gets_all_three_signals_with_its_header(vendor: str) -> None:
    def received() -> set[str]:
        logs = subprocess.run(["docker", "logs", vendor], check=True, capture_output=True, text=True)
        return set(logs.stdout.splitlines())

    headers = "{api-key: key-of-the-tests}"
    with extras("vendor.compose.yaml", VENDOR_OTLP_ENDPOINT=f"http://{vendor}:4318", VENDOR_OTLP_HEADERS=headers):
        load(2)
        expected = {f"/v1/{signal} key-of-the-tests" for signal in ("traces", "metrics", "logs")}
        until(lambda: received() >= expected)
