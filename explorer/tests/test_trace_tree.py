"""What is read out of a trace: its tree, its critical path, its request, what has yet to arrive."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waybill_explorer.trace_tree import Trace, critical_path, read_trace, total, unfinished, walk

from .jaeger_json import call, order_trace, span, trace


def critical_ms(data: dict[str, Any]) -> dict[str, float]:
    """Span id -> ms on the critical path, of the spans that are on it."""
    read = read_trace(data)
    return {span_id: total(path) / 1000 for span_id, path in critical_path(read.root).items() if path}


def shape(read: Trace) -> dict[str, list[str]]:
    return {span.span_id: [child.span_id for child in span.children] for span in read.spans if span.children}


def test_spans_in_any_order_become_a_tree_whose_children_are_ordered_by_time() -> None:
    data = order_trace()
    data["spans"].reverse()

    read = read_trace(data)

    assert shape(read) == {
        "a": ["b"],
        "b": ["c", "g"],
        "c": ["d"],
        "d": ["e"],
        "e": ["f"],
        "g": ["h"],
        "h": ["i"],
        "i": ["j"],
    }
    assert read.root.span_id == "a"
    assert read.services == ["order-service", "inventory-service", "payment-service"]


def test_the_critical_path_walks_back_through_the_child_that_finished_last() -> None:
    data = trace(
        span("root", "GET", 0, 100),
        span("early", "a", 10, 30, parent="root"),
        span("late", "b", 50, 40, parent="root"),
    )

    assert critical_path(read_trace(data).root)["root"] == [
        (data["spans"][0]["startTime"] + start * 1000, data["spans"][0]["startTime"] + end * 1000)
        for start, end in ((0, 10), (40, 50), (90, 100))
    ]
    assert critical_ms(data) == {"root": 30, "early": 30, "late": 40}


def test_of_children_that_run_at_once_only_the_one_that_ends_last_is_critical() -> None:
    data = trace(
        span("root", "GET", 0, 100),
        span("quick", "a", 10, 40, parent="root"),
        span("slow", "b", 10, 80, parent="root"),
    )

    assert critical_ms(data) == {"root": 20, "slow": 80}


def test_a_child_that_outlasts_its_parent_is_clipped_and_one_that_begins_after_it_is_left_out() -> None:
    data = trace(
        span("root", "GET", 0, 100),
        span("outlasts", "a", 60, 500, parent="root"),
        span("afterwards", "b", 200, 10, parent="root"),
    )

    assert critical_ms(data) == {"root": 60, "outlasts": 40}


def test_asynchronous_children_hold_nobody_up() -> None:
    data = trace(
        span("root", "POST", 0, 100, kind="server"),
        span("follows", "a", 10, 80, parent="root", follows=True),
        span("consumes", "b", 10, 85, parent="root", kind="consumer"),
    )

    assert critical_ms(data) == {"root": 100}


def test_a_server_whose_clock_is_off_is_centered_inside_its_call_with_all_that_is_under_it() -> None:
    data = trace(
        span("call", "POST", 0, 100, kind="client"),
        span("answer", "POST /charges", 5000, 60, parent="call", kind="server", service="payment-service"),
        span("sql", "INSERT", 5010, 30, parent="answer", service="payment-service"),
    )

    spans = {span.span_id: span for span in read_trace(data).spans}

    assert spans["answer"].start - spans["call"].start == 20_000
    assert spans["sql"].start - spans["answer"].start == 10_000
    assert critical_ms(data) == {"call": 40, "answer": 30, "sql": 30}


def test_a_server_that_works_on_after_its_caller_gave_up_keeps_its_own_time() -> None:
    data = trace(
        span("call", "POST", 0, 50, kind="client"),
        span("answer", "POST /charges", 10, 60, parent="call", kind="server", service="payment-service"),
    )

    assert critical_ms(data) == {"call": 10, "answer": 40}


@st.composite
def random_traces(draw: st.DrawFn) -> dict[str, Any]:
    """Traces with any parents (also none, themselves and unknown ones) and any times."""
    size = draw(st.integers(1, 12))
    parents = st.sampled_from([None, "unknown", *(str(index) for index in range(size))])
    times = st.integers(0, 50)
    kinds = st.sampled_from(["server", "client", "internal", "consumer"])
    services = st.sampled_from(["order-service", "payment-service"])
    return trace(
        *(
            span(str(i), "x", draw(times), draw(times), parent=draw(parents), kind=draw(kinds), service=draw(services))
            for i in range(size)
        )
    )


@given(random_traces())
def test_whatever_a_trace_looks_like_its_critical_path_covers_its_root_exactly_once(data: dict[str, Any]) -> None:
    read = read_trace(data)

    sections = sorted(section for path in critical_path(read.root).values() for section in path)

    assert sorted(span.span_id for span in walk(read.roots)) == sorted(raw["spanID"] for raw in data["spans"])
    assert total(sections) == read.root.duration
    if sections:
        assert (sections[0][0], sections[-1][1]) == (read.root.start, read.root.end)
        assert all(left[1] == right[0] for left, right in pairwise(sections))


def test_spans_without_their_parent_stand_as_roots_beside_the_request() -> None:
    read = read_trace(
        trace(
            span("orphan", "GET /items", 1, 500, parent="lost", kind="server"),
            span("root", "POST /orders", 5, 100, kind="server"),
        )
    )

    assert [root.span_id for root in read.roots] == ["orphan", "root"]
    assert read.root.span_id == "root"
    assert read.missing == {"lost"}


def test_until_the_request_has_arrived_the_first_span_that_served_a_call_stands_in_for_it() -> None:
    read = read_trace(
        trace(
            span("query", "SELECT", 1, 5, parent="lost", kind="client"),
            span("late", "GET /b", 9, 5, parent="lost", kind="server"),
            span("first", "GET /a", 4, 5, parent="query", kind="server"),
        )
    )

    assert read.root.span_id == "first"


def test_both_of_two_spans_with_one_id_are_kept() -> None:
    read = read_trace(trace(span("a", "x", 0, 9), span("a", "y", 1, 2)))

    assert [one.span_id for one in read.spans] == ["a", "a-2"]


def test_spans_whose_parents_form_a_ring_are_kept() -> None:
    read = read_trace(trace(span("a", "x", 0, 9, parent="b"), span("b", "y", 1, 2, parent="a")))

    assert [root.span_id for root in read.roots] == ["a"]
    assert shape(read) == {"a": ["b"]}


def test_links_to_other_traces_are_not_parents() -> None:
    other = "ab" * 16

    root = read_trace(trace(span("root", "process_order", 0, 10, links=(other,)))).root

    assert (root.parent_id, [link.trace_id for link in root.links]) == (None, [other])


def test_a_chain_of_ten_thousand_spans_is_read_and_measured() -> None:
    chain = [span("0", "x", 0, 20_000, kind="server")]
    chain += [span(str(i), "x", i, 20_000 - i, parent=str(i - 1)) for i in range(1, 10_000)]

    root = read_trace(trace(*chain)).root
    path = critical_path(root)

    assert sum(map(total, path.values())) == root.duration


def test_a_trace_without_spans_is_refused() -> None:
    with pytest.raises(ValueError, match="no spans"):
        read_trace({"traceID": "x", "spans": [], "processes": {}})


SERVER = span("a", "POST /orders", 0, 96, kind="server")
CLIENT = span("b", "POST", 1, 90, parent="a", kind="client", tags=call("http://127.0.0.1:8081/reservations"))
PEER = span("c", "POST /reservations", 2, 80, parent="b", kind="server", service="inventory-service")


@pytest.mark.parametrize(
    ("spans", "logged", "expected"),
    [
        pytest.param([CLIENT, PEER], None, (True, False), id="the request's own span is not there"),
        pytest.param([SERVER, PEER], None, (True, False), id="a parent is not there"),
        pytest.param([SERVER, CLIENT], None, (False, True), id="the other side of a call is not there"),
        pytest.param([SERVER, CLIENT, PEER], {"order-service"}, (False, True), id="a service's logs are not there"),
        pytest.param([SERVER, CLIENT, PEER], None, (False, False), id="all is there and there are no logs"),
        pytest.param([SERVER, CLIENT, PEER], {"order-service", "inventory-service"}, (False, False), id="all is there"),
    ],
)
def test_what_has_yet_to_arrive_is_seen_in_the_trace_itself(
    spans: list[dict[str, Any]], logged: set[str] | None, expected: tuple[bool, bool]
) -> None:
    assert unfinished(read_trace(trace(*spans)), logged) == expected
