"""Ways to disturb an order."""

import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from app import circuit_breaker, http_client
from app.dependency_errors import DependencyUnavailable
from services.order.clients import Clients
from services.order.models import MIN_ATTEMPTS, ORDER_TIMEOUT, Order
from tests.conftest import Shop
from tests.support.dependencies import dependency


@pytest.fixture(autouse=True)
def _no_pause_between_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries follow each other immediately, and no circuit breaker keeps them from being sent."""
    monkeypatch.setattr(http_client, "_jitter", lambda _state: 0.0)
    monkeypatch.setattr(circuit_breaker, "THRESHOLD", sys.maxsize)


@pytest.fixture
def clients(shop: Shop) -> Clients:
    """What order-service calls its clients with."""
    return dependency(shop.order.app, Clients)


def grow_old(shop: Shop) -> None:
    """Let every order be older than ORDER_TIMEOUT, and attempted often enough to be canceled for its age."""
    with shop.order.session() as session, session.begin():
        for order in session.scalars(select(Order).where(Order.next_attempt_at.is_not(None))):
            order.created_at -= ORDER_TIMEOUT + timedelta(seconds=1)
            order.attempts += MIN_ATTEMPTS


def lose_answers(patch: pytest.MonkeyPatch, clients: Clients, call: str) -> None:
    """Let the peer do its work, but its answer never arrive."""
    real: Callable[[Any], Any] = getattr(clients, call)

    def lose(argument: Any) -> None:
        real(argument)
        raise DependencyUnavailable("peer", "the answer was lost")

    patch.setattr(clients, call, lose)
