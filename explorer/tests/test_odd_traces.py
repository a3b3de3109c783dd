"""Traces as other tools send them: shared ids, no times, rings, spans sent again. All stored, shown, and said."""

import secrets
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from waybill_explorer.trace_tree import read_trace, walk

from .conftest import SECOND, START, Backend, logs, span, spans

CLIENT, SERVER = Span.SPAN_KIND_CLIENT, Span.SPAN_KIND_SERVER
US = START // 1000


def stored(backend: Backend, trace_id: bytes) -> dict[str, Any]:
    """Give a trace, which must be readable by the command line with all its spans."""
    (trace,) = backend.get(f"/api/traces/{trace_id.hex()}")
    tree = read_trace(trace)
    assert len(list(walk(tree.roots))) == len(trace["spans"])
    return dict(trace)


def by_name(trace: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["operationName"]: one for one in trace["spans"]}


def parent_of(one: dict[str, Any]) -> str | None:
    return next((r["spanID"] for r in one["references"] if r["refType"] == "CHILD_OF"), None)


def test_a_client_and_a_server_that_share_an_id_are_two_spans(backend: Backend, service: str) -> None:
    trace_id, root, shared = secrets.token_bytes(16), b"rootroot", b"sharedid"
    front = [
        span(trace_id, "GET /", span_id=root, kind=SERVER, ms=100),
        span(trace_id, "call", span_id=shared, parent=root, kind=CLIENT, at=START + 10**7, ms=80),
    ]
    back = [
        span(trace_id, "GET /api", span_id=shared, parent=root, kind=SERVER, at=START + 2 * 10**7, ms=60),
        span(trace_id, "SELECT", span_id=b"selectse", parent=shared, kind=CLIENT, at=START + 3 * 10**7, ms=20),
    ]
    backend.send(spans(service, *front), spans(service + "-b", *back))
    backend.send(logs(service + "-b", {"trace_id": trace_id, "span_id": shared, "body": "in the server"}))
    trace = stored(backend, trace_id)
    found = by_name(trace)
    assert len({one["spanID"] for one in trace["spans"]}) == 4
    assert parent_of(found["call"]) == root.hex()
    assert parent_of(found["GET /api"]) == found["call"]["spanID"] == shared.hex()
    assert parent_of(found["SELECT"]) == found["GET /api"]["spanID"]
    (warning,) = found["GET /api"]["warnings"]
    assert "shares the id" in warning
    owner = read_trace(trace).owners()[shared.hex(), service + "-b"]
    assert owner.name == "GET /api"  # a log record of the server is shown in the server's span
    calls = [call for call in backend.get("/api/map", start=US, end=US + 10**6)["calls"] if call["parent"] == service]
    assert [(call["child"], call["count"]) for call in calls] == [(service + "-b", 1)]


def test_different_spans_with_one_id_are_all_kept(backend: Backend, service: str) -> None:
    trace_id = secrets.token_bytes(16)
    same = [span(trace_id, f"step {n}", span_id=b"constant", at=START + n) for n in range(3)]
    backend.send(spans(service, *same))
    trace = stored(backend, trace_id)
    assert len({one["spanID"] for one in trace["spans"]}) == 3
    assert [bool(one["warnings"]) for one in trace["spans"]] == [False, True, True]


def test_a_span_sent_again_in_another_batch_counts_once(backend: Backend, service: str) -> None:
    trace_id = secrets.token_bytes(16)
    first, second = span(trace_id, "first"), span(trace_id, "second")
    first.status.code = Status.STATUS_CODE_ERROR
    backend.send(spans(service, first))
    backend.send(spans(service, first, second, first))
    backend.export("traces", spans(service, second, resource={"added.by": "a Collector"}).SerializeToString())
    (summary,) = backend.get("/api/summaries", service=service)
    assert (summary["spans"], summary["errors"]) == (2, 1)
    assert sorted(by_name(stored(backend, trace_id))) == ["first", "second"]
    assert len(backend.get(f"/api/traces/{trace_id.hex()}")[0]["spans"]) == 2


def test_eight_zero_bytes_are_no_parent(backend: Backend, service: str) -> None:
    trace_id = secrets.token_bytes(16)
    child = span(trace_id, "child", parent=b"rootroot", at=START - 1000)
    backend.send(spans(service, child, span(trace_id, "root", span_id=b"rootroot", parent=bytes(8))))
    assert by_name(stored(backend, trace_id))["root"]["references"] == []
    assert backend.get("/api/summaries", service=service)[0]["operation"] == "root"


