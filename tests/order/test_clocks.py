"""Leases, pauses and time-outs hold while clocks are set, and between hosts whose clocks differ."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from sqlalchemy import select, update

from app.database import DatabaseTime
from services.order import saga
from services.order.clients import Clients
from services.order.models import LEASE, MAX_SLOW_BACKOFF, Order
from tests.conftest import Shop
from tests.order.conftest import lose_answers

HOUR = timedelta(hours=1)
SHIFTS = pytest.mark.parametrize("shift", [HOUR, -HOUR], ids=["ahead", "behind"])


@pytest.fixture(autouse=True)
def _finish(shop: Shop) -> Iterator[None]:
    """Leave no unfinished order to the next test."""
    yield
    shop.resume()


@contextmanager
def host_clock(shift: timedelta) -> Iterator[None]:
    """The clock of this process, not that of the database, is off by `shift`; it goes on."""
    with time_machine.travel(datetime.now(UTC) + shift, tick=True):
        yield


def set_database_clock(shop: Shop, forward: timedelta) -> None:
    """What setting the clock does to rows: all that was written before looks so much older."""
    with shop.order.session() as session, session.begin():
        for order in session.scalars(select(Order).where(Order.next_attempt_at.is_not(None))):
            order.created_at -= forward
            order.updated_at -= forward
            assert order.next_attempt_at is not None
            order.next_attempt_at -= forward


def database_now(shop: Shop) -> datetime:
    with shop.order.session() as session, session.begin():
        now: datetime = session.execute(select(DatabaseTime())).scalar_one()
        return now


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What orders.processing_time records, in milliseconds."""
    recorded: list[float] = []

    class Histogram:
        def record(self, value: float, _labels: dict[str, str]) -> None:
            recorded.append(value)

    monkeypatch.setattr(saga, "processing_time", Histogram())
    return recorded


def test_the_databases_clock_counts_ahead_and_back_in_seconds(shop: Shop) -> None:
    columns = [DatabaseTime(timedelta(seconds=seconds)) for seconds in (0, 90.5, -3600)]
    with shop.order.session() as session, session.begin():
        now, ahead, back = session.execute(select(*columns)).one()
    assert abs(datetime.now(UTC) - now) < timedelta(seconds=5)
    assert abs(ahead - now - timedelta(seconds=90.5)) < timedelta(milliseconds=2)
    assert abs(now - back - HOUR) < timedelta(milliseconds=2)


@SHIFTS
def test_the_clock_of_a_host_has_no_say_in_the_times_of_an_order(
    shop: Shop, times: list[float], shift: timedelta
) -> None:
    before = database_now(shop)
    with host_clock(shift):
        order = shop.post_order().json()
    after = database_now(shop)
    for name in ("created_at", "updated_at"):
        assert before <= datetime.fromisoformat(order[name]) <= after
    assert 0 < times[0] < 30_000


@SHIFTS
def test_a_worker_whose_clock_is_off_acquires_no_order_that_another_has_leased(
    shop: Shop, clients: Clients, monkeypatch: pytest.MonkeyPatch, shift: timedelta
) -> None:
    acquired = []
    real = clients.charge

    def charge(order: Order) -> None:
        with host_clock(shift):
            shop.watch()
            acquired.append(shop.recover_one())
        real(order)

    monkeypatch.setattr(clients, "charge", charge)
    assert shop.post_order().json()["status"] == "CONFIRMED"
    assert acquired == [False]


@SHIFTS
def test_an_order_left_behind_is_finished_by_a_worker_whose_clock_is_off(
    shop: Shop, times: list[float], shift: timedelta
) -> None:
    with shop.payment.unavailable():
        order = shop.post_order().json()
    with host_clock(shift):
        shop.resume()
    assert shop.read_order(order)["status"] == "CONFIRMED"
    assert 0 < times[0] < 130_000


@SHIFTS
def test_an_order_outlives_that_the_databases_clock_is_set(shop: Shop, times: list[float], shift: timedelta) -> None:
    """Set forward, its lease is over at once; set back, its lease would hold for another hour, but is expired."""
    with shop.payment.unavailable():
        order = shop.post_order().json()
        set_database_clock(shop, shift)
        shop.watch()
        assert shop.recover_one(), "the pause lasts an hour"
        assert shop.read_order(order)["reason"] is None, "cancelled for an age that it does not have"
    shop.resume()
    assert shop.read_order(order)["status"] == "CONFIRMED"
    assert 0 < times[0] <= 120_000


@SHIFTS
def test_a_step_in_progress_outlives_that_the_databases_clock_is_set(
    shop: Shop, clients: Clients, monkeypatch: pytest.MonkeyPatch, times: list[float], shift: timedelta
) -> None:
    before = shop.stock()
    real = clients.charge

    def charge(order: Order) -> Any:
        set_database_clock(shop, shift)
        shop.watch()
        return real(order)

    monkeypatch.setattr(clients, "charge", charge)
    order = shop.post_order().json()
    assert (order["status"], shop.stock(), shop.money_taken(order)) == ("CONFIRMED", before - 2, [2 * 1290])
    assert 0 < times[0] < 30_000


def test_a_notification_that_waits_survives_a_clock_that_is_set_back(shop: Shop) -> None:
    with shop.notification.unavailable():
        shop.post_order()
        set_database_clock(shop, -HOUR)
    assert not shop.recover_notification()
    shop.watch()
    assert shop.recover_notification()


@pytest.mark.parametrize(("peer", "ahead"), [("payment", LEASE), ("notification", MAX_SLOW_BACKOFF)])
def test_a_lease_or_pause_that_may_be_one_is_left_alone(shop: Shop, peer: str, ahead: timedelta) -> None:
    with getattr(shop, peer).unavailable():
        shop.post_order()
    with shop.order.session() as session, session.begin():
        waiting = update(Order).where(Order.next_attempt_at.is_not(None))
        session.execute(waiting.values(next_attempt_at=DatabaseTime(ahead)))
    shop.watch()
    assert not shop.recover_one()
    shop.resume()


def test_an_order_is_still_cancelled_for_its_age_after_a_clock_was_set_back(
    shop: Shop, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = shop.stock()
    with monkeypatch.context() as patch:
        lose_answers(patch, clients, "charge")
        order = shop.post_order().json()
        set_database_clock(shop, -HOUR)
        for _ in range(5):
            shop.resume()
    over = shop.read_order(order)
    assert (over["status"], over["reason"]) == ("CANCELLED", "timed_out")
    assert (shop.stock(), sum(shop.money_taken(order))) == (before, 0)
