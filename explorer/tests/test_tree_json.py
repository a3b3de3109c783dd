"""A trace as the page gets it, ready to be drawn: `/api/trees`."""

import gzip
import json
import secrets
from typing import Any

import requests
from hypothesis import given
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from waybill_explorer.trace_tree import read_trace, total
from waybill_explorer.tree_json import tree_json

from .conftest import START, Backend, span, spans
from .jaeger_json import BEGAN, order_trace, trace
from .jaeger_json import span as jaeger_span
from .test_trace_tree import random_traces


def test_spans_come_in_the_order_of_the_waterfall_with_depth_and_parent() -> None:
    data = order_trace()
    data["spans"].reverse()

    tree = tree_json(read_trace(data))

    assert [(one["spanID"], one["depth"], one["parent"]) for one in tree["spans"]] == [
        ("a", 0, None),
        ("b", 1, 0),
        ("c", 2, 1),
        ("d", 3, 2),
        ("e", 4, 3),
        ("f", 5, 4),
        ("g", 2, 1),
        ("h", 3, 6),
        ("i", 4, 7),
        ("j", 5, 8),
    ]
    assert tree["root"] == 0
    assert (tree["start"], tree["end"]) == (BEGAN, BEGAN + 96_000)


def test_the_critical_path_its_time_by_service_and_the_bottlenecks_are_computed() -> None:
    tree = tree_json(read_trace(order_trace()))

    charge = tree["spans"][8]
    assert (charge["title"], charge["kind"], total(charge["critical"])) == ("POST /charges", "server", 37_000)
    assert tree["services"] == [
        {"service": "order-service", "time": 30_000},
        {"service": "inventory-service", "time": 25_000},
        {"service": "payment-service", "time": 41_000},
    ]
    first = tree["bottlenecks"][0]
    assert first == {
        "kind": "gap",
        "where": "in payment-service POST /charges",
        "what": "own code before INSERT payment.db",
        "count": 1,
        "time": 37_000,
        "total": 96_000,
        "span": 8,
    }


def test_titles_and_where_calls_went_are_worded() -> None:
    shown = {one["spanID"]: one for one in tree_json(read_trace(order_trace()))["spans"]}

    assert (shown["d"]["title"], shown["d"]["peer"]) == ("POST", "127.0.0.1:8081/reservations")
    assert (shown["f"]["title"], shown["f"]["isSql"]) == ("UPDATE items SET … WHERE sku = ?", True)
    assert (shown["a"]["title"], shown["a"]["peer"], shown["a"]["isSql"]) == ("POST /orders", "", False)


def test_parents_that_are_not_there_are_named_and_the_request_is_known() -> None:
    tree = tree_json(
        read_trace(trace(jaeger_span("orphan", "x", 0, 9, parent="gone"), jaeger_span("root", "GET", 5, 2)))
    )

    assert tree["missing"] == ["gone"]
    assert [(one["spanID"], one["parent"], one["depth"]) for one in tree["spans"]] == [
        ("orphan", None, 0),
        ("root", None, 0),
    ]
    assert tree["root"] == 1


def test_a_moved_clock_is_told() -> None:
    call = jaeger_span("call", "POST", 10, 40, kind="client")
    served = jaeger_span("served", "POST /", 500, 20, parent="call", kind="server", service="payment-service")

    shown = tree_json(read_trace(trace(call, served)))["spans"][1]

    assert (shown["start"], shown["shift"]) == (BEGAN + 20_000, -480_000)


@given(random_traces())
def test_whatever_a_trace_looks_like_each_span_comes_once_after_its_parent(data: dict[str, Any]) -> None:
    tree = tree_json(read_trace(data))

    shown = tree["spans"]
    assert sorted(one["spanID"] for one in shown) == sorted(raw["spanID"] for raw in data["spans"])
    for index, one in enumerate(shown):
        parent = one["parent"]
        assert one["depth"] == (0 if parent is None else shown[parent]["depth"] + 1)
        assert parent is None or parent < index
    assert sum(total(one["critical"]) for one in shown) == shown[tree["root"]]["duration"]
    assert sum(one["time"] for one in tree["services"]) == shown[tree["root"]]["duration"]


def test_a_chain_of_ten_thousand_spans_has_a_tree() -> None:
    chain = [jaeger_span("0", "x", 0, 20_000)]
    chain += [jaeger_span(str(i), "x", i, 20_000 - i, parent=str(i - 1)) for i in range(1, 10_000)]

    assert tree_json(read_trace(trace(*chain)))["spans"][-1]["depth"] == 9_999


