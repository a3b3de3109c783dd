"""Orders that hold stock or money are recovered first, and notifications apart from them."""

import re
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest
from sqlalchemy import event, update

from app.database import Database
from app.dependency_errors import CircuitOpen, DependencyUnavailable
from services.order.clients import Clients
from services.order.models import Order
from tests.conftest import LONG_AGO, Shop
from tests.order.conftest import grow_old
from tests.support.dependencies import dependency


@pytest.fixture(autouse=True)
def _finish(shop: Shop) -> Iterator[None]:
    """Leave no unfinished order to the next test."""
    yield
    shop.resume()


@pytest.fixture
def released() -> Iterator[Event]:
    """Set at the end of a test, whatever happens: what hangs may go on."""
    released = Event()
    yield released
    released.set()


def make_due(shop: Shop) -> None:
    """Let every lease and every pause be over."""
    with shop.order.session() as session, session.begin():
        session.execute(update(Order).where(Order.next_attempt_at.is_not(None)).values(next_attempt_at=LONG_AGO))


def test_an_order_is_settled_while_every_notification_hangs(
    shop: Shop, clients: Clients, monkeypatch: pytest.MonkeyPatch, released: Event
) -> None:
    with shop.notification.unavailable():
        told_late = [shop.post_order().json() for _ in range(4)]
    with shop.payment.unavailable():
        waiting = shop.post_order().json()
    hanging = []

    def hang(order: Order) -> None:
        hanging.append(str(order.id))
        released.wait(30)
        raise DependencyUnavailable("notification-service", "no answer")

    make_due(shop)
    with monkeypatch.context() as patch, ThreadPoolExecutor(4) as workers:
        patch.setattr(clients, "notify", hang)
        notifications = [workers.submit(shop.recover_notification) for _ in told_late]
        assert shop.recover_order()
        assert shop.read_order(waiting)["status"] == "CONFIRMED"
        assert waiting["id"] not in hanging
        released.set()
        assert all(notification.result() for notification in notifications)


def test_the_customer_of_a_recovered_order_is_told_at_once_by_the_other_lane(shop: Shop) -> None:
    with shop.payment.unavailable():
        order = shop.post_order().json()
    make_due(shop)
    assert shop.recover_order()
    assert shop.recover_notification()
    with shop.order.session() as session, session.begin():
        assert session.get_one(Order, uuid.UUID(order["id"])).finished


def test_an_order_is_not_canceled_for_being_resumed_late(shop: Shop) -> None:
    with shop.payment.unavailable():
        order = shop.post_order().json()
    grow_old(shop)
    shop.resume()
    assert shop.read_order(order)["status"] == "CONFIRMED"


def test_an_order_is_not_cancelled_because_a_circuit_is_open(
    shop: Shop, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse_to_call(_order: Order) -> None:
        raise CircuitOpen("payment-service", "failed repeatedly a moment ago")

    with monkeypatch.context() as patch:
        patch.setattr(clients, "charge", refuse_to_call)
        order = shop.post_order().json()
        grow_old(shop)
        shop.resume()
        assert shop.read_order(order)["reason"] is None
    shop.resume()
    assert shop.read_order(order)["status"] == "CONFIRMED"


@pytest.mark.parametrize(
    ("recover", "index", "other"),
    [
        (Shop.recover_order, "ix_orders_to_settle", "ix_orders_to_notify"),
        (Shop.recover_notification, "ix_orders_to_notify", "ix_orders_to_settle"),
    ],
)
def test_each_lane_finds_what_is_due_in_an_index_of_its_own(
    shop: Shop, recover: Callable[[Shop], bool], index: str, other: str
) -> None:
    """So a backlog in one costs the other nothing: its rows are not in that index."""
    statements: list[tuple[str, Any]] = []
    engine = dependency(shop.order.app, Database).engine

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            statements.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    recover(shop)
    event.remove(engine, "before_cursor_execute", note)
    ((statement, parameters),) = statements
    explain = "EXPLAIN QUERY PLAN " if engine.dialect.name == "sqlite" else "EXPLAIN "
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":  # which reads so small a table as a whole
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        plan = str(connection.exec_driver_sql(explain + statement, parameters).all())
    assert index in plan
    assert re.search(r"(SEARCH|Index Cond).*next_attempt_at ?<", plan), plan
    assert other not in plan
