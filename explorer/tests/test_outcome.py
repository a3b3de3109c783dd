"""Failed or refused: one definition, and every view counts by it."""

import secrets
import time
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from waybill_explorer.outcome import Outcome, Problem, outcomes, own_outcome
from waybill_explorer.trace_tree import read_trace

from .conftest import SECOND, START, Backend, attributes, span, spans

CLIENT, SERVER = Span.SPAN_KIND_CLIENT, Span.SPAN_KIND_SERVER
OK, REFUSED, FAILED, UNEXPLAINED = Outcome
HTTP, GRPC = "http.response.status_code", "rpc.grpc.status_code"
US = START // 1000


def error(text: str = "") -> Status:
    return Status(code=Status.STATUS_CODE_ERROR, message=text)


@pytest.mark.parametrize(
    ("is_error", "values", "outcome"),
    [
        (False, {}, OK),
        (True, {}, UNEXPLAINED),
        (False, {HTTP: 201}, OK),
        (False, {HTTP: 404}, REFUSED),
        (True, {HTTP: 402}, REFUSED),
        (False, {HTTP: 503}, FAILED),
        (True, {HTTP: 200}, UNEXPLAINED),
        (True, {"http.status_code": "409"}, REFUSED),
        (True, {HTTP: "nonsense"}, UNEXPLAINED),
        (True, {GRPC: 5}, REFUSED),
        (True, {GRPC: 14}, FAILED),
        (False, {GRPC: 0}, OK),
        (True, {"rpc.response.status_code": "DEADLINE_EXCEEDED"}, FAILED),
        (True, {"rpc.response.status_code": "NOT_FOUND"}, REFUSED),
    ],
)
def test_what_a_span_says_of_itself(is_error: bool, values: dict[str, object], outcome: Outcome) -> None:
    assert own_outcome(is_error, values) is outcome


@pytest.mark.parametrize(
    ("problems", "expected"),
    [
        ([("step", None, UNEXPLAINED, 9)], [FAILED]),
        ([("step", None, UNEXPLAINED, 9), ("call", "step", REFUSED, 5)], [REFUSED, REFUSED]),
        (
            [("order", None, UNEXPLAINED, 9), ("step", "order", UNEXPLAINED, 8), ("call", "step", REFUSED, 5)],
            [REFUSED] * 3,
        ),
        (
            [("step", None, UNEXPLAINED, 9), ("try 1", "step", FAILED, 2), ("try 2", "step", REFUSED, 5)],
            [REFUSED, FAILED, REFUSED],
        ),
        (
            [("step", None, UNEXPLAINED, 9), ("try 2", "step", FAILED, 5), ("try 1", "step", REFUSED, 2)],
            [FAILED, FAILED, REFUSED],
        ),
        ([("request", None, REFUSED, 9), ("check", "request", UNEXPLAINED, 5)], [REFUSED, REFUSED]),
        (
            [("request", None, REFUSED, 9), ("check", "request", UNEXPLAINED, 5), ("x", "check", UNEXPLAINED, 4)],
            [REFUSED] * 3,
        ),
        ([("request", None, FAILED, 9), ("check", "request", UNEXPLAINED, 5)], [FAILED, FAILED]),
        ([("a", "b", UNEXPLAINED, 1), ("b", "a", UNEXPLAINED, 1)], [FAILED, FAILED]),
        ([("a", "a", UNEXPLAINED, 1)], [FAILED]),
    ],
    ids=[
        "alone",
        "refused below",
        "two levels",
        "refused at last",
        "failed at last",
        "a step of a refused request",
        "a step of a step",
        "a step of a failed one",
        "a ring",
        "its own parent",
    ],
)
def test_an_error_without_a_response_is_what_the_last_of_its_children_is(
    problems: list[tuple[str, str | None, Outcome, int]], expected: list[Outcome]
) -> None:
    assert outcomes([Problem(*problem) for problem in problems]) == expected


def test_a_chain_of_many_errors_is_explained_by_its_end() -> None:
    chain = [Problem(str(n), str(n - 1), UNEXPLAINED, 100_000 - n) for n in range(1, 50_000)]
    assert set(outcomes([*chain, Problem("end", "49999", REFUSED, 1)])) == {REFUSED}


def send_declined(backend: Backend, service: str, **times: Any) -> bytes:
    """Store an order whose card was declined: the request succeeded, its call was refused."""
    trace_id, order, step, called = secrets.token_bytes(16), b"ordersid", b"charging", b"callcall"
    backend.send(
        spans(
            service,
            span(trace_id, "POST /orders", span_id=order, kind=SERVER, ms=50, attributes={HTTP: 201}, **times),
            span(
                trace_id, "charge", span_id=step, parent=order, ms=40, status=error("Refused: card declined"), **times
            ),
            span(
                trace_id,
                "PUT",
                span_id=called,
                parent=step,
                kind=CLIENT,
                ms=30,
                status=error(),
                attributes={HTTP: 402},
                **times,
            ),
        ),
        spans(
            f"{service}-payment",
            span(trace_id, "PUT /charges", parent=called, kind=SERVER, ms=20, attributes={HTTP: 402}, **times),
        ),
    )
    return trace_id


