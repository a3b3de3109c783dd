"""The trace side of the read API, in Jaeger's JSON."""

import itertools
import json
import secrets
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from waybill_explorer.ingest import NO_SERVICE

from .conftest import SECOND, START, Backend, any_value, span, spans

US = START // 1000


def test_a_trace_is_given_as_jaeger_gives_it(backend: Backend, service: str) -> None:
    trace_id, root, child, other = secrets.token_bytes(16), b"rootroot", b"childchi", secrets.token_bytes(16)
    work = span(
        trace_id,
        "POST /orders",
        span_id=root,
        kind=2,
        attributes={
            "order.id": "o-1",
            "http.response.status_code": 500,
            "retry": False,
            "share": 0.5,
            "skus": ["TEA", 2],
            "raw": b"\x00\x01",
            "large": 2**60,
        },
        trace_state="a=b",
    )
    work.status.code = Status.STATUS_CODE_ERROR
    work.status.message = "it broke"
    work.events.add(time_unix_nano=START + 2000, name="exception").attributes.add(
        key="exception.type", value=any_value("ValueError")
    )
    work.links.add(trace_id=other, span_id=b"linklink")
    step = span(trace_id, "charge", parent=root, span_id=child, at=START + 1_500, ms=5)
    backend.send(spans(service, step, work, resource={"service.version": "1.2", "host.name": "h"}, scope="flask"))

    (answer,) = backend.get(f"/api/traces/{trace_id.hex()}")

    def text(key: str, value: str) -> dict[str, Any]:
        return {"key": key, "type": "string", "value": value}

    assert answer == {
        "traceID": trace_id.hex(),
        "spans": [
            {
                "traceID": trace_id.hex(),
                "spanID": root.hex(),
                "operationName": "POST /orders",
                "references": [{"refType": "FOLLOWS_FROM", "traceID": other.hex(), "spanID": b"linklink".hex()}],
                "startTime": US,
                "duration": 10_000,
                "tags": [
                    text("otel.scope.name", "flask"),
                    {"key": "http.response.status_code", "type": "int64", "value": 500},
                    {"key": "large", "type": "int64", "value": str(2**60)},
                    text("order.id", "o-1"),
                    {"key": "raw", "type": "binary", "value": "AAE="},
                    {"key": "retry", "type": "bool", "value": False},
                    {"key": "share", "type": "float64", "value": 0.5},
                    text("skus", '["TEA",2]'),
                    text("span.kind", "server"),
                    text("otel.status_code", "ERROR"),
                    {"key": "error", "type": "bool", "value": True},
                    text("otel.status_description", "it broke"),
                    text("w3c.tracestate", "a=b"),
                ],
                "logs": [
                    {"timestamp": US + 2, "fields": [text("event", "exception"), text("exception.type", "ValueError")]}
                ],
                "processID": "p1",
                "warnings": None,
            },
            {
                "traceID": trace_id.hex(),
                "spanID": child.hex(),
                "operationName": "charge",
                "references": [{"refType": "CHILD_OF", "traceID": trace_id.hex(), "spanID": root.hex()}],
                "startTime": US + 1,
                "duration": 5_000,
                "tags": [text("otel.scope.name", "flask")],
                "logs": [],
                "processID": "p1",
                "warnings": None,
            },
        ],
        "processes": {"p1": {"serviceName": service, "tags": [text("host.name", "h"), text("service.version", "1.2")]}},
        "warnings": None,
    }


def test_spans_may_arrive_in_any_order_and_apart(backend: Backend, service: str) -> None:
    answers = []
    for order in itertools.permutations(range(3)):
        trace_id = secrets.token_bytes(16)
        parts = [
            spans(service, span(trace_id, "root", span_id=b"rootroot", ms=30)),
            spans(service + "-b", span(trace_id, "server", span_id=b"serverse", parent=b"rootroot", at=START + 1000)),
            spans(service, span(trace_id, "late", parent=b"serverse", at=START - 5_000_000, ms=1)),
        ]
        parts[2].resource_spans[0].scope_spans[0].spans[0].span_id = b"lateslat"
        for i in order:
            backend.send(parts[i])
        (trace,) = backend.get(f"/api/traces/{trace_id.hex()}")
        (summary,) = [s for s in backend.get("/api/summaries", service=service) if s["traceID"] == trace_id.hex()]
        assert (summary["operation"], summary["spans"], summary["duration"]) == ("root", 3, 35_000)
        assert summary["services"] == [service, service + "-b"]
        answers.append([(s["operationName"], s["references"] and s["references"][0]["spanID"]) for s in trace["spans"]])
    assert answers == [answers[0]] * 6
    assert [name for name, _ in answers[0]] == ["late", "root", "server"]


def test_an_export_sent_twice_is_stored_once(backend: Backend, service: str) -> None:
    trace_id = secrets.token_bytes(16)
    request = spans(service, span(trace_id))
    backend.send(request, request)
    assert backend.export("traces", request.SerializeToString()) == b""
    assert backend.get("/api/summaries", service=service)[0]["spans"] == 1


