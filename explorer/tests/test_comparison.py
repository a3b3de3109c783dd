"""Two traces, or two groups of traces, side by side; and which versions there are."""

import io
import random
import secrets
import subprocess
import sys
import time
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from rich.console import Console

from explorer.tests.conftest import SECOND, START, Backend, metrics, span, spans
from explorer.tests.jaeger_json import span as json_span
from explorer.tests.jaeger_json import trace as json_trace
from waybill_explorer import comparison_report
from waybill_explorer.client import ClientError, TraceApi
from waybill_explorer.comparison import compare_traces, growth, own_growth, own_time
from waybill_explorer.trace_tree import read_trace

ERROR = Status(code=Status.STATUS_CODE_ERROR)


def test_alike_spans_at_the_same_place_are_one_line_and_what_one_trace_has_alone_keeps_its_own() -> None:
    here = json_trace(json_span("a", "root", 0, 100), json_span("b", "SELECT", 10, 20, parent="a"))
    here["spans"].append(json_span("c", "SELECT", 40, 30, parent="a"))
    there = json_trace(
        json_span("a", "root", 0, 60),
        json_span("b", "SELECT", 10, 20, parent="a"),
        json_span("d", "new", 30, 5, parent="a"),
    )

    compared = compare_traces(read_trace(here), read_trace(there))

    lines = compared["lines"]
    assert [(one["name"], one["depth"], one["here"]["spans"], one["there"]["spans"]) for one in lines] == [
        ("root", 0, 1, 1),
        ("SELECT", 1, 2, 1),
        ("new", 1, 0, 1),
    ]
    assert [growth(line) for line in lines] == [40_000, 30_000, -5_000]
    assert [own_growth(line) for line in lines] == [15_000, 30_000, -5_000]
    assert compared["most"] == 1
    assert compare_traces(read_trace(there), read_trace(here))["most"] == 1, "the order of the two is no matter"
    assert compare_traces(read_trace(there), read_trace(there))["most"] is None


def test_own_time_is_what_no_child_covers_however_the_children_overlap_or_outlast() -> None:
    trace = read_trace(
        json_trace(
            json_span("r", "root", 0, 100),
            json_span("a", "a", 10, 30, parent="r"),
            json_span("b", "b", 20, 30, parent="r"),
            json_span("c", "c", 90, 50, parent="r"),
        )
    )
    assert own_time(trace.root) == 50_000


def test_a_trace_as_deep_as_it_is_long_is_compared_without_a_stack_overflow() -> None:
    deep = read_trace(
        json_trace(*(json_span(f"{n}", f"{n}", 0, 1, parent=f"{n - 1}" if n else None) for n in range(5000)))
    )
    assert len(compare_traces(deep, deep)["lines"]) == 5000


@pytest.fixture
def two_versions(backend: Backend, service: str) -> str:
    """40 requests of version 0.1, then 40 of 0.2, which is slower, queries twice and sometimes fails."""
    chance = random.Random(1)
    for n in range(80):
        is_new, trace_id, at = n >= 40, secrets.token_bytes(16), START + n * SECOND
        root = span(trace_id, "POST /charges", at=at, ms=(200 if is_new else 20) + chance.randrange(10), kind=2)
        if is_new and n % 4 == 0:
            root.status.CopyFrom(ERROR)
        queries = [span(trace_id, "SELECT", parent=root.span_id, at=at, ms=2) for _ in range(2 if is_new else 1)]
        if is_new:
            queries.append(span(trace_id, "audit", parent=root.span_id, at=at, ms=1))
        version = f"0.{2 if is_new else 1}-{service}"
        backend.send(spans(service, root, *queries, resource={"service.version": version}))
    return service


def compared(backend: Backend, service: str) -> dict[str, Any]:
    found: dict[str, Any] = backend.get("/api/comparison", a=f"0.1-{service}", b=f"0.2-{service}")
    return found


def test_two_versions_are_compared_operation_by_operation(backend: Backend, two_versions: str) -> None:
    found = compared(backend, two_versions)

    a, b = found["a"], found["b"]
    assert (a["traces"], a["read"], b["traces"], b["read"]) == (40, 40, 40, 40)
    assert (a["whole"]["errors"], b["whole"]["errors"]) == (0, 0.25)
    assert a["whole"]["rate"] == pytest.approx(40 / 39)
    by_name = {one["operation"]: one for one in found["operations"]}
    assert list(by_name) == ["POST /charges", "SELECT", "audit"]
    charge, select, audit = by_name.values()
    assert 20_000 <= charge["a"]["p50"] < 30_000 < 200_000 <= charge["b"]["p95"]
    assert (charge["a"]["errors"], charge["b"]["errors"]) == (0, 0.25)
    assert (select["a"]["perTrace"], select["b"]["perTrace"]) == (1, 2)
    assert (audit["a"], audit["b"]["count"]) == (None, 40)