def test_a_stored_trace_is_given_with_all_that_its_spans_say(backend: Backend, service: str) -> None:
    trace_id, other = secrets.token_bytes(16), secrets.token_bytes(16)
    link = Span.Link(trace_id=other, span_id=b"12345678")
    event = Span.Event(time_unix_nano=START + 5000, name="cache miss")
    sent = span(trace_id, "GET /", attributes={"a": 1}, links=[link], events=[event], kind=2)
    backend.send(spans(service, sent, resource={"host.name": "here"}))

    (tree,) = backend.get("/api/trees", traceID=trace_id.hex())

    assert tree["traceID"] == trace_id.hex()
    assert tree["processes"] == [{"service": service, "tags": {"host.name": "here"}}]
    (shown,) = tree["spans"]
    assert shown == {
        "spanID": sent.span_id.hex(),
        "parent": None,
        "depth": 0,
        "process": 0,
        "name": "GET /",
        "title": "GET /",
        "peer": "",
        "kind": "server",
        "failed": False,
        "refused": False,
        "isSql": False,
        "start": START // 1000,
        "duration": 10_000,
        "selfTime": 10_000,
        "shift": 0,
        "critical": [[START // 1000, START // 1000 + 10_000]],
        "tags": {"a": 1, "span.kind": "server"},
        "events": [{"timestamp": START // 1000 + 5, "name": "cache miss", "attributes": {}}],
        "links": [{"traceID": other.hex(), "spanID": b"12345678".hex()}],
        "warnings": [],
    }


def test_a_trace_that_is_not_there_has_no_tree_and_an_id_that_is_none_is_refused(backend: Backend) -> None:
    assert backend.get("/api/trees", traceID=secrets.token_hex(16)) == []
    assert backend.ask("/api/trees", traceID="not an id").status_code == 400


def test_a_tree_is_sent_again_only_when_a_span_has_arrived(backend: Backend, service: str) -> None:
    trace_id = secrets.token_bytes(16)
    url = f"http://127.0.0.1:{backend.traces_port}/api/trees?traceID={trace_id.hex()}"

    def ask(etag: str | None) -> requests.Response:
        return requests.get(url, headers={"If-None-Match": etag or ""}, timeout=10)

    absent = ask(None)
    assert ask(absent.headers["ETag"]).status_code == 304
    backend.send(spans(service, span(trace_id, "first")))
    first = ask(absent.headers["ETag"])
    assert (first.status_code, len(first.json()["data"][0]["spans"])) == (200, 1)
    assert first.headers["Cache-Control"] == "no-cache"
    again = ask(first.headers["ETag"])
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", first.headers["ETag"])
    backend.send(spans(service, span(trace_id, "second")))
    assert len(ask(first.headers["ETag"]).json()["data"][0]["spans"]) == 2


def test_a_tree_is_compressed_for_clients_that_accept_gzip(backend: Backend, service: str) -> None:
    trace_id = secrets.token_bytes(16)
    backend.send(spans(service, span(trace_id)))
    url = f"http://127.0.0.1:{backend.traces_port}/api/trees?traceID={trace_id.hex()}"

    plain = requests.get(url, headers={"Accept-Encoding": "identity"}, timeout=10)
    packed = requests.get(url, headers={"Accept-Encoding": "gzip"}, timeout=10, stream=True)

    assert plain.headers["Vary"] == packed.headers["Vary"] == "Accept-Encoding"
    assert packed.headers["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(packed.raw.read(decode_content=False))) == plain.json()


def test_self_time_is_what_no_child_covers_whether_they_overlap_or_outlast_their_parent() -> None:
    tree = tree_json(
        read_trace(
            trace(
                jaeger_span("root", "GET", 0, 100),
                jaeger_span("a", "a", 10, 20, parent="root"),
                jaeger_span("b", "b", 20, 20, parent="root"),
                jaeger_span("late", "late", 90, 50, parent="root"),
                jaeger_span("consumer", "async", 50, 30, parent="root", kind="consumer"),
            )
        )
    )
    assert {one["spanID"]: one["selfTime"] for one in tree["spans"]} == {
        "root": 60_000,
        "a": 20_000,
        "b": 20_000,
        "late": 50_000,
        "consumer": 30_000,
    }
