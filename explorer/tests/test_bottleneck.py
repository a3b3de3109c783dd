"""Where a request's time went: which spans, added up over equal ones, and what they waited for."""

import secrets
from typing import Any

import pytest
import requests
from hypothesis import given
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from waybill_explorer.bottleneck import Bottleneck, Kind, bottleneck, bottlenecks
from waybill_explorer.trace_tree import critical_path, read_trace

from .conftest import START, Backend, attributes, spans
from .jaeger_json import call, order_trace, span, trace
from .test_trace_tree import random_traces


def found(*members: dict[str, Any]) -> list[Bottleneck]:
    root = read_trace(trace(*members)).root
    return bottlenecks(root, critical_path(root))


def worst(*members: dict[str, Any]) -> tuple[str, str, str, float]:
    """Return kind, where, what and milliseconds of the largest."""
    first = found(*members)[0]
    return str(first.kind), first.where, first.what, first.time / 1000


def sql(span_id: str, text: str, start: float, ms: float, parent: str = "root", **tags: Any) -> dict[str, Any]:
    values = {"db.system.name": "sqlite", "db.query.text": text, **tags}
    return span(span_id, text.split(" ")[0], start, ms, parent=parent, kind="client", tags=values)


def root(ms: float, name: str = "POST /orders") -> dict[str, Any]:
    return span("root", name, 0, ms, kind="server")


def test_time_in_children_is_not_the_time_of_the_endpoint() -> None:
    """An endpoint that took 5.12 s had 242 ms of its own: the rest was the write lock and three calls."""
    parts = (
        sql("b1", "BEGIN IMMEDIATE", 100, 1292, **{"db.sqlite.waited_for": "write lock"}),
        span("c1", "PUT", 1400, 499, parent="root", kind="client", tags=call("http://a/x")),
        sql("b2", "BEGIN IMMEDIATE", 2000, 467, **{"db.sqlite.waited_for": "write lock"}),
        span("c2", "PUT", 2500, 378, parent="root", kind="client", tags=call("http://b/x")),
        span("c3", "PUT", 3000, 364, parent="root", kind="client", tags=call("http://c/x")),
    )
    assert worst(root(3400), *parts) == (
        "lock",
        "in order-service POST /orders",
        "waiting for the write lock, 2 x BEGIN IMMEDIATE",
        1759,
    )


def test_equal_queries_are_added_up_and_called_an_n_plus_1() -> None:
    queries = [sql(f"q{n}", f"SELECT items.a FROM items WHERE items.id = {n}", n * 10, 9) for n in range(1, 31)]
    assert worst(root(400), *queries) == (
        "query",
        "in order-service POST /orders",
        "30 x SELECT … FROM items WHERE id = ?, an N+1",
        270,
    )


def test_equal_queries_of_many_requests_are_no_n_plus_1() -> None:
    members = [root(1000)]
    for n in range(30):
        served: dict[str, Any] = {"parent": "root", "kind": "server", "service": "inventory-service"}
        members.append(span(f"s{n}", "GET /items", n * 20, 10, **served))
        members.append(sql(f"q{n}", "SELECT 1", n * 20 + 1, 8, f"s{n}") | {"processID": "inventory-service"})
    (one,) = [one for one in found(*members) if one.kind is Kind.QUERY]
    assert (one.what, one.count, one.time) == ("30 x SELECT ?", 30, 240_000)


def test_what_a_server_does_not_cover_of_a_call_is_the_network_or_a_queue() -> None:
    client = span("c", "PUT", 10, 80, parent="root", kind="client", tags=call("http://a/charges"))
    server = span("s", "PUT /charges", 60, 20, parent="c", kind="server", service="payment-service")
    assert worst(root(100), client, server) == (
        "network",
        "between order-service and payment-service",
        "network or queue, PUT /charges",
        60,
    )


def test_calls_of_one_address_with_other_ids_are_equal() -> None:
    ids = [f"0b9ff5f2-6d3f-4a43-9d3f-6f0e2a1f2f{n}" for n in range(10, 22)]
    calls = [
        span(f"c{n}", "PUT", 10 * n, 9, parent="root", kind="client", tags=call(f"http://a:1/charges/{one}"))
        for n, one in enumerate(ids)
    ]
    (one,) = [one for one in found(root(130), *calls) if one.kind is Kind.CALL]
    assert (one.count, one.time) == (12, 108_000)
    assert one.what.startswith("12 x PUT a:1/charges/0b9ff5f2-6d3f")
    assert ", an N+1" in one.what


def test_a_call_whose_other_side_sent_no_span_says_so() -> None:
    client = span("c", "PUT", 10, 80, parent="root", kind="client", tags=call("http://a:1/charges?x=1"))
    assert worst(root(100), client) == (
        "call",
        "in order-service POST /orders",
        "PUT a:1/charges, no span of the other side",
        80,
    )


