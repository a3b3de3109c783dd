"""One order, traced end to end: which service leaves which spans, and whose children they are."""

from typing import Any

import pytest
import requests

from tests.support.telemetry_receiver import Span, matching, one
from tests.support.traced_shop import TracedShop, trace_id

pytestmark = pytest.mark.xdist_group("traced_shop")

Row = tuple[str, str, str]
"""(service without -service, kind, name)"""
Edge = tuple[Row, Row]

ORDER: Row = ("order", "SERVER", "POST /orders")
PROCESS: Row = ("order", "INTERNAL", "process_order")
VALIDATE: Row = ("order", "INTERNAL", "validate_inventory")
CHARGE: Row = ("order", "INTERNAL", "charge_payment")
NOTIFY: Row = ("order", "INTERNAL", "send_notification")
RELEASE: Row = ("order", "INTERNAL", "release_inventory")
PUT: Row = ("order", "CLIENT", "PUT")
RESERVATIONS: Row = ("inventory", "SERVER", "PUT /reservations/<uuid:order_id>")
RESERVE: Row = ("inventory", "INTERNAL", "reserve_stock")
RELEASES: Row = ("inventory", "SERVER", "PUT /reservations/<uuid:order_id>/release")
RELEASE_STOCK: Row = ("inventory", "INTERNAL", "release_stock")
CHARGES: Row = ("payment", "SERVER", "PUT /charges/<uuid:order_id>")
AUTHORIZE: Row = ("payment", "CLIENT", "authorize_card")
NOTIFICATIONS: Row = ("notification", "SERVER", "PUT /notifications/<uuid:order_id>/<string:template>")
DELIVER: Row = ("notification", "INTERNAL", "deliver")


def sql(service: str, verb: str) -> Row:
    return (service, "CLIENT", f"{verb} {service}")


def calls(step: Row, server: Row) -> list[Edge]:
    """A step of the order that calls a peer."""
    return [(PROCESS, step), (step, PUT), (PUT, server)]


RECORD: list[Edge] = [(PROCESS, sql("order", "UPDATE"))]
RESERVATION: list[Edge] = [
    *calls(VALIDATE, RESERVATIONS),
    (RESERVATIONS, RESERVE),
    *((RESERVE, sql("inventory", verb)) for verb in ("SELECT", "INSERT", "UPDATE")),
    (RESERVATIONS, ("inventory", "CLIENT", "DEL")),
]
TAKEN: list[Edge] = [
    (ORDER, PROCESS),
    (ORDER, sql("order", "INSERT")),
    *RESERVATION,
    *RECORD,
]
CHARGED: list[Edge] = [
    *calls(CHARGE, CHARGES),
    (CHARGES, AUTHORIZE),
    *((CHARGES, sql("payment", verb)) for verb in ("INSERT", "UPDATE")),
]
NOTIFIED: list[Edge] = [
    *calls(NOTIFY, NOTIFICATIONS),
    (NOTIFICATIONS, DELIVER),
    *((NOTIFICATIONS, sql("notification", verb)) for verb in ("INSERT", "UPDATE")),
]
APPROVED = {*TAKEN, *CHARGED, *NOTIFIED}
DECLINED = {
    *TAKEN,
    *CHARGED,
    *calls(RELEASE, RELEASES),
    (RELEASES, RELEASE_STOCK),
    *((RELEASE_STOCK, sql("inventory", verb)) for verb in ("SELECT", "UPDATE")),
    (RELEASES, ("inventory", "CLIENT", "DEL")),
}
FREE = {*TAKEN, *NOTIFIED}
CHARGED_LATER = {*RECORD, *CHARGED}
NOTIFIED_LATER = {*RECORD, *NOTIFIED}
SPANS = {
    "order": (
        *("POST /orders", "INSERT order", "INSERT order", "process_order"),
        *("validate_inventory", "PUT", "UPDATE order", "UPDATE order"),
        *("charge_payment", "PUT", "UPDATE order"),
        *("send_notification", "PUT", "UPDATE order"),
    ),
    "inventory": (
        *("PUT /reservations/<uuid:order_id>", "reserve_stock"),
        *("SELECT inventory", "INSERT inventory", "UPDATE inventory", "INSERT inventory", "DEL"),
    ),
    "payment": ("PUT /charges/<uuid:order_id>", "INSERT payment", "authorize_card", "UPDATE payment"),
    "notification": (
        *("PUT /notifications/<uuid:order_id>/<string:template>", "INSERT notification"),
        *("deliver", "UPDATE notification"),
    ),
}
"""What each service does for an approved order of one line, in this order. What each span is for:
docs/adr/0017-fewer-statements.md."""