def test_a_ring_of_parents_is_broken_and_said(backend: Backend, service: str) -> None:
    trace_id, a, b, own = secrets.token_bytes(16), b"aaaaaaaa", b"bbbbbbbb", b"itselfid"
    backend.send(
        spans(
            service,
            span(trace_id, "a", span_id=a, parent=b),
            span(trace_id, "b", span_id=b, parent=a, at=START + 1000),
            span(trace_id, "own", span_id=own, parent=own, at=START + 2000),
        )
    )
    found = by_name(stored(backend, trace_id))
    assert (parent_of(found["a"]), parent_of(found["b"]), parent_of(found["own"])) == (None, a.hex(), None)
    assert found["a"]["warnings"] == ["Its parents form a ring of 2 spans: shown without a parent."]
    assert found["own"]["warnings"] == ["The span is its own parent: shown without a parent."]
    assert found["b"]["warnings"] is None


def test_a_call_without_a_start_does_not_take_decades_on_the_map(backend: Backend, service: str) -> None:
    trace_id = secrets.token_bytes(16)
    call = span(trace_id, "GET /", span_id=b"callcall", kind=CLIENT, ms=20)
    served = span(trace_id, "GET /api", parent=b"callcall", kind=SERVER, ms=20)
    served.start_time_unix_nano = 0
    backend.send(spans(service, call), spans(service + "-b", served))
    nodes = {one["service"]: one for one in backend.get("/api/map", start=US, end=US + 10**6)["services"]}
    assert nodes[service + "-b"]["p95"] == 0


def test_a_span_without_times_is_shown_at_its_parents_start(backend: Backend, service: str) -> None:
    trace_id, root, lost = secrets.token_bytes(16), b"rootroot", b"lostlost"
    no_times: dict[str, Any] = {"at": 0, "ms": 0}
    backend.send(
        spans(
            service,
            span(trace_id, "below", parent=lost, **no_times),
            span(trace_id, "no times", span_id=lost, parent=root, **no_times),
            span(trace_id, "root", span_id=root, ms=100),
            Span(trace_id=trace_id, span_id=b"no-start", name="no start", end_time_unix_nano=START + SECOND // 20),
            Span(trace_id=trace_id, span_id=b"no-end-.", name="no end", start_time_unix_nano=START + SECOND // 20),
            span(trace_id, "backwards", parent=root, at=START + SECOND // 20, ms=-20),
        )
    )
    trace = stored(backend, trace_id)
    found = {name: (one["startTime"] - US, one["duration"], one["warnings"]) for name, one in by_name(trace).items()}
    assert found == {
        "root": (0, 100_000, None),
        "no times": (0, 0, ["The span has no times: shown at its parent's start."]),
        "below": (0, 0, ["The span has no times: shown at its parent's start."]),
        "no start": (50_000, 0, ["The span has no start: shown at its end."]),
        "no end": (50_000, 0, ["The span has no end: shown with no duration."]),
        "backwards": (50_000, 0, ["The span ends 20,000 µs before it starts: shown with no duration."]),
    }
    (summary,) = backend.get("/api/summaries", service=service)
    assert (summary["operation"], summary["startTime"], summary["duration"]) == ("root", US, 100_000)


def test_a_trace_without_any_time_is_listed_at_its_arrival(backend: Backend, service: str) -> None:
    trace_id = secrets.token_bytes(16)
    backend.send(spans(service, span(trace_id, "timeless", at=0, ms=0)))
    (summary,) = backend.get("/api/summaries", service=service)
    (one,) = stored(backend, trace_id)["spans"]
    assert summary["startTime"] == one["startTime"] > US
    assert summary["duration"] == 0


def test_of_a_huge_trace_the_first_spans_are_given_and_the_rest_is_counted(backend: Backend, service: str) -> None:
    trace_id = secrets.token_bytes(16)
    for part in range(7):
        members = [
            Span(
                trace_id=trace_id, span_id=n.to_bytes(8), name="x", start_time_unix_nano=START, end_time_unix_nano=START
            )
            for n in range(part * 4_000 + 1, part * 4_000 + 4_001)
        ]
        backend.send(spans(service, *members))
    trace = stored(backend, trace_id)
    assert (len(trace["spans"]), trace["warnings"]) == (25_000, ["3,000 of its 28,000 spans are left out"])
    refused = backend.ask(f"/api/traces/{trace_id.hex()}/otlp")
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (413, 413)
