"""Three replicas of order-service behind the proxy: each takes orders, and telemetry tells them apart."""

import subprocess
from collections.abc import Iterator

import pytest

from tests.stack.conftest import ARRIVAL_TIMEOUT, Order, compose, containers, place_order, service_of, state, trace
from tests.support.waiting import until

REPLICAS = 3
pytestmark = pytest.mark.timeout(600)


def scale(number: int) -> None:
    """Run so many replicas of order-service, and wait until they are healthy."""
    replicas = ("--scale", f"order-service={number}")
    compose("up", "--detach", "--no-deps", "--no-recreate", *replicas, "order-service")
    # Not by --wait, which gives up when one of them is slow to start.
    until(lambda: state("order-service").split() == ["healthy"] * number)


@pytest.fixture(scope="module")
def replicas() -> Iterator[set[str]]:
    """The ids of the containers of three replicas, cut to what is their host name."""
    scale(REPLICAS)
    try:
        yield {each["Id"][:12] for each in containers() if service_of(each) == "order-service"}
    finally:
        scale(1)


def host_of(order: Order) -> str:
    """The host.name of the order-service that placed it, or "" while its spans are not there."""
    found = trace(order.trace_id)
    processes = found["processes"].values() if found else ()
    tags = [tag for process in processes if process["serviceName"] == "order-service" for tag in process["tags"]]
    return next((str(tag["value"]) for tag in tags if tag["key"] == "host.name"), "")


def test_orders_are_spread_over_all_replicas_and_their_traces_say_which_it_was(replicas: set[str]) -> None:
    assert len(replicas) == REPLICAS
    seen: set[str] = set()

    def all_have_placed_an_order() -> bool:
        order = place_order()
        assert (order.status, order.state) == (201, "CONFIRMED")
        seen.add(until(lambda: host_of(order), ARRIVAL_TIMEOUT))
        return seen >= replicas

    until(all_have_placed_an_order, 2 * ARRIVAL_TIMEOUT)
    assert seen == replicas


def test_no_order_fails_while_a_replica_stops(replicas: set[str]) -> None:
    (first, *_others) = sorted(replicas)
    placed = [place_order() for _ in range(5)]
    subprocess.run(["docker", "stop", first], check=True, capture_output=True)
    placed += [place_order() for _ in range(20)]
    assert {(order.status, order.state) for order in placed} == {(201, "CONFIRMED")}