@pytest.fixture(scope="module")
def shop(backend: Backend) -> str:
    """A service with 30 traces a second apart; number n lasts n ms and has order.id n; every tenth failed."""
    service = f"shop-{secrets.token_hex(4)}"
    for n in range(30):
        one = span(
            n.to_bytes(4) + secrets.token_bytes(12),
            "POST /orders" if n % 2 else "GET /orders",
            at=START + n * SECOND,
            ms=n,
            attributes={"order.id": f"order-{n}", "n": n, "even": n % 2 == 0},
        )
        if n % 10 == 0:
            one.status.code = Status.STATUS_CODE_ERROR
        backend.send(spans(service, one, resource={"deployment.environment.name": f"env-{n % 3}"}))
    return service


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"limit": 3}, [29, 28, 27]),
        ({"operation": "POST /orders", "limit": 2}, [29, 27]),
        ({"minDuration": "27.5ms"}, [29, 28]),
        ({"maxDuration": "1500us"}, [1, 0]),
        ({"minDuration": "4ms", "maxDuration": "5ms"}, [5, 4]),
        ({"start": US + 4_000_000, "end": US + 6_000_000}, [6, 5, 4]),
        ({"tags": {"order.id": "order-7"}}, [7]),
        ({"tags": {"n": "12", "even": "true"}}, [12]),
        ({"tags": {"n": "13", "even": "true"}}, []),
        ({"tags": {"error": "true"}}, [20, 10, 0]),
        ({"tags": {"error": "true", "deployment.environment.name": "env-1"}}, [10]),
        ({"tags": {"deployment.environment.name": "env-2"}, "limit": 1}, [29]),
        ({"tag": "order.id:order-3"}, [3]),
        ({"tags": {"order.id": "order"}}, []),
        ({"operation": "DELETE /orders"}, []),
    ],
)
def test_traces_are_found_newest_first(backend: Backend, shop: str, parameters: Any, expected: list[int]) -> None:
    if "tags" in parameters:
        parameters = parameters | {"tags": json.dumps(parameters["tags"])}
    for path in ("/api/traces", "/api/summaries"):
        found = backend.get(path, service=shop, **parameters)
        assert [int(trace["traceID"][:8], 16) for trace in found] == expected


def test_services_and_operations_are_listed(backend: Backend, shop: str) -> None:
    assert shop in backend.get("/api/services")
    assert backend.get(f"/api/services/{shop}/operations") == ["GET /orders", "POST /orders"]
    assert backend.get("/api/services/nobody/operations") == []


def test_without_a_service_the_newest_of_all_are_given(backend: Backend, service: str) -> None:
    trace_id = secrets.token_bytes(16)
    backend.send(spans(service, span(trace_id, at=START + 5 * 10**9 * SECOND)))
    assert backend.get("/api/traces", limit=1)[0]["traceID"] == trace_id.hex()


def test_a_resource_or_span_without_a_name_is_shown_as_jaeger_shows_it(backend: Backend) -> None:
    trace_id = secrets.token_bytes(16)
    request = spans("", span(trace_id, ""))
    request.resource_spans[0].ClearField("resource")
    backend.send(request)
    (trace,) = backend.get(f"/api/traces/{trace_id.hex()}")
    assert trace["processes"]["p1"] == {"serviceName": NO_SERVICE, "tags": []}
    assert trace["spans"][0]["operationName"] == "empty-span-name"


def test_dependencies_count_the_calls_between_services(backend: Backend, service: str) -> None:
    at = START + 5 * 10**6 * SECOND
    for _ in range(3):
        trace_id = secrets.token_bytes(16)
        called = [span(trace_id, "server", parent=b"clientcl", at=at) for _ in range(2)]
        caller = [
            span(trace_id, "root", at=at, span_id=b"rootroot"),
            span(trace_id, "call", at=at, span_id=b"clientcl"),
        ]
        caller[1].parent_span_id = b"rootroot"
        backend.send(spans(service + "-callee", *called), spans(service, *caller))
    parameters = {"endTs": at // 1_000_000 + 1, "lookback": 1000}
    expected = [{"parent": service, "child": service + "-callee", "callCount": 6}]
    assert backend.get("/api/dependencies", **parameters) == expected
    assert backend.get("/api/dependencies", **parameters | {"endTs": at // 1_000_000 - 2000}) == []


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/api/traces?limit=0", "limit"),
        ("/api/traces?limit=many", "limit"),
        ("/api/traces?minDuration=5", "minDuration"),
        ("/api/traces?minDuration=2s&maxDuration=1s", "maxDuration"),
        ("/api/traces?tags=nonsense", "tags"),
        ("/api/traces?tags={%22a%22:1}", "tags"),
        ("/api/traces?tags={%22a%22:%22%5Cud800%22}", "tags"),
        ("/api/traces?tag=nocolon", "tag"),
        ("/api/traces?start=9&end=3", "start"),
        ("/api/traces?end=99999999999999999999", "end"),
        ("/api/traces?operation=x", "service"),
        ("/api/traces/xyz", "traceID"),
        ("/api/traces/" + "a" * 33, "traceID"),
        ("/api/dependencies?lookback=-1", "lookback"),
        ("/api/logs?level=LOUD", "level"),
        ("/api/logs?trace_id=zz", "trace_id"),
        ("/api/series", "name"),
        ("/api/series?name=x&stat=p12", "stat"),
        ("/api/series?name=x&step=0", "step"),
        ("/api/series?name=x&start=1&step=1", "step"),
    ],
)
def test_a_bad_parameter_is_named_in_jaegers_error_shape(backend: Backend, path: str, name: str) -> None:
    response = backend.ask(path)
    assert response.status_code == 400
    (error,) = response.json()["errors"]
    assert error["code"] == 400
    assert f"'{name}'" in error["msg"]


def test_an_unknown_trace_is_not_found_as_in_jaeger(backend: Backend) -> None:
    response = backend.ask("/api/traces/abcdef")
    body = {"data": None, "total": 0, "limit": 0, "offset": 0, "errors": [{"code": 404, "msg": "trace not found"}]}
    assert (response.status_code, response.json()) == (404, body)
