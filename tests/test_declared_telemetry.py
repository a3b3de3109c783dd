"""What the services' own code emits is declared in their telemetry.py, and what is declared is emitted."""

import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest

from tests.support.telemetry_receiver import LogRecord, Point, Span
from tests.support.tested_services import TESTED
from tests.support.traced_shop import CUSTOMER, TracedShop

pytestmark = pytest.mark.xdist_group("traced_shop")

PREFIXES = tuple(f"{service}." for service in TESTED)
PLAIN_LABELS = {"status", "region"}
"""The attributes of orders.* whose names were promised without a prefix."""

HARD_TO_BRING_ABOUT = {
    "order": {"refund_payment"},  # follows a refusal that no peer has a reason for, or two minutes of trying
}


def declared(service: str) -> Any:
    return import_module(f"services.{service}.telemetry")


def of(service: str, signals: list[Any]) -> list[Any]:
    return [signal for signal in signals if signal.service == f"{service}-service"]


def own_spans(service: str, shop: TracedShop) -> list[Span]:
    return [span for span in of(service, shop.receiver.spans) if span.scope.startswith("services.")]


def own_points(service: str, shop: TracedShop) -> list[Point]:
    return [point for point in of(service, shop.receiver.points) if point.scope.startswith("services.")]


def domain_attributes(service: str, shop: TracedShop) -> set[str]:
    """The names of all attributes, wherever they stand, that belong to a domain."""
    signals = of(service, shop.receiver.spans) + of(service, shop.receiver.points) + of(service, shop.receiver.logs)
    own = own_spans(service, shop) + own_points(service, shop)
    prefixed = {name for signal in signals for name in signal.attributes if name.startswith(PREFIXES)}
    return prefixed | {name for signal in own for name in signal.attributes}


@pytest.mark.parametrize("service", TESTED)
def test_each_span_is_declared_and_each_declared_span_emitted(service: str, traced_shop: TracedShop) -> None:
    emitted = {span.name for span in own_spans(service, traced_shop)}
    assert emitted == declared(service).SPANS.keys() - HARD_TO_BRING_ABOUT.get(service, set())


@pytest.mark.parametrize("service", TESTED)
def test_each_metric_is_declared_and_each_declared_metric_emitted(service: str, traced_shop: TracedShop) -> None:
    emitted = {point.name for point in own_points(service, traced_shop)}
    assert emitted == declared(service).METRICS.keys()


@pytest.mark.parametrize("service", TESTED)
def test_each_attribute_is_declared_and_each_declared_attribute_emitted(service: str, traced_shop: TracedShop) -> None:
    emitted = domain_attributes(service, traced_shop) - PLAIN_LABELS
    assert emitted == declared(service).ATTRIBUTES.keys()


@pytest.mark.parametrize("service", TESTED)
def test_each_declaration_is_a_sentence_under_a_name_of_the_services_domain(service: str) -> None:
    telemetry = declared(service)
    for name, meaning in {**telemetry.SPANS, **telemetry.ATTRIBUTES, **telemetry.METRICS}.items():
        assert re.fullmatch(r"[a-z][a-z0-9_.]*", name)
        assert meaning.endswith("."), meaning
    assert all(name.startswith(PREFIXES) for name in telemetry.ATTRIBUTES)
    assert all(name.startswith((f"{service}.", f"{service}s.")) for name in telemetry.METRICS)


def test_the_promised_instruments_have_the_promised_forms(traced_shop: TracedShop) -> None:
    points = own_points("order", traced_shop)
    forms = {(point.name, point.kind, point.unit, tuple(sorted(point.attributes))) for point in points}
    assert forms == {
        ("orders.created", "sum", "1", ("region", "status")),
        ("orders.processing_time", "histogram", "ms", ("region", "status")),
        ("orders.active", "sum", "1", ("region",)),
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


def test_no_signal_holds_a_card_an_address_a_customer_or_a_payment_token(traced_shop: TracedShop) -> None:
    receiver = traced_shop.receiver
    signals: list[Span | Point | LogRecord] = [*receiver.spans, *receiver.points, *receiver.logs]
    found = set()
    for signal in signals:
        for text in texts(vars(signal)):
            if CUSTOMER in text or "tok_" in text or re.search(r"[\w.]+@[\w-]+\.\w", text):
                found.add(text)
            if re.search(r"(?<![\w.])(\d[ -]?){13,19}(?![\w.])", UUID.sub("", text)) and not text.isdigit():
                found.add(text)
    assert found == set()
