"""A backend, or the Collector itself, is away for a minute under load: no order fails, and no telemetry is lost."""

import pytest

from local.registry import SERVICES
from tests.stack.conftest import (
    ARRIVAL_TIMEOUT,
    IN_AN_ORDER,
    MINUTE,
    Order,
    away,
    containers,
    load,
    loki,
    prometheus,
    service_of,
    services_in,
    trace,
)
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(600)


def confirmed(orders: list[Order]) -> bool:
    return {(order.status, order.state) for order in orders} == {(201, "CONFIRMED")}


def incomplete(orders: list[Order]) -> list[str]:
    """Those whose trace lacks a service."""
    return [order.trace_id for order in orders if services_in(trace(order.trace_id)) != IN_AN_ORDER]


def without_logs(orders: list[Order]) -> list[str]:
    """Those of which Loki has no line that says how the order ended."""
    lines = loki('{service_name="order-service"} |= "order settled"', limit=5000)
    logged = {stream["stream"]["trace_id"] for stream in lines}
    return [order.trace_id for order in orders if order.trace_id not in logged]


@pytest.fixture(scope="module")
def minute_without_backends() -> list[Order]:
    """The orders of a minute in which Jaeger, Loki and Prometheus were away."""
    with away("jaeger", "loki", "prometheus"):
        return load(MINUTE)


def test_no_order_fails_while_the_backends_are_away(minute_without_backends: list[Order]) -> None:
    assert confirmed(minute_without_backends)


def test_the_traces_of_a_minute_without_jaeger_arrive_later(minute_without_backends: list[Order]) -> None:
    until(lambda: not incomplete(minute_without_backends), 2 * ARRIVAL_TIMEOUT)


def test_the_logs_of_a_minute_without_loki_arrive_later(minute_without_backends: list[Order]) -> None:
    until(lambda: not without_logs(minute_without_backends), 2 * ARRIVAL_TIMEOUT)


def test_the_orders_of_a_minute_without_prometheus_are_counted(minute_without_backends: list[Order]) -> None:
    def counted() -> float:
        return float(prometheus('sum(orders_created_total{status="success"}) or vector(0)')[0]["value"][1])

    until(lambda: counted() >= len(minute_without_backends), ARRIVAL_TIMEOUT)


def test_no_order_fails_and_no_service_outgrows_its_memory_while_the_collector_is_away() -> None:
    with away("otel-collector"):
        assert confirmed(load(MINUTE))
    services = [container for container in containers() if service_of(container).endswith("-service")]
    assert len(services) == len(SERVICES)
    for container in services:
        assert container["RestartCount"] == 0
        assert not container["State"]["OOMKilled"]
    newest = load(1)
    until(lambda: not incomplete(newest), ARRIVAL_TIMEOUT)