def test_a_group_without_a_trace_has_no_figures(backend: Backend, two_versions: str) -> None:
    found = backend.get("/api/comparison", a=f"0.1-{two_versions}", b=f"0.9-{two_versions}")
    assert (found["b"]["traces"], found["b"]["whole"]["rate"], found["b"]["whole"]["p50"]) == (0, None, None)
    assert all(one["b"] is None for one in found["operations"])


def test_two_stored_traces_are_compared_and_one_that_is_not_there_is_named(backend: Backend, service: str) -> None:
    ids = [secrets.token_bytes(16).hex() for _ in range(3)]
    for one, ms in zip(ids[:2], (50, 10), strict=True):
        backend.send(spans(service, span(bytes.fromhex(one), "GET /", ms=ms)))

    (line,) = backend.get("/api/comparison", traceID=ids[:2])["lines"]
    missing = backend.ask("/api/comparison", traceID=[ids[0], ids[2]])
    alone = backend.ask("/api/comparison", traceID=ids[0])

    assert (line["here"]["duration"], line["there"]["duration"]) == (50_000, 10_000)
    assert (missing.status_code, missing.json()["errors"][0]["msg"]) == (404, f"trace {ids[2]} not found")
    assert alone.status_code == 400


def test_versions_are_listed_with_when_they_appeared(backend: Backend, service: str) -> None:
    before = time.time_ns() // 1000
    for version, instance in (("1", "a"), ("1", "b"), ("2", "c")):
        resource = {"service.version": version, "service.instance.id": instance}
        backend.send(spans(service, span(secrets.token_bytes(16)), resource=resource))
    request, instruments = metrics(f"{service}-measured")
    request.resource_metrics[0].resource.attributes.add(key="service.version").value.string_value = "7"
    point = instruments.add(name=f"{service}.n").sum.data_points.add(time_unix_nano=time.time_ns(), as_int=1)
    point.start_time_unix_nano = time.time_ns() - SECOND
    instruments[0].sum.aggregation_temporality = 2
    backend.send(request)

    found = {(one["service"], one["version"]): one for one in backend.get("/api/versions")}

    one, two = found[service, "1"], found[service, "2"]
    assert (one["instances"], one["isNew"], two["instances"], two["isNew"]) == (2, False, 1, True)
    assert before <= one["first"] <= one["last"] < two["first"] <= time.time_ns() // 1000
    assert not found[f"{service}-measured", "7"]["isNew"]


def printed(backend: Backend, a: str, b: str, since: str = "9999d") -> str:
    file = io.StringIO()
    api = TraceApi(f"http://127.0.0.1:{backend.traces_port}")
    comparison_report.print_report(
        Console(file=file, width=120, highlight=False), comparison_report.fetch(api, a, b, since), a, b, api
    )
    return file.getvalue()


def test_the_terminal_prints_groups_with_what_differs_most_first(backend: Backend, two_versions: str) -> None:
    lines = printed(backend, f"0.1-{two_versions}", f"0.2-{two_versions}").splitlines()

    assert "25 %" not in lines[1]
    assert "25 %" in lines[2]
    first = next(line for line in lines if "POST /charges" in line)
    assert lines.index(first) < next(i for i, line in enumerate(lines) if "SELECT" in line)
    assert any("absent" in line for line in lines if "audit" in line)
    assert "No trace fits either query" in printed(backend, f"x-{two_versions}", f"y-{two_versions}")


def test_the_terminal_prints_two_traces_and_refuses_a_mixture(backend: Backend, service: str) -> None:
    ids = [secrets.token_bytes(16).hex() for _ in range(2)]
    for one, ms in zip(ids, (50, 10), strict=True):
        root = span(bytes.fromhex(one), "GET /", ms=ms)
        backend.send(spans(service, root, span(bytes.fromhex(one), "render", parent=root.span_id, ms=ms - 5)))

    output = printed(backend, *ids)

    assert f"Differs most: {service} render, 40.0 ms more of its own time in A" in output
    assert f"Differs most: {service} render, 40.0 ms less of its own time in A" in printed(backend, *reversed(ids))
    assert "Each span took as long in A as in B." in printed(backend, ids[0], ids[0])
    assert all(f"/trace/{one}" in output for one in ids)
    with pytest.raises(ClientError, match="give two of one kind"):
        printed(backend, ids[0], "service:x")


def test_the_command_compares_and_prints_json(backend: Backend, two_versions: str) -> None:
    url = f"http://127.0.0.1:{backend.traces_port}"
    command = [sys.executable, "-m", "waybill_explorer", "compare", f"0.1-{two_versions}", f"0.2-{two_versions}"]
    result = subprocess.run(
        [*command, "--url", url, "--since", "9999d", "--json"], capture_output=True, text=True, check=True
    )
    assert '"traces": 40' in result.stdout