def row(span: Span) -> Row:
    return (span.service.removesuffix("-service"), span.kind, span.name)


def edges(spans: list[Span]) -> set[Edge]:
    by_id = {span.span_id: span for span in spans}
    return {(row(by_id[span.parent_id]), row(span)) for span in without_waits(spans) if span.parent_id}


def without_waits(spans: list[Span]) -> list[Span]:
    """Leave out the spans of waiting for SQLite's write lock: how many there are depends on the machine."""
    return [span for span in spans if not span.name.startswith("BEGIN ")]


def step(spans: list[Span], name: str) -> Span:
    return one(spans, name=name)


def test_an_approved_order_leaves_these_spans_and_no_others(traced_shop: TracedShop) -> None:
    assert edges(traced_shop.trace(traced_shop.approved)) == APPROVED


def test_a_declined_order_leaves_the_spans_of_its_compensation(traced_shop: TracedShop) -> None:
    assert edges(traced_shop.trace(traced_shop.declined)) == DECLINED


def test_a_trace_has_one_root_which_the_client_was_told(traced_shop: TracedShop) -> None:
    for response in (traced_shop.approved, traced_shop.declined, traced_shop.recovered):
        (root,) = [span for span in traced_shop.trace(response) if not span.parent_id]
        assert row(root) == ORDER
        assert response.headers["traceresponse"].split("-")[1:3] == [root.trace_id, root.span_id]


def test_an_approved_order_leaves_29_spans(traced_shop: TracedShop) -> None:
    """One more needs a question that none of these is for: docs/adr/0017-fewer-statements.md."""
    spans = without_waits(traced_shop.trace(traced_shop.approved))
    by_service = {name: tuple(span.name for span in spans if row(span)[0] == name) for name in SPANS}
    assert by_service == SPANS
    assert len(spans) == 29


def test_what_the_card_processor_does_with_its_own_books_is_not_in_the_trace(traced_shop: TracedShop) -> None:
    for response in (traced_shop.approved, traced_shop.declined):
        spans = traced_shop.trace(response)
        assert matching(spans, parent_id=step(spans, "authorize_card").span_id) == []


def test_steps_follow_one_another(traced_shop: TracedShop) -> None:
    spans = traced_shop.trace(traced_shop.approved)
    steps = [span.name for span in spans if span.parent_id == step(spans, "process_order").span_id]
    assert [name for name in steps if " " not in name] == ["validate_inventory", "charge_payment", "send_notification"]


def test_an_approved_order_is_described_on_its_span_and_nothing_is_an_error(traced_shop: TracedShop) -> None:
    spans = traced_shop.trace(traced_shop.approved)
    order = traced_shop.approved.json()
    assert step(spans, "process_order").attributes == {
        "order.id": order["id"],
        "order.customer_id": order["customer_id"],
        "order.status": "CONFIRMED",
        "order.region": "eu",
        "order.line_count": 1,
        "order.attempt": 1,
        "order.total": 2580,
        "order.currency": "EUR",
    }
    assert [span.name for span in spans if span.status == "ERROR"] == []


def test_a_declined_card_is_an_error_where_it_was_declined_and_up_to_the_order(traced_shop: TracedShop) -> None:
    assert (traced_shop.declined.status_code, traced_shop.declined.json()["status"]) == (201, "CANCELLED")
    spans = traced_shop.trace(traced_shop.declined)
    failed = {row(span): span.status_message for span in spans if span.status == "ERROR"}
    assert failed == {
        PROCESS: "canceled: payment_declined",
        CHARGE: failed[CHARGE],
        PUT: "",
        AUTHORIZE: "the card was declined",
    }
    assert "402" in failed[CHARGE]
    assert step(spans, "process_order").attributes["order.cancel_reason"] == "payment_declined"
    assert step(spans, "authorize_card").attributes["payment.outcome"] == "declined"
    assert step(spans, "release_stock").attributes["inventory.outcome"] == "released"


