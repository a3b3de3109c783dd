"""The metrics of a service, seen by an OTLP receiver."""

from functools import partial
from itertools import pairwise

import pytest

from tests.app.test_traces import trace_of
from tests.support.service_process import ServiceProcess
from tests.support.telemetry_receiver import Point, Receiver, matching
from tests.support.waiting import until

pytestmark = [pytest.mark.xdist_group("probe"), pytest.mark.usefixtures("probe")]


def durations(receiver: Receiver, route: str) -> list[Point]:
    points = matching(receiver.points, name="http.server.request.duration")
    return [point for point in points if point.attributes.get("http.route") == route]


def test_the_duration_of_requests_is_a_histogram_with_exemplars_that_exist_as_traces(
    probe: ServiceProcess, receiver: Receiver
) -> None:
    trace_of(probe.get("/taken"), receiver)
    point = until(lambda: [point for point in durations(receiver, "/taken") if point.exemplars])[-1]
    assert (point.kind, point.unit) == ("histogram", "s")
    assert (point.attributes["http.request.method"], point.attributes["http.response.status_code"]) == ("GET", 409)
    for trace_id in point.exemplars:
        assert matching(receiver.trace(trace_id), kind="SERVER")


def test_bucket_bounds_are_explicit_and_close_enough_for_percentiles(probe: ServiceProcess, receiver: Receiver) -> None:
    probe.get("/things/1")
    (bounds, *_) = {tuple(point.bounds) for point in until(lambda: durations(receiver, "/things/<int:thing_id>"))}
    assert (bounds[0], bounds[-1]) == (0.001, 30)
    assert all(upper / lower <= 3 for lower, upper in pairwise(bounds))


def test_process_and_runtime_metrics_come_without_their_outdated_twins(receiver: Receiver) -> None:
    def names() -> set[str]:
        return {point.name for point in list(receiver.points)}

    expected = {"process.cpu.time", "process.memory.usage", "process.thread.count", "cpython.gc.collections"}
    until(lambda: expected <= names())
    assert not [name for name in names() if name.startswith(("process.runtime", "system."))]
    (memory, *_) = matching(receiver.points, name="process.memory.usage")
    assert memory.value > 10_000_000


def test_each_metric_has_a_unit(receiver: Receiver) -> None:
    names = {"process.context_switches", "process.open_file_descriptor.count", "process.thread.count"}
    until(lambda: names <= {point.name for point in list(receiver.points)})
    assert {point.name for point in receiver.points if not point.unit} == set()
    assert {point.unit for point in matching(receiver.points, name="process.thread.count")} == {"{thread}"}


def test_each_worker_has_series_of_its_own(receiver: Receiver) -> None:
    def instances() -> set[str]:
        points = matching(receiver.points, name="process.cpu.time")
        return {point.resource["service.instance.id"] for point in points}

    assert len(until(lambda: instances() if len(instances()) > 1 else None)) == 2


def test_operations_of_the_cache_are_counted_and_timed_by_their_result(
    probe: ServiceProcess, receiver: Receiver
) -> None:
    probe.get("/things/99")
    for name in ("cache.operations", "cache.operation.duration"):
        points = until(partial(matching, receiver.points, name=name))
        assert {tuple(sorted(point.attributes)) for point in points} == {("cache.operation", "cache.result")}


def test_circuits_that_are_open_are_counted_by_their_dependency(probe: ServiceProcess, receiver: Receiver) -> None:
    def opened() -> list[Point]:
        probe.get("/call-absent-peer")
        return matching(receiver.points, name="circuit_breaker.open.count")

    assert {(point.kind, point.unit) for point in until(opened)} == {("sum", "{circuit_breaker}")}
    of_absent = until(lambda: [p for p in opened() if p.attributes == {"service.peer.name": "absent-peer"} and p.value])
    assert of_absent[-1].value == 1


def test_a_circuit_that_is_closed_counts_as_zero(probe: ServiceProcess, receiver: Receiver) -> None:
    def closed() -> list[Point]:
        probe.get("/healthz")
        points = matching(receiver.points, name="circuit_breaker.open.count")
        return [point for point in points if (point.attributes, point.value) == ({"service.peer.name": "peer"}, 0)]

    assert until(closed)


def test_connections_of_the_pool_are_observed_by_state(probe: ServiceProcess, receiver: Receiver) -> None:
    for _ in range(20):
        probe.get("/readyz")
        probe.get("/things/98")
    seen = len(receiver.points)
    until(lambda: len(matching(receiver.points[seen:], name="db.client.connection.count")) >= 4)
    usage = matching(receiver.points, name="db.client.connection.count")
    assert {point.attributes["db.client.connection.state"] for point in usage} == {"idle", "used"}
    assert {(point.kind, point.unit) for point in usage} == {("sum", "{connection}")}
    assert min(point.value for point in usage) >= 0
    assert max(point.value for point in usage if point.attributes["db.client.connection.state"] == "idle") >= 1
