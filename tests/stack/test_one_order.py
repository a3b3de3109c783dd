"""One order, followed through every backend of the container stack."""

import math
import time

import pytest
import requests

from local.registry import REGISTRY
from tests.stack.conftest import (
    ARRIVAL_TIMEOUT,
    IN_AN_ORDER,
    Order,
    loki,
    place_order,
    prometheus,
    services_in,
    span_rows,
    trace,
    url,
)
from tests.support.waiting import until
from tests.test_trace_flow import APPROVED


@pytest.fixture(scope="module")
def order() -> Order:
    """An order that was confirmed."""
    placed = place_order()
    assert (placed.status, placed.state) == (201, "CONFIRMED")
    return placed


def edges(trace_id: str) -> set[tuple[object, object]]:
    found = trace(trace_id)
    if found is None:
        return set()
    rows = span_rows(found)
    parents = {span["spanID"]: ref["spanID"] for span in found["spans"] for ref in span["references"]}
    return {(rows[parent], rows[child]) for child, parent in parents.items() if parent in rows}


def test_jaeger_has_the_trace_with_all_services_and_edges(order: Order) -> None:
    until(lambda: services_in(trace(order.trace_id)) == IN_AN_ORDER, ARRIVAL_TIMEOUT)
    until(lambda: edges(order.trace_id) >= APPROVED, ARRIVAL_TIMEOUT)


def test_the_spans_say_in_which_environment_they_were_made(order: Order) -> None:
    found = until(lambda: trace(order.trace_id), ARRIVAL_TIMEOUT)
    tags = [tag for process in found["processes"].values() for tag in process["tags"]]
    assert {tag["value"] for tag in tags if tag["key"] == "deployment.environment.name"} == {"compose"}


def test_loki_has_the_logs_of_the_trace_from_all_services(order: Order) -> None:
    def names() -> set[str]:
        streams = loki(f'{{service_name=~".+"}} | trace_id="{order.trace_id}"')
        return {stream["stream"]["service_name"].removesuffix("-service") for stream in streams}

    until(lambda: names() == IN_AN_ORDER, ARRIVAL_TIMEOUT)


def test_prometheus_has_an_exemplar_whose_trace_is_in_jaeger(order: Order) -> None:
    def exemplars() -> list[str]:
        now = time.time()
        series = prometheus(
            "orders_processing_time_milliseconds_bucket", path="query_exemplars", start=now - 60, end=now
        )
        return [exemplar["labels"]["trace_id"] for entry in series for exemplar in entry["exemplars"]]

    assert order.trace_id
    # Not any of them: the trace of a declined order has fewer services.
    until(lambda: any(services_in(trace(each)) == IN_AN_ORDER for each in exemplars()), ARRIVAL_TIMEOUT)


def test_prometheus_has_the_service_graph(order: Order) -> None:
    services = [REGISTRY[name] for name in IN_AN_ORDER]
    expected = {
        *((service.host, REGISTRY[called].host) for service in services for called in service.calls),
        *((service.host, "valkey") for service in services if service.cache),
        *((service.host, "postgres") for service in services if service.database),
    }

    def graph() -> set[tuple[str, str]]:
        # Those of the registry alone: the storefront calls too, and so did the service that another test added.
        names = "|".join(service.host for service in REGISTRY.values())
        found = prometheus(
            f'sum by (service_name, server_address) (traces_service_graph_calls_total{{service_name=~"{names}"}})'
        )
        return {(entry["metric"]["service_name"], entry["metric"]["server_address"]) for entry in found}

    assert order.trace_id
    until(lambda: graph() == expected, ARRIVAL_TIMEOUT)


@pytest.mark.parametrize("metric", ["latencies", "calls", "errors"])
def test_jaegers_monitor_tab_has_its_metrics(minute_of_load: list[Order], metric: str) -> None:
    assert minute_of_load

    def values() -> list[float]:
        params: dict[str, str | float] = {
            "service": "order-service",
            "quantile": 0.95,
            "endTs": int(time.time() * 1000),
            "lookback": 300_000,
            "step": 5_000,
            "ratePer": 600_000,
        }
        answer = requests.get(f"{url('TRACES_PORT')}/api/metrics/{metric}", params, timeout=30).json()
        points = [point for entry in answer.get("metrics") or [] for point in entry["metricPoints"]]
        numbers = [float(point["gaugeValue"]["doubleValue"]) for point in points]
        return [number for number in numbers if math.isfinite(number)]

    until(lambda: any(value >= 0 for value in values()), ARRIVAL_TIMEOUT)