def test_an_order_whose_dependency_was_unavailable_is_resumed_in_a_trace_linked_to_its_first(
    traced_shop: TracedShop,
) -> None:
    first = traced_shop.trace(traced_shop.recovered)
    attempts = [span for span in first if span.parent_id == step(first, "charge_payment").span_id]
    assert [(span.kind, span.name, span.status) for span in attempts] == [("CLIENT", "PUT", "ERROR")] * 3
    (root,) = [span for span in first if not span.parent_id]
    for later, expected in (("charge_payment", CHARGED_LATER), ("send_notification", NOTIFIED_LATER)):
        spans = traced_shop.recovery(later)
        assert edges(spans) == expected
        process = step(spans, "process_order")
        assert process.parent_id == ""
        assert process.links == [(root.trace_id, root.span_id)]
        assert process.attributes["order.attempt"] >= 2
        assert process.attributes["order.id"] == traced_shop.recovered.json()["id"]


def test_a_free_order_has_no_charge_and_its_trace_says_why(traced_shop: TracedShop) -> None:
    spans = traced_shop.trace(traced_shop.free)
    assert edges(spans) == FREE
    process = step(spans, "process_order")
    assert process.attributes["order.total"] == 0
    assert process.attributes["order.charge_skipped"] == "the total is 0"
    assert process.attributes["order.status"] == "CONFIRMED"
    assert matching(spans, status="ERROR") == []


@pytest.mark.parametrize("which", ["approved", "declined"])
def test_each_service_of_a_trace_logs_within_it(which: str, traced_shop: TracedShop) -> None:
    response: requests.Response = getattr(traced_shop, which)
    spans = {span.span_id: span.service for span in traced_shop.trace(response)}
    records = matching(traced_shop.receiver.logs, trace_id=trace_id(response))
    assert {record.service for record in records} == set(spans.values())
    for record in records:
        assert spans[record.span_id] == record.service
    messages = [str(record.body) for record in records]
    assert f"order settled: {response.json()['status']}" in messages


def test_every_record_of_a_trace_is_also_a_line_on_stdout_with_the_same_ids(traced_shop: TracedShop) -> None:
    lines = [line for process in traced_shop.processes for line in process.log_lines()]
    on_stdout = sorted(
        (line["message"], line["span_id"]) for line in lines if line.get("trace_id") == trace_id(traced_shop.approved)
    )
    over_otlp = sorted(
        (record.body, record.span_id)
        for record in matching(traced_shop.receiver.logs, trace_id=trace_id(traced_shop.approved))
    )
    assert on_stdout == over_otlp


def jaeger_edges(trace: dict[str, Any]) -> set[Edge]:
    spans = {span["spanID"]: span for span in trace["spans"]}

    def jaeger_row(span: dict[str, Any]) -> Row:
        service = trace["processes"][span["processID"]]["serviceName"].removesuffix("-service")
        kinds = [tag["value"].upper() for tag in span["tags"] if tag["key"] == "span.kind"]
        return (service, kinds[0] if kinds else "INTERNAL", span["operationName"])

    return {
        (jaeger_row(spans[reference["spanID"]]), jaeger_row(span))
        for span in trace["spans"]
        for reference in span["references"]
        if reference["refType"] == "CHILD_OF"
    }


def test_the_trace_api_shows_the_same_edges(traced_shop: TracedShop) -> None:
    (trace,) = traced_shop.explorer.get(f"/api/traces/{trace_id(traced_shop.approved)}")
    assert {edge for edge in jaeger_edges(trace) if not edge[1][2].startswith("BEGIN ")} == APPROVED


def test_the_trace_api_shows_the_link_of_a_recovery(traced_shop: TracedShop) -> None:
    (trace,) = traced_shop.explorer.get(f"/api/traces/{traced_shop.recovery('charge_payment')[0].trace_id}")
    (process,) = [span for span in trace["spans"] if span["operationName"] == "process_order"]
    follows = [ref["traceID"] for ref in process["references"] if ref["refType"] == "FOLLOWS_FROM"]
    assert follows == [trace_id(traced_shop.recovered)]
