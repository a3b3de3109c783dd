"""A circuit breaker: after repeated failures, calls to a dependency fail immediately instead of waiting for it.

The libraries do not fit: pybreaker 1.4 holds its lock during the call, so it sends the calls of all threads one after
the other; circuitbreaker 2.1 lets every call through once it is half-open.
Pattern: https://martinfowler.com/bliki/CircuitBreaker.html
"""

import logging
import time
from collections.abc import Callable, Iterator
from threading import Lock
from weakref import WeakSet

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

logger = logging.getLogger(__name__)
_breakers: "WeakSet[CircuitBreaker]" = WeakSet()

THRESHOLD = 5
"""Consecutive failures that open the circuit."""
MIN_PAUSE = 1.0
MAX_PAUSE = 5.0
"""Seconds that the circuit stays open: the first time, and at most; each failed probe doubles them."""
PROBE_TIMEOUT = 10.0
"""Seconds after which a probe whose outcome was never recorded is replaced by another."""


class CircuitBreaker:
    """Decides whether calls to `dependency` are sent. Thread-safe; the lock is never held during a call.

    Closed: every call is sent. Open, after THRESHOLD failures in a row: none is. Half-open, after a pause: one call is
    sent, the probe; its success closes the circuit, its failure opens it for twice as long.
    """

    def __init__(self, dependency: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.dependency = dependency
        self._clock = clock
        self._lock = Lock()
        self._failures = 0
        self._pause = 0.0
        """Seconds; 0 while the circuit is closed."""
        self._next_probe_at = 0.0
        self._probing = False
        _breakers.add(self)

    @property
    def closed(self) -> bool:
        """Whether every call is sent."""
        return self._pause == 0

    @property
    def retry_after(self) -> float:
        """Seconds until the next call may be sent."""
        return 0.0 if self.closed else max(0.0, self._next_probe_at - self._clock())

    def acquire(self) -> bool:
        """Return whether the caller may send its call now; it then reports `succeeded` or `failed`."""
        if self.closed:
            return True
        with self._lock:
            now = self._clock()
            if self.closed:
                return True
            if now < self._next_probe_at:
                return False
            self._probing = True
            self._next_probe_at = now + PROBE_TIMEOUT
        logger.info("circuit breaker half-open: one call to %s is sent as a probe", self.dependency)
        return True

    def succeeded(self) -> None:
        """Record that the dependency responded, also to a call that was sent before the circuit opened."""
        if self.closed and not self._failures:
            return
        with self._lock:
            was_closed = self.closed
            self._failures, self._pause, self._probing = 0, 0.0, False
        if not was_closed:
            logger.info("circuit breaker closed: %s responds again", self.dependency)

    def failed(self) -> None:
        """Record that the dependency was unavailable."""
        with self._lock:
            self._failures += 1
            if not (self._probing or (self.closed and self._failures >= THRESHOLD)):
                return  # a call that was sent before the circuit opened says nothing new
            self._pause = min(self._pause * 2 or MIN_PAUSE, MAX_PAUSE)
            self._next_probe_at = self._clock() + self._pause
            self._probing = False
            pause, failures = self._pause, self._failures
        logger.warning(
            "circuit breaker open: %s failed %d times in a row; the next call is sent in %.0f s",
            self.dependency,
            failures,
            pause,
        )


def _count_open(_options: CallbackOptions) -> Iterator[Observation]:
    for breaker in _breakers:
        yield Observation(int(not breaker.closed), {"service.peer.name": breaker.dependency})


metrics.get_meter(__name__).create_observable_up_down_counter(
    "circuit_breaker.open.count",
    [_count_open],
    unit="{circuit_breaker}",
    description="Circuit breakers that are open or half-open, by service.peer.name: their dependency is unavailable.",
)
