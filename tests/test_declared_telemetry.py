"""What the services emit is declared in the registry of telemetry, and what is declared is emitted."""

import ast
import re
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from local.registry import ALL
from local.settings import ROOT
from local.telemetry_files import description
from local.telemetry_registry import KIT, Event, Group, Metric, read
from tests.support.declared_telemetry import differences, instrument, missing, over_budget
from tests.support.telemetry_receiver import LogRecord, Point, Signal, Span
from tests.support.tested_services import TESTED
from tests.support.traced_shop import CUSTOMER, TracedShop

pytestmark = pytest.mark.xdist_group("traced_shop")

REGISTRY = read(ALL)

HARD_TO_BRING_ABOUT = {
    # Outages, long waits, and what no client of ours sends.
    "span.kit.db.begin",
    "event.kit.background.failed",
    "event.kit.cache.unavailable",
    "event.kit.circuit_breaker.closed",
    "event.kit.circuit_breaker.half_opened",
    "event.kit.circuit_breaker.opened",
    "event.kit.health.not_ready",
    "event.kit.request.bad_gateway",
    "event.kit.request.failed",
    "event.kit.request.unavailable",
    "event.kit.gunicorn client.address",
    "event.kit.gunicorn exception.message",
    "event.kit.gunicorn exception.stacktrace",
    "event.kit.gunicorn exception.type",
    "span.kit.http.server url.query",
    # The services of these tests are on SQLite.
    "span.kit.db.client server.address",
    "span.kit.db.client server.port",
    # They follow refusals that no dependency has a reason for, two minutes of trying, or a lost lease.
    "event.order.dead_letter",
    "event.order.lease_lost",
    "event.order.timed_out",
    "span.order.process_order order.dead_letter_step",
    "span.order.refund_payment",
}
"""Of the log records, the test of the log calls below makes sure that they exist."""

SEVERITIES = {"info": "INFO", "warning": "WARN", "error": "ERROR", "exception": "ERROR"}


def all_signals(shop: TracedShop) -> list[Signal]:
    return [*shop.receiver.spans, *shop.receiver.points, *shop.receiver.logs]


def of(service: str, signals: list[Any]) -> list[Any]:
    return [signal for signal in signals if signal.service == f"{service}-service"]


def own_points(service: str, shop: TracedShop) -> list[Point]:
    return [point for point in of(service, shop.receiver.points) if point.scope.startswith("services.")]


@pytest.mark.parametrize("service", TESTED)
def test_each_span_point_and_log_record_is_as_it_is_declared(service: str, traced_shop: TracedShop) -> None:
    assert differences(REGISTRY, of(service, all_signals(traced_shop))) == set()


@pytest.mark.parametrize("owner", [KIT, *TESTED])
def test_what_is_declared_is_emitted(owner: str, traced_shop: TracedShop) -> None:
    assert missing(REGISTRY, owner, all_signals(traced_shop)) - HARD_TO_BRING_ABOUT == set()


def test_what_is_hard_to_bring_about_is_declared() -> None:
    groups = {group.id: {each.name for each in REGISTRY.attributes(group)} for group in REGISTRY.groups(Group)}
    for name in HARD_TO_BRING_ABOUT:
        group, _, attribute = name.partition(" ")
        assert group in groups
        assert not attribute or attribute in groups[group]


@pytest.mark.parametrize("service", TESTED)
def test_no_instrument_has_more_series_than_its_budget(service: str, traced_shop: TracedShop) -> None:
    assert over_budget(REGISTRY, of(service, traced_shop.receiver.points)) == set()


@pytest.mark.parametrize("service", TESTED)
def test_each_instrument_has_the_description_that_is_declared(service: str, traced_shop: TracedShop) -> None:
    declared = {metric.metric_name: description(metric) for metric in REGISTRY.groups(Metric, service)}
    assert {point.name: point.description for point in own_points(service, traced_shop)} == declared