def test_list_services_map_and_terminal_agree_on_a_refusal(backend: Backend, service: str) -> None:
    trace_id = send_declined(backend, service)

    (summary,) = backend.get("/api/summaries", service=service)
    assert (summary["errors"], summary["refusals"], summary["problem"]) == (0, 3, "Refused: card declined")
    (tree,) = backend.get("/api/trees", traceID=trace_id.hex())
    assert [(one["name"], one["failed"], one["refused"]) for one in tree["spans"]] == [
        ("POST /orders", False, False),
        ("charge", False, True),
        ("PUT", False, True),
        ("PUT /charges", False, True),
    ]
    terminal = read_trace(backend.get(f"/api/traces/{trace_id.hex()}")[0])
    assert [one.refused for one in terminal.spans] == [one["refused"] for one in tree["spans"]]
    found = backend.get("/api/map", start=US, end=US + 10_000_000)
    shares = {one["service"]: (one["errors"], one["refused"]) for one in found["services"]}
    assert (shares[service], shares[f"{service}-payment"]) == ((0, 0), (0, 1))
    for name, outcome in ((service, "ok"), (f"{service}-payment", "refused")):
        detail = backend.get(f"/api/services/{name}/requests", start=US, end=US + 10_000_000)
        assert [one["outcome"] for one in detail["slowest"]] == [outcome]
        assert [one["refused"] for one in detail["operations"]] == [outcome == "refused"]


def test_failures_are_found_apart_from_refusals(backend: Backend, service: str) -> None:
    declined = send_declined(backend, service)
    broken = secrets.token_bytes(16)
    backend.send(spans(service, span(broken, "GET /", kind=SERVER, attributes={HTTP: 503}, status=error())))

    def found(**query: int) -> list[str]:
        return [one["traceID"] for one in backend.get("/api/summaries", service=service, **query)]

    assert found(failed=1) == [broken.hex()]
    assert found(refused=1) == [declined.hex()]
    assert found(failed=1, refused=1) == []


def test_what_explains_a_span_may_arrive_later(backend: Backend, service: str) -> None:
    trace_id, step = secrets.token_bytes(16), b"charging"
    backend.send(spans(service, span(trace_id, "charge", span_id=step, status=error())))
    (summary,) = backend.get("/api/summaries", service=service)
    assert (summary["errors"], summary["refusals"], summary["problem"]) == (1, 0, "charge ERROR")
    refused = span(trace_id, "PUT", parent=step, kind=CLIENT, attributes={HTTP: 402}, status=error())
    backend.send(spans(service, refused))
    (summary,) = backend.get("/api/summaries", service=service)
    assert (summary["errors"], summary["refusals"], summary["problem"]) == (0, 2, "PUT 402")


def test_the_list_tells_the_status_text_or_the_exception_of_the_first_failure(backend: Backend, service: str) -> None:
    trace_id = secrets.token_bytes(16)
    exception = Span.Event(
        name="exception", attributes=attributes({"exception.type": "OSError", "exception.message": "disk\nfull"})
    )
    backend.send(
        spans(
            service,
            span(trace_id, "later", ms=90, status=error("consequence")),
            span(trace_id, "first", ms=10, status=error(), events=[exception]),
            span(trace_id, "call", ms=5, kind=CLIENT, status=error(), attributes={HTTP: 500}),
        )
    )
    (summary,) = backend.get("/api/summaries", service=service)
    assert (summary["errors"], summary["problem"]) == (3, "OSError: disk full")


@pytest.mark.parametrize("status", [100, 200, 255, 256, 302, 383, 384, 399, 400, 404, 499, 500, 599, 600])
def test_a_response_without_an_error_status_counts_by_its_code(backend: Backend, service: str, status: int) -> None:
    backend.send(spans(service, span(secrets.token_bytes(16), "GET", kind=SERVER, attributes={"a": "x", HTTP: status})))
    (summary,) = backend.get("/api/summaries", service=service)
    assert (summary["refusals"], summary["errors"]) == (400 <= status < 500, 500 <= status < 600)


def test_of_very_many_errors_all_are_counted(backend: Backend, service: str) -> None:
    trace_id = secrets.token_bytes(16)
    for part in range(3):
        members = [
            span(trace_id, "step", status=error(), kind=CLIENT, attributes={HTTP: 404 if n % 2 else 500}, at=START + n)
            for n in range(part * 800, part * 800 + 800)
        ]
        backend.send(spans(service, *members))
    (summary,) = backend.get("/api/summaries", service=service)
    assert (summary["errors"], summary["refusals"]) == (1_200, 1_200)


def test_a_trace_whose_root_is_awaited_or_in_another_system_is_marked(backend: Backend, service: str) -> None:
    trace_id = secrets.token_bytes(16)
    query = span(trace_id, "BEGIN order", parent=b"servedby", kind=CLIENT, at=START - SECOND)
    backend.send(spans(service, query))
    (summary,) = backend.get("/api/summaries", service=service)
    assert summary["root"] == "awaited"
    backend.send(spans(service, span(trace_id, "POST /orders", span_id=b"servedby", parent=b"upstream", kind=SERVER)))
    (summary,) = backend.get("/api/summaries", service=service)
    assert (summary["root"], summary["operation"]) == ("awaited", "POST /orders")
    (tree,) = backend.get("/api/trees", traceID=trace_id.hex())
    assert (tree["isRooted"], tree["spans"][tree["root"]]["name"]) == (False, "POST /orders")
    backend.send(spans(service, span(trace_id, "click", span_id=b"upstream", at=time.time_ns())))
    (summary,) = backend.get("/api/summaries", service=service)
    assert (summary["root"], summary["operation"]) == ("stored", "click")
    (tree,) = backend.get("/api/trees", traceID=trace_id.hex())
    assert (tree["isRooted"], tree["spans"][tree["root"]]["name"]) == (True, "click")
