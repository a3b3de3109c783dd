"""The chaos tool itself: its faults do what they say, and its checker sees what is broken."""

import os
import random
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import pytest
import requests
from sqlalchemy import Engine, text

from app.database import Database
from tests.conftest import Shop, running_shop
from tests.support.dependencies import dependency
from tests.support.stub_server import Answer as StubAnswer
from tests.support.stub_server import StubHandler, StubServer, serving
from tests.support.waiting import CAP, until
from tools.chaos import books
from tools.chaos.faults import faults, write_number
from tools.chaos.kinds import Kind
from tools.chaos.load import Answer, Load, SeenOrder, Wish
from tools.chaos.proxy import Armed, Proxy
from tools.chaos.stack import CLOCK

HOUR = 3600


class Upstream(StubServer):
    """Answers every request and keeps its body."""

    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[bytes] = []

    def answer(self, handler: StubHandler) -> StubAnswer:
        self.bodies.append(handler.body)
        return 201, {}, b"done"


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with serving(Upstream()) as server:
        yield server


@pytest.fixture
def proxy(upstream: Upstream) -> Iterator[Proxy]:
    running = Proxy(upstream.server_address[1], random.Random(1))
    yield running
    running.close()


def outcome(proxy: Proxy) -> int | str:
    """Send a request through the proxy; return the status, or that it was lost."""
    try:
        response = requests.post(proxy.url, b"body", timeout=60)
    except requests.RequestException:
        return "lost"
    return response.status_code


def test_a_request_that_meets_no_fault_passes(proxy: Proxy, upstream: Upstream) -> None:
    assert (outcome(proxy), upstream.bodies) == (201, [b"body"])


@pytest.mark.parametrize(
    ("kind", "seconds", "seen", "deliveries"),
    [
        (Kind.DROP_REQUEST, 0, "lost", 0),
        (Kind.DROP_ANSWER, 0, "lost", 1),
        (Kind.LATE_REQUEST, 0.1, "lost", 1),
        (Kind.DELAY_ANSWER, 0.1, 201, 1),
        (Kind.DUPLICATE, 0, 201, 2),
        (Kind.DUPLICATE, 1.1, 201, 2),
        (Kind.RESET, 0, "lost", 1),
        (Kind.DRIP, 0.1, "lost", 1),
    ],
)
def test_a_fault_strikes_one_request(
    kind: Kind, seconds: float, seen: int | str, deliveries: int, proxy: Proxy, upstream: Upstream
) -> None:
    fault = Armed(kind, seconds)
    proxy.arm(fault)
    assert outcome(proxy) == seen
    assert fault.over.wait(CAP)
    assert upstream.bodies == [b"body"] * deliveries
    assert outcome(proxy) == 201


def test_a_hanging_dependency_answers_nothing_until_it_is_over(proxy: Proxy) -> None:
    fault = Armed(Kind.HANG, 0)
    proxy.arm(fault)
    seen: list[int | str] = []
    client = Thread(target=lambda: seen.append(outcome(proxy)))
    client.start()
    assert fault.met.wait(CAP)
    assert not seen
    fault.over.set()
    client.join()
    assert (seen, outcome(proxy)) == (["lost"], 201)


