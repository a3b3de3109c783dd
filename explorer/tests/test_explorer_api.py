"""What the explorer asks beyond Jaeger's API: whole traces found by text, requests per service, heat maps, OTLP."""

import json
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from flask import Flask
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from explorer.tests.conftest import JSON, SECOND, START, Backend, attributes, logs, metrics, span, spans
from waybill_explorer.page import explorer

ERROR = Status(code=Status.STATUS_CODE_ERROR)


def new_id() -> bytes:
    return secrets.token_bytes(16)


def test_whole_traces_are_found_by_text_failure_and_duration(backend: Backend, service: str) -> None:
    quick, failed, logged = new_id(), new_id(), new_id()
    backend.send(
        spans(service, span(quick, "quick", ms=5, attributes={"order.id": "Abc-1"})),
        spans(service, span(failed, "failing", ms=500, status=ERROR), span(failed, "step", ms=1)),
        spans(service, span(logged, "logged", ms=50)),
        logs(service, {"trace_id": logged, "span_id": secrets.token_bytes(8), "body": "Card DECLINED"}),
    )

    def found(**query: object) -> list[str]:
        return [one["operation"] for one in backend.get("/api/summaries", service=service, **query)]

    assert found(text="aBC-1") == ["quick"]
    assert found(text="declined") == ["logged"]
    assert found(text=failed.hex()[:20]) == ["failing"]
    assert found(failed=1) == ["failing"]
    assert found(minTotal="10ms", maxTotal="100ms") == ["logged"]
    assert found(text="nowhere") == []