@pytest.mark.parametrize("name", ["connect", "pg-pool.connect", "HikariDataSource.getConnection"])
def test_the_checkout_of_a_connection_is_a_wait_for_the_pool(name: str) -> None:
    checkout = span("c", name, 10, 80, parent="root", kind="client", tags={"db.system": "postgresql"})
    assert worst(root(100), checkout)[0::2] == ("pool", f"waiting for a connection of the pool, {name}")


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("BEGIN EXCLUSIVE", "waiting for the lock, BEGIN EXCLUSIVE"),
        ("SELECT pg_advisory_lock(1)", "waiting for the lock, SELECT pg_advisory_lock(1)"),
        ("SELECT a FROM t FOR UPDATE", "SELECT … FROM t FOR UPDATE, which also waits for row locks"),
        ("COMMIT", "COMMIT"),
    ],
)
def test_statements_that_wait_for_locks_are_told(statement: str, what: str) -> None:
    assert worst(root(100), sql("q", statement, 10, 80))[2] == what


@pytest.mark.parametrize(
    ("first", "second", "what"),
    [
        ((10, 10), (80, 15), "own code between a and b"),
        ((70, 10), (80, 15), "own code before a"),
        ((0, 10), (10, 15), "own code after b"),
        ((30, 10), (70, 10), "own code, outside its child spans"),
    ],
)
def test_a_gap_is_told_by_the_spans_around_it(first: tuple[int, int], second: tuple[int, int], what: str) -> None:
    children = (span("a", "a", *first, parent="root"), span("b", "b", *second, parent="root"))
    assert worst(root(100), *children)[:3] == ("gap", "in order-service POST /orders", what)


def test_the_code_of_a_step_is_named_with_its_endpoint() -> None:
    assert worst(root(100), span("a", "authorize_card", 10, 80, parent="root")) == (
        "code",
        "in order-service POST /orders",
        "authorize_card",
        80,
    )


def test_the_order_of_the_docs_waits_for_the_charge() -> None:
    tree = read_trace(order_trace())
    first, *others = bottlenecks(tree.root, critical_path(tree.root))
    assert (first.where, first.what, first.time) == (
        "in payment-service POST /charges",
        "own code before INSERT payment.db",
        37_000,
    )
    assert first.span.span_id == "i"
    assert [one.time for one in others] == sorted((one.time for one in others), reverse=True)


def test_a_request_that_took_no_time_has_no_bottleneck() -> None:
    tree = read_trace(trace(root(0)))
    assert bottleneck(tree.root, critical_path(tree.root)) is None


@given(random_traces())
def test_whatever_a_trace_looks_like_its_parts_add_up_to_the_request(data: dict[str, Any]) -> None:
    tree = read_trace(data)
    parts = bottlenecks(tree.root, critical_path(tree.root), len(tree.spans))
    assert sum(one.time for one in parts) == tree.root.duration
    assert all(one.where and one.what for one in parts)


def test_of_20_000_spans_14_000_equal_selects_are_the_bottleneck(backend: Backend, service: str) -> None:
    trace_id, root_id, us = secrets.token_bytes(16), b"rootroot", 1000
    select = attributes(
        {"db.system.name": "sqlite", "db.query.text": "SELECT items.sku FROM items WHERE items.sku = ?"}
    )

    def member(number: int, name: str, start: int, end: int, **fields: Any) -> Span:
        times: dict[str, Any] = {"start_time_unix_nano": START + start * us, "end_time_unix_nano": START + end * us}
        return Span(trace_id=trace_id, span_id=number.to_bytes(8), parent_span_id=root_id, name=name, **times, **fields)

    total = 20_000_000
    members = [member(int.from_bytes(root_id), "GET /report", 0, total, kind=Span.SPAN_KIND_SERVER)]
    members[0].parent_span_id = b""
    for number in range(1, 20_000):
        if number <= 14_000:
            fields: dict[str, Any] = {"kind": Span.SPAN_KIND_CLIENT, "attributes": select}
            members.append(member(number, "SELECT items", number * 1300, number * 1300 + 1279, **fields))
        else:
            members.append(member(number, f"step {number}", 18_300_000 + number, 18_300_000 + number + 1))
    for first in range(0, len(members), 5_000):
        backend.send(spans(service, *members[first : first + 5_000]))

    url = f"http://127.0.0.1:{backend.traces_port}/api/trees?traceID={trace_id.hex()}"
    (tree,) = requests.get(url, timeout=300).json()["data"]

    assert (len(tree["spans"]), tree["warnings"]) == (20_000, [])
    first = tree["bottlenecks"][0]
    assert (first["what"], first["count"]) == ("14,000 x SELECT … FROM items WHERE sku = ?, an N+1", 14_000)
    assert (first["where"], first["time"], first["total"]) == (
        f"in {service} GET /report",
        14_000 * 1279,
        total,
    )
    assert tree["spans"][first["span"]]["name"] == "SELECT items"