def one_point(shop: TracedShop, name: str) -> Point:
    return next(point for point in shop.receiver.points if point.name == name)


def with_attributes(signal: Any, **attributes: Any) -> Any:
    named = {name.replace("__", "."): value for name, value in attributes.items()}
    return replace(signal, attributes={**signal.attributes, **named})


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"name": "orders.made"}, "is not declared"),
        ({"unit": "{order}"}, "unit is '{order}', not '1'"),
        ({"monotonic": False}, "instrument is 'updowncounter', not 'counter'"),
        ({"kind": "gauge"}, "instrument is 'gauge', not 'counter'"),
        ({"attributes": {"status": "success", "region": "eu", "order.id": "1"}}, "order.id is not declared"),
        ({"attributes": {"status": "success"}}, "region is absent"),
        ({"attributes": {"status": "success", "region": "mars"}}, "region is 'mars', which is not a member"),
        ({"attributes": {"status": "success", "region": 1}}, "region is int, not string"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_point_that_differs_from_its_declaration_is_found(
    changes: dict[str, Any], found: str, traced_shop: TracedShop
) -> None:
    point = replace(one_point(traced_shop, "orders.created"), **changes)
    assert found in " ".join(differences(REGISTRY, [point]))


def test_a_span_that_differs_from_its_declaration_is_found(traced_shop: TracedShop) -> None:
    span = next(span for span in traced_shop.receiver.spans if span.name == "reserve_stock")
    changed = {
        "is not declared": replace(span, name="hold_stock"),
        "kind is 'CLIENT', not 'INTERNAL'": replace(span, kind="CLIENT"),
        "inventory.sku is not declared": with_attributes(span, inventory__sku="TEA-SENCHA"),
        "order.id is absent": replace(span, attributes={}),
        "its event locked is not declared": replace(span, events=[("locked", {})]),
        "host.id is not declared": replace(span, resource={**span.resource, "host.id": "h"}),
        "service.version is absent": replace(span, resource={"service.name": "inventory-service"}),
    }
    for found, each in changed.items():
        assert found in " ".join(differences(REGISTRY, [each]))


def test_a_log_record_that_differs_from_its_declaration_is_found(traced_shop: TracedShop) -> None:
    record = next(record for record in traced_shop.receiver.logs if record.body == "notification sent")
    changed = {
        "is not declared": replace(record, body="sent"),
        "severity is 'WARN', not 'INFO'": replace(record, severity="WARN"),
        "order.total is not declared": with_attributes(record, order__total=1),
        "order.id is absent": replace(record, attributes={}),
    }
    for found, each in changed.items():
        assert found in " ".join(differences(REGISTRY, [each]))


def test_what_is_declared_and_not_emitted_is_found(traced_shop: TracedShop) -> None:
    signals = [signal for signal in all_signals(traced_shop) if getattr(signal, "name", "") != "keep_note"]
    assert missing(REGISTRY, "skeleton", signals) == {"span.skeleton.keep_note"}
    point = replace(one_point(traced_shop, "skeleton.notes"), attributes={})
    assert "metric.skeleton.notes skeleton.outcome" in missing(REGISTRY, "skeleton", [point])


def test_an_attribute_with_a_value_per_request_goes_over_the_budget(traced_shop: TracedShop) -> None:
    point = one_point(traced_shop, "http.server.request.duration")
    points = [with_attributes(point, http__route=f"/orders/{uuid.uuid4()}") for _ in range(201)]
    assert over_budget(REGISTRY, points[:40]) == set()
    name = f"{point.service}: http.server.request.duration"
    assert over_budget(REGISTRY, points) == {
        f"{name}: 201, at most 200 are declared",
        f"{name} http.route: 201, at most 40 are declared",
    }


def log_calls() -> Iterator[tuple[str, str, str]]:
    """Yield logger, severity and message of each call of a module's logger in the kit and the services."""
    for path in sorted([*ROOT.glob("app/*.py"), *ROOT.glob("services/*/*.py")]):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(ast.Attribute(ast.Name("logger"), method), [ast.Constant(str(message)), *_]):
                    yield _module(path), SEVERITIES[method], message


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def test_each_log_call_of_the_code_is_declared_and_each_declared_record_has_a_call() -> None:
    events = [event for event in REGISTRY.groups(Event) if event.annotations.logger != "gunicorn.error"]
    unused = {event.id for event in events if event.annotations.logger}
    for logger, severity, message in log_calls():
        pattern = ".+".join(map(re.escape, re.split(r"%[\w.]*[sdf]", message)))
        declared = {
            event.id
            for event in events
            if (event.annotations.logger, event.annotations.severity) == (logger, severity)
            and re.fullmatch(pattern, event.annotations.message)
        }
        assert declared, f"{logger} logs {message!r} with {severity}, which no telemetry.yaml declares"
        unused -= declared
    assert unused == set()


def test_the_promised_instruments_have_the_promised_forms(traced_shop: TracedShop) -> None:
    points = own_points("order", traced_shop)
    forms = {(point.name, instrument(point), point.unit, tuple(sorted(point.attributes))) for point in points}
    assert forms == {
        ("orders.created", "counter", "1", ("region", "status")),
        ("orders.processing_time", "histogram", "ms", ("region", "status")),
        ("orders.active", "updowncounter", "1", ("region",)),
        ("orders.dead_letters", "gauge", "{order}", ("order.dead_letter_step",)),
    }
    times = [point for point in points if point.name == "orders.processing_time"]
    assert {(point.bounds[0], point.bounds[-1]) for point in times} == {(1, 30000)}
    assert {point.attributes["status"] for point in times} == {"success", "failed"}
    traces = {span.trace_id for span in traced_shop.receiver.spans}
    exemplars = {trace for point in times for trace in point.exemplars}
    assert exemplars
    assert exemplars <= traces


def test_orders_are_counted_once_each_and_none_is_in_progress_at_the_end(traced_shop: TracedShop) -> None:
    created: dict[tuple[str, str], float] = {}
    active: dict[str, float] = {}
    for point in own_points("order", traced_shop):  # in order of arrival, so the last value stays
        if point.name == "orders.created":
            created[point.attributes["status"], point.attributes["region"]] = point.value
        if point.name == "orders.active":
            active[point.attributes["region"]] = point.value
    assert created == {("success", "eu"): 4, ("failed", "eu"): 3}
    assert active == {"eu": 0}


# Its digits and dashes can look like a card number.
UUID = re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")


def texts(value: Any) -> Iterator[str]:
    """Every string in a value."""
    if isinstance(value, dict):
        yield from texts([*value.keys(), *value.values()])
    elif isinstance(value, list | tuple):
        for item in value:
            yield from texts(item)
    elif value is not None:
        yield str(value)


def test_one_attribute_names_the_customer_and_none_holds_a_card_an_address_or_a_payment_token(
    traced_shop: TracedShop,
) -> None:
    receiver = traced_shop.receiver
    signals: list[Span | Point | LogRecord] = [*receiver.spans, *receiver.points, *receiver.logs]
    found, customers = set(), set()
    for signal in signals:
        # By this id the orders of a customer are found in spans and log records. A metric would have a series for each.
        allowed = {} if isinstance(signal, Point) else {"order.customer_id": ""}
        customers.add(signal.attributes.get("order.customer_id"))
        for text in texts(vars(signal) | {"attributes": signal.attributes | allowed}):
            if CUSTOMER in text or "tok_" in text or re.search(r"[\w.]+@[\w-]+\.\w", text):
                found.add(text)
            if re.search(r"(?<![\w.])(\d[ -]?){13,19}(?![\w.])", UUID.sub("", text)) and not text.isdigit():
                found.add(text)
    assert found == set()
    assert customers == {None, CUSTOMER}
