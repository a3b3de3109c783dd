"""A backend is unavailable for longer than the queue can hold: losses are counted, and nothing is counted twice."""

import os
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import requests

from local.settings import ROOT
from tests.stack.conftest import ARRIVAL_TIMEOUT, away, compose, loki, prometheus, state, trace, url
from tests.support.otlp_json import LISTS, Json, attributes, record, resource, span
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(600)

MIB = 2**20
SMALL = 4 * MIB
"""A larger file is made small again (otel-collector-config.yaml: rebound_needed_threshold_mib)."""
QUEUE = 24 * MIB
TEXT = "x" * 20_000
BATCH = 20
"""Spans in each export: 400 kB of texts."""
SENT = 2000
TRACE = 100
"""Spans of each trace."""
NONE = "or vector(0)"


@contextmanager
def queue_of(size: int) -> Iterator[None]:
    """The Collector with queues of that many bytes for a while."""
    start_collector({"QUEUE_BYTES": str(size)})
    try:
        yield
    finally:
        start_collector({})


def start_collector(variables: dict[str, str]) -> None:
    """Recreate its container with these variables, and wait for it."""
    command = ["docker", "compose", "up", "--detach", "--no-deps", "--no-build", "otel-collector"]
    subprocess.run(command, cwd=ROOT, env={**os.environ, **variables}, check=True, capture_output=True)
    until(lambda: state("otel-collector") == "healthy", ARRIVAL_TIMEOUT)


def queue_on_disk() -> int:
    """Bytes that the files of the queues take."""
    collector = compose("ps", "--quiet", "otel-collector").strip()
    measure = ["docker", "run", "--rm", "--network", "none", "--volumes-from", collector, "waybill"]
    listed = subprocess.run([*measure, "du", "-sb", "/queue"], check=True, capture_output=True, text=True).stdout
    return int(listed.split()[0])


def count(query: str) -> float:
    """The value of a query that has one."""
    return float(prometheus(query)[0]["value"][1])


@dataclass(frozen=True)
class Outage:
    """What came of SENT spans, and as many log records, while Jaeger and Loki were unavailable."""

    service: str
    refused: int
    """Exports that the Collector did not accept."""
    on_disk: int
    """Bytes of the queues at the end of the outage."""
    trace_ids: list[str]

    def calls(self) -> float:
        """Spans that the span metrics have counted."""
        return count(f'sum(traces_span_metrics_calls_total{{job="{self.service}"}}) {NONE}')

    def spans(self) -> int:
        """Spans that are in Jaeger."""
        return sum(len((trace(trace_id) or {"spans": []})["spans"]) for trace_id in self.trace_ids)

    def records(self) -> int:
        """Log records that are in Loki."""
        return sum(len(stream["values"]) for stream in loki(f'{{service_name="{self.service}"}}', limit=5000))


def lost(items: str) -> float:
    """What the queues of this Collector had no room for."""
    return count(f"sum(otelcol_exporter_enqueue_failed_{items}) {NONE}")


def export(service: str, signal: str, items: list[Json]) -> bool:
    """Send them as a service does; whether they were accepted."""
    scoped, name = {"traces": ("scopeSpans", "spans"), "logs": ("scopeLogs", "logRecords")}[signal]
    body = {LISTS[signal]: [{"resource": resource(service), scoped: [{name: items}]}]}
    return requests.post(f"{url('OTLP_HTTP_PORT')}/v1/{signal}", json=body, timeout=60).ok


@pytest.fixture(scope="module")
def outage() -> Iterator[Outage]:
    """A Collector that has sent what its small queues could hold."""
    service = f"outage-{uuid.uuid4().hex[:8]}"
    trace_ids = [uuid.uuid4().hex for _ in range(SENT // TRACE)]
    text, refused = attributes({"text": TEXT}), 0
    with queue_of(QUEUE):
        with away("jaeger", "loki"):
            for first in range(0, SENT, BATCH):
                spans = [span(traceId=trace_ids[first // TRACE], name="step", attributes=text) for _ in range(BATCH)]
                records = [record(severityNumber=9, attributes=text) for _ in range(BATCH)]
                refused += not export(service, "traces", spans)
                refused += not export(service, "logs", records)
            until(lambda: lost("spans") and lost("log_records"), ARRIVAL_TIMEOUT)
            on_disk = queue_on_disk()
        yield Outage(service, refused, on_disk, trace_ids)


def test_a_full_queue_makes_no_sender_send_again(outage: Outage) -> None:
    assert outage.refused == 0


def test_span_metrics_count_each_span_once_though_the_queue_is_full(outage: Outage) -> None:
    until(lambda: outage.calls() >= SENT, ARRIVAL_TIMEOUT)
    assert outage.calls() == SENT


def test_each_span_and_each_record_arrives_or_is_counted_as_lost(outage: Outage) -> None:
    until(lambda: count("max(otelcol_exporter_queue_size)") == 0, 2 * ARRIVAL_TIMEOUT)
    until(lambda: outage.spans() + lost("spans") == SENT, 2 * ARRIVAL_TIMEOUT)
    until(lambda: outage.records() + lost("log_records") == SENT, 2 * ARRIVAL_TIMEOUT)
    assert 0 < lost("spans") < SENT
    assert 0 < lost("log_records") < SENT


def test_the_queues_keep_to_their_size_on_disk_and_are_small_again_after_the_outage(outage: Outage) -> None:
    assert QUEUE < outage.on_disk < 2 * (QUEUE + 24 * MIB)  # of two queues, which grow by 16 MiB
    until(lambda: queue_on_disk() < 2 * SMALL, 2 * ARRIVAL_TIMEOUT)


def test_the_size_of_the_queue_is_measured_in_bytes(outage: Outage) -> None:
    assert outage.on_disk
    assert {entry["value"][1] for entry in prometheus("otelcol_exporter_queue_capacity")} == {str(QUEUE)}