def test_requests_are_counted_per_service_and_per_call(backend: Backend, service: str) -> None:
    other = f"{service}-called"
    for number in range(4):
        trace_id = new_id()
        root = span(trace_id, "GET /", at=START + number * SECOND, ms=100)
        inner = span(trace_id, "call", parent=root.span_id, at=START + number * SECOND, ms=80)
        status = ERROR if number == 0 else Status()
        called = span(
            trace_id, "GET /x", parent=inner.span_id, at=START + number * SECOND, ms=10 * number, status=status
        )
        backend.send(spans(service, root, inner), spans(other, called))
    window = {"start": START // 1000, "end": START // 1000 + 8_000_000}

    found = backend.get("/api/map", **window)
    nodes = {node["service"]: node for node in found["services"]}
    assert {key: nodes[service][key] for key in ("count", "rate", "errors", "p95")} == {
        "count": 4,
        "rate": 0.5,
        "errors": 0.0,
        "p95": 100_000,
    }
    (edge,) = [call for call in found["calls"] if call["parent"] == service]
    assert (edge["child"], edge["count"], edge["errors"], edge["p99"]) == (other, 4, 0.25, 30_000)

    detail = backend.get(f"/api/services/{other}/requests", step=2, **window)
    assert [(one["operation"], one["count"]) for one in detail["operations"]] == [("GET /x", 4)]
    assert [point["count"] for point in detail["points"]] == [2, 2, 0, 0]
    assert [one["duration"] for one in detail["slowest"]] == [30_000, 20_000, 10_000, 0]


def test_a_span_whose_parent_has_not_arrived_is_no_request_unless_it_is_a_servers(
    backend: Backend, service: str
) -> None:
    trace_id, caller, inner = new_id(), secrets.token_bytes(8), secrets.token_bytes(8)
    served = span(trace_id, "POST /", parent=caller, kind=Span.SPAN_KIND_SERVER)
    backend.send(spans(service, served, span(trace_id, "INSERT", parent=inner, kind=Span.SPAN_KIND_CLIENT)))
    detail = backend.get(f"/api/services/{service}/requests", start=START // 1000, end=START // 1000 + 1_000_000)
    assert [(one["operation"], one["count"]) for one in detail["operations"]] == [("POST /", 1)]


def test_a_heat_map_gives_the_buckets_of_each_step(backend: Backend, service: str) -> None:
    request, instruments = metrics(service)
    name = f"{service}.time"
    point = instruments.add(name=name, unit="s").histogram.data_points.add(
        start_time_unix_nano=START, time_unix_nano=START + 10 * SECOND, count=6, sum=9.0, explicit_bounds=[1.0, 2.0]
    )
    point.bucket_counts.extend([1, 0, 5])
    instruments[0].histogram.aggregation_temporality = 2
    backend.send(request)

    window = {"start": START // 1000, "end": START // 1000 + 10_000_000, "step": 10}
    (step,) = backend.get("/api/heatmap", name=name, **window)
    assert step == {"time": START // 1000 + 10_000_000, "buckets": [[None, 1.0, 1.0], [2.0, None, 5.0]]}


def test_a_trace_comes_back_as_the_otlp_it_was(backend: Backend, service: str) -> None:
    trace_id = new_id()
    link = Span.Link(trace_id=new_id(), span_id=secrets.token_bytes(8), attributes=attributes({"why": "retry"}))
    event = Span.Event(time_unix_nano=START + 123, name="cache miss", attributes=attributes({"key": "a"}))
    values = {"text": "ä", "whole": 2**60, "part": 0.5, "yes": True, "raw": b"\x00\xff", "list": ["a", 1]}
    sent = spans(
        service,
        span(trace_id, "work", at=START + 7, attributes=values, links=[link], events=[event], status=ERROR, kind=2),
        resource={"host.name": "here"},
        scope="by.hand",
    )
    backend.send(sent, logs(service, {"trace_id": trace_id, "span_id": secrets.token_bytes(8), "body": "told"}))
    exported = backend.ask(f"/api/traces/{trace_id.hex()}/otlp").json()

    again = new_id()
    copy = json.loads(json.dumps(exported).replace(trace_id.hex(), again.hex()))
    for signal, part in (("traces", "resourceSpans"), ("logs", "resourceLogs")):
        answer = backend.post(signal, json.dumps({part: copy[part]}), JSON)
        assert (answer.status_code, answer.json()) == (200, {})
    assert backend.ask(f"/api/traces/{again.hex()}/otlp").json() == copy
    (record,) = backend.get("/api/logs", trace_id=again.hex())
    assert (record["body"], record["service"]) == ("told", service)


def test_without_a_built_page_the_address_says_how_to_build_it_and_what_there_is(tmp_path: Path) -> None:
    app = Flask("test", static_folder=None)
    app.register_blueprint(explorer("GET /api/services", {}, built=tmp_path))
    answer = app.test_client().get("/trace/abc")
    assert answer.mimetype == "text/plain"
    assert "make web/dist/.built" in answer.text
    assert "GET /api/services" in answer.text


def test_a_rate_is_over_the_time_that_has_data(launch: Callable[..., Backend]) -> None:
    backend, second = launch(), 1_000_000
    now = time.time_ns() // 1000
    for age in (60, 40, 20):
        backend.send(spans("new", span(new_id(), "GET /", at=(now - age * second) * 1000)))
    hour = {"start": now - 3600 * second, "end": now}
    (node,) = backend.get("/api/map", **hour)["services"]
    assert (node["count"], round(node["rate"], 6)) == (3, 0.05)
    points = backend.get("/api/services/new/requests", step=40, **hour)["points"]
    assert [point["rate"] for point in points[:-2]] == [None] * 88
    assert [point["count"] for point in points[-2:]] == [1, 2]
    assert [point["rate"] for point in points[-2:]] == [0.05, 0.05]


def test_one_request_a_moment_ago_is_no_high_rate(launch: Callable[..., Backend]) -> None:
    backend, now = launch(), time.time_ns() // 1000
    backend.send(spans("new", span(new_id(), "GET /", at=(now - 1000) * 1000)))
    (node,) = backend.get("/api/map", start=now - 60_000_000, end=now)["services"]
    assert node["rate"] == 0.1