def test_the_wall_clock_of_a_process_jumps_and_its_monotonic_clock_does_not(tmp_path: Path) -> None:
    program = (
        "import sys, time, datetime\n"
        "for _ in sys.stdin: print(time.time(), datetime.datetime.now().timestamp(), time.monotonic(), flush=True)"
    )
    environment = {**os.environ, "PYTHONPATH": str(CLOCK), "CHAOS_CLOCKS": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        stdin, stdout = process.stdin, process.stdout
        assert stdin is not None
        assert stdout is not None

        def offsets() -> list[int]:
            stdin.write("\n")
            stdin.flush()
            wall, date, monotonic = map(float, stdout.readline().split())
            return [
                round((wall - time.time()) / 60),
                round((date - time.time()) / 60),
                round(monotonic - time.monotonic()),
            ]

        assert offsets() == [0, 0, 0]
        write_number(tmp_path / str(process.pid), HOUR)
        until(lambda: offsets() == [60, 60, 0])
        write_number(tmp_path / "all", -2 * HOUR)
        until(lambda: offsets() == [-60, -60, 0])
        stdin.close()


def test_a_seed_brings_the_same_faults_again() -> None:
    first, again = (faults(random.Random(7), list(Kind)) for _ in range(2))
    assert [next(first) for _ in range(50)] == [next(again) for _ in range(50)]


@pytest.fixture(scope="module")
def shop(new_sqlite: Callable[[str], str]) -> Iterator[Shop]:
    with running_shop(new_sqlite) as shop:
        yield shop


@pytest.fixture
def engines(shop: Shop) -> dict[str, Engine]:
    return {name: dependency(service.app, Database).engine for name, service in shop.services.items()}


@pytest.fixture
def before(engines: dict[str, Engine]) -> dict[str, int]:
    """The stock before the first order, whatever the tests of this module did to it."""
    stock = books.stock_by_sku(engines["inventory"])
    for row in books.rows(
        engines["inventory"],
        "SELECT sku, quantity FROM reservation_lines l JOIN reservations r ON r.order_id = l.order_id "
        "WHERE r.status = 'HELD'",
    ):
        stock[row["sku"]] += row["quantity"]
    return stock


@pytest.fixture
def load(shop: Shop) -> Load:
    """A load whose one client was told that its order is confirmed."""
    load = Load(shop.order.url, 1, ["TEA-SENCHA"], seed=1)
    wish = Wish(
        f"key-{uuid.uuid4()}",
        {"payment_token": "tok_approve", "lines": [{"sku": "TEA-SENCHA", "quantity": 2}]},
        time.monotonic(),
    )
    order = shop.post_order(key=wish.key).json()
    wish.answers.append(Answer(time.monotonic(), 201, SeenOrder(uuid.UUID(order["id"]), order["status"], None)))
    load.wishes.append(wish)
    return load


def broken(engines: dict[str, Engine], before: dict[str, int], load: Load) -> set[str]:
    """The promises about this load's order that the checker finds broken."""
    mine = load.wishes[0].orders()[0].id
    return {
        promise.name
        for promise in books.check(engines, before, load, {}, books.unsettled(engines["order"]))
        if any(str(mine) in line or load.wishes[0].key in line or line.startswith("TEA-") for line in promise.broken)
    }


def test_the_checker_finds_nothing_wrong_with_an_order_that_went_well(
    engines: dict[str, Engine], before: dict[str, int], load: Load
) -> None:
    assert broken(engines, before, load) == set()


@pytest.mark.parametrize(
    ("service", "damage", "promise"),
    [
        (
            "order",
            "DELETE FROM order_lines WHERE order_id = :id;DELETE FROM orders WHERE id = :id",
            "answered orders that are not there",
        ),
        ("order", "UPDATE orders SET status = 'CANCELLED' WHERE id = :id", "settled orders that changed afterwards"),
        ("order", "UPDATE orders SET status = 'CHARGED' WHERE id = :id", "orders not settled after 30 s"),
        ("order", "UPDATE orders SET notified_at = NULL WHERE id = :id", "confirmed orders not told of after 330 s"),
        (
            "order",
            "UPDATE orders SET status = 'CANCELLED' WHERE id = :id",
            "money kept for orders that were canceled or do not exist",
        ),
        (
            "order",
            "UPDATE orders SET status = 'CANCELLED' WHERE id = :id",
            "stock held for orders that were canceled or do not exist",
        ),
        (
            "order",
            "UPDATE orders SET status = 'CANCELLED', reason = 'refused' WHERE id = :id",
            "orders canceled without cause",
        ),
        (
            "order",
            "UPDATE orders SET status = 'CANCELLED', reason = 'timed_out' WHERE id = :id",
            "orders canceled without cause",
        ),
        (
            "payment",
            "DELETE FROM processor_entries WHERE idempotency_key = :id",
            "confirmed orders not charged exactly once, their total",
        ),
        (
            "payment",
            "UPDATE processor_entries SET amount = amount * 2 WHERE idempotency_key = :id",
            "confirmed orders not charged exactly once, their total",
        ),
        (
            "inventory",
            "UPDATE reservations SET status = 'RELEASED' WHERE order_id = :id",
            "confirmed orders without exactly their stock",
        ),
        (
            "inventory",
            "UPDATE reservations SET status = 'RELEASED' WHERE order_id = :id",
            "items whose stock does not add up",
        ),
        (
            "notification",
            "DELETE FROM notifications WHERE order_id = :id",
            "customers not told, or told what is not so",
        ),
    ],
)
def test_the_checker_sees_what_is_broken(
    service: str, damage: str, promise: str, engines: dict[str, Engine], before: dict[str, int], load: Load
) -> None:
    with engines[service].begin() as connection:
        for statement in damage.split(";"):
            assert connection.execute(text(statement), {"id": load.wishes[0].orders()[0].id.hex}).rowcount
    assert promise in broken(engines, before, load)
