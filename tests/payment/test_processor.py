"""The simulated card processor is slow the way real ones are."""

import math
import random
import time
import uuid
from statistics import quantiles

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from services.payment.models import Base
from services.payment.processor import SPREAD, ProcessorUnavailable, SimulatedProcessor


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that the processor would have slept; random, but the same in each run."""
    seconds: list[float] = []
    monkeypatch.setattr(time, "sleep", seconds.append)
    random.seed(1)
    return seconds


@pytest.fixture
def books() -> Session:
    """The processor's own database."""
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    return Session(engine, autobegin=False)


def charge(processor: SimulatedProcessor, books: Session, token: str, attempt: int = 1) -> str:
    return processor.charge(books, uuid.uuid4(), token, 500, "EUR", attempt)


def test_its_latency_is_log_normal_around_its_median(waits: list[float], books: Session) -> None:
    processor = SimulatedProcessor(0.06)
    for _ in range(2000):
        charge(processor, books, "tok_decline")
    percentile = quantiles(waits, n=100)
    assert percentile[49] == pytest.approx(0.06, rel=0.1)
    assert percentile[98] / percentile[49] == pytest.approx(3.2, rel=0.15)
    logs = [math.log(wait / 0.06) for wait in waits]
    assert sum(abs(log) < SPREAD for log in logs) / len(logs) == pytest.approx(0.68, abs=0.03)


def test_a_slow_card_takes_two_seconds_more(waits: list[float], books: Session) -> None:
    assert charge(SimulatedProcessor(0), books, "tok_slow") == "approved"
    assert waits == [2.0]


def test_the_first_attempt_of_a_failing_charge_takes_its_time_too(waits: list[float], books: Session) -> None:
    processor = SimulatedProcessor(0.06)
    with pytest.raises(ProcessorUnavailable):
        charge(processor, books, "tok_fail_then_succeed")
    assert charge(processor, books, "tok_fail_then_succeed", attempt=2) == "approved"
    assert len(waits) == 2


@pytest.mark.parametrize(
    ("token", "outcome"), [("tok_approve", "approved"), ("tok_decline", "declined"), ("tok_unheard_of", "declined")]
)
def test_each_test_token_has_its_outcome(waits: list[float], books: Session, token: str, outcome: str) -> None:
    assert charge(SimulatedProcessor(0), books, token) == outcome
    assert waits == [0.0]
