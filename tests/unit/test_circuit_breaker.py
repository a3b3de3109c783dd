"""When a circuit opens, lets a probe through, and closes."""

import logging
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.circuit_breaker import MAX_PAUSE, MIN_PAUSE, PROBE_TIMEOUT, THRESHOLD, CircuitBreaker


class Clock:
    """A monotonic clock that a test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker("payment-service", clock)


def fail(breaker: CircuitBreaker, times: int = THRESHOLD) -> None:
    for _ in range(times):
        assert breaker.acquire()
        breaker.failed()


def test_a_circuit_opens_after_failures_in_a_row(breaker: CircuitBreaker) -> None:
    fail(breaker, THRESHOLD - 1)
    breaker.succeeded()
    fail(breaker, THRESHOLD - 1)
    assert breaker.closed
    fail(breaker, 1)
    assert not breaker.acquire()
    assert breaker.retry_after == MIN_PAUSE


def test_one_probe_is_sent_after_the_pause_and_its_success_closes_the_circuit(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    fail(breaker)
    clock.now += MIN_PAUSE
    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(lambda _: breaker.acquire(), range(64))) == 1
    breaker.succeeded()
    assert breaker.closed
    fail(breaker, THRESHOLD - 1)
    assert breaker.closed


def test_each_probe_that_fails_doubles_the_pause_up_to_a_maximum(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker)
    pauses = []
    for _ in range(5):
        pauses.append(breaker.retry_after)
        clock.now += breaker.retry_after
        fail(breaker, 1)
    assert pauses == [MIN_PAUSE, 2 * MIN_PAUSE, 4 * MIN_PAUSE, MAX_PAUSE, MAX_PAUSE]


def test_calls_sent_before_the_circuit_opened_prolong_no_pause_but_may_close_it(breaker: CircuitBreaker) -> None:
    assert breaker.acquire()
    fail(breaker)
    breaker.failed()
    assert breaker.retry_after == MIN_PAUSE
    breaker.succeeded()
    assert breaker.closed


def test_a_probe_whose_outcome_never_comes_is_replaced(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker)
    clock.now += MIN_PAUSE
    assert breaker.acquire()
    clock.now += PROBE_TIMEOUT - 0.1
    assert not breaker.acquire()
    clock.now += 0.1
    assert breaker.acquire()


def test_each_change_of_state_is_logged_once(
    breaker: CircuitBreaker, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    fail(breaker)
    breaker.acquire()
    clock.now += MIN_PAUSE
    breaker.acquire()
    breaker.acquire()
    breaker.succeeded()
    breaker.succeeded()
    assert caplog.messages == [
        "circuit breaker open: payment-service failed 5 times in a row; the next call is sent in 1 s",
        "circuit breaker half-open: one call to payment-service is sent as a probe",
        "circuit breaker closed: payment-service responds again",
    ]
