"""Open-loop load: orders are sent on a fixed schedule, however slowly they are answered."""

import heapq
import math
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import requests

from local.client import order_body, trace_id_of
from waybill_explorer.client import json_of, new_session

TIMEOUT = (10.0, 15.0)
"""Seconds to connect, seconds between two bytes of an answer; what takes longer counts as an error here."""
RETRYABLE = {409, 429, 500, 502, 503, 504}
REGIONS = ("eu", "us", "ap")
SLOWEST = 5
LEAST_SLOW, MAX_SLOW = 3, 100
"""How many slow orders are looked at: of fewer, what they have in common is chance; of more, the URL gets too long."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send: `rate` orders/s for `duration` s; `tokens` maps payment token to weight; `retry_for` in s."""

    api: str
    rate: float
    duration: float
    concurrency: int
    skus: Sequence[str]
    tokens: Mapping[str, float]
    retry_for: float
    seed: int

    @property
    def orders(self) -> int:
        return max(1, math.floor(self.rate * self.duration))

    def body(self, index: int) -> dict[str, Any]:
        """Return the order at `index`, the same for the same seed whichever thread sends it."""
        rng = random.Random(f"{self.seed}:{index}")  # noqa: S311 - a workload, not a secret
        skus = rng.sample(self.skus, k=min(len(self.skus), rng.choice((1, 1, 2, 3))))
        token = rng.choices(list(self.tokens), weights=list(self.tokens.values()))[0]
        lines = {sku: rng.randint(1, 3) for sku in skus}
        return order_body(lines, token=token, region=rng.choice(REGIONS), customer=f"cus_{rng.randrange(1000)}")


@dataclass(slots=True)
class Report:
    """What came of it. Latencies are seconds from the moment an order was due, whether or not it could be sent then."""

    planned: int
    sent: int = 0
    failed: int = 0
    retries: int = 0
    seconds: float = 0.0
    outcomes: Counter[tuple[str, str | None]] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    traced: list[tuple[float, str]] = field(default_factory=list)
    """Latency and trace id of each order that was answered with one."""
    began: int = 0
    """Microseconds since 1970."""

    @property
    def answered(self) -> int:
        return len(self.latencies)

    @property
    def slowest(self) -> list[tuple[float, str]]:
        """The traces of the slowest orders, the slowest first."""
        return heapq.nlargest(SLOWEST, self.traced)

    @property
    def slow(self) -> list[str]:
        """The trace ids of the slowest tenth, MAX_SLOW at most; none if they are fewer than LEAST_SLOW."""
        count = len(self.traced) // 10
        return (
            [trace_id for _, trace_id in heapq.nlargest(min(MAX_SLOW, count), self.traced)]
            if count >= LEAST_SLOW
            else []
        )

    def percentile(self, percent: float) -> float | None:
        """Nearest rank, seconds; None before the first answer."""
        ordered = sorted(self.latencies)
        return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)] if ordered else None

    def as_json(self, link: str, in_common: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
        """For scripts; `link` is what a trace id is appended to, `in_common` what the slow ones have in common."""
        values = {f"p{percent}": self.percentile(percent) for percent in (50, 95, 99, 100)}
        return {
            "planned": self.planned,
            "sent": self.sent,
            "answered": self.answered,
            "failed": self.failed,
            "retries": self.retries,
            "seconds": round(self.seconds, 3),
            "rate": round(self.answered / self.seconds, 2) if self.seconds else 0.0,
            "latency_ms": {key: value and round(value * 1000, 1) for key, value in values.items()},
            "outcomes": [
                {"status": status, "reason": reason, "count": number}
                for (status, reason), number in self.outcomes.most_common()
            ],
            "errors": dict(self.errors.most_common()),
            "slowest": [
                {"trace_id": trace_id, "latency_ms": round(latency * 1000, 1), "link": link + trace_id}
                for latency, trace_id in self.slowest
            ],
            "in_common": list(in_common),
        }


class Load:
    """One run of a plan; `report` can be read while it runs."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.report = Report(plan.orders)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._indexes = count()
        # Not from the seed: a second run with the same seed must place new orders, not replay the first one's.
        self._run_id = uuid.uuid4().hex[:12]
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        self._began = time.monotonic()
        self.report.began = time.time_ns() // 1000
        number = min(self.plan.concurrency, self.plan.orders)
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(number)]
        for thread in self._threads:
            thread.start()

    def running(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    @property
    def ended(self) -> bool:
        """Whether it was asked to send no more."""
        return self._stop.is_set()

    def end(self) -> None:
        """Send no more."""
        self._stop.set()

    def stop(self, grace: float = 3.0) -> None:
        """Send no more; wait up to `grace` s for the answers that are on their way."""
        self.end()
        deadline = time.monotonic() + grace
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _work(self) -> None:
        with new_session() as session:
            while not self._stop.is_set():
                with self._lock:
                    index = next(self._indexes)
                due = self._began + index / self.plan.rate
                if index >= self.plan.orders or self._stop.wait(max(0.0, due - time.monotonic())):
                    return
                self._send(session, index, due)

    def _send(self, session: requests.Session, index: int, due: float) -> None:
        body = self.plan.body(index)
        headers = {"Idempotency-Key": f"load-{self._run_id}-{index}"}
        with self._lock:
            self.report.sent += 1
        give_up, delay = time.monotonic() + self.plan.retry_for, 0.1
        while True:
            again = True
            try:
                response = session.post(f"{self.plan.api}/orders", json=body, headers=headers, timeout=TIMEOUT)
                order = json_of(response)
                if response.ok and isinstance(order, dict):
                    self._answered(order, trace_id_of(response), due)
                    return
                detail = order.get("detail") if isinstance(order, dict) else None
                error = f"HTTP {response.status_code}" + (f": {detail}" if detail else "")
                again = response.status_code in RETRYABLE
            except requests.RequestException as exception:
                error = error_kind(exception)
            again = again and time.monotonic() + delay < give_up
            with self._lock:
                self.report.errors[error] += 1
                self.report.seconds = time.monotonic() - self._began
                self.report.retries += again
                self.report.failed += not again
            if not again or self._stop.wait(delay):
                return
            delay = min(2.0, delay * 2)

    def _answered(self, order: dict[str, Any], trace_id: str | None, due: float) -> None:
        now = time.monotonic()
        with self._lock:
            self.report.seconds = now - self._began
            self.report.latencies.append(now - due)
            self.report.outcomes[str(order.get("status")), order.get("reason")] += 1
            if trace_id:
                self.report.traced.append((now - due, trace_id))


def error_kind(error: requests.RequestException) -> str:
    """Return a few words for a failed request, so that equal failures are counted together."""
    if isinstance(error, requests.Timeout):
        return "timeout"
    for words in ("refused", "reset", "closed", "aborted"):
        if words in str(error).lower():
            return f"connection {words}"
    return type(error).__name__
