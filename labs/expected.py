"""What a right answer is, computed from what the learner's own stack has recorded since the lab began."""

from collections import Counter
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any, TypeVar

from labs import predicates
from labs.evidence import Evidence, bottleneck_of
from waybill_explorer.client import ClientError, Fetched

NOT_YET = "there is not enough recorded yet: wait for some more orders, then try again."
BY_HAND = "opentelemetry.instrumentation."
"""Scopes that begin so are not written by hand."""

T = TypeVar("T")
Number = Callable[..., float]
Words = Callable[..., set[str]]


def share_of_orders(evidence: Evidence, name: str, arguments: Mapping[str, Any]) -> float:
    """Return the percentage of the orders in whose trace a predicate holds for a span."""
    orders = _some(evidence.orders())
    return 100 * sum(bool(predicates.matching(trace, name, dict(arguments))) for trace in orders) / len(orders)


def calls_per_order(evidence: Evidence, path: str) -> float:
    """Return how many requests to a path there are for each order that had one."""
    counts = [len(predicates.matching(trace, "call_to", {"path": path})) for trace in evidence.orders()]
    with_calls = _some([count for count in counts if count])
    return sum(with_calls) / len(with_calls)


def median_gap_ms(evidence: Evidence, path: str, ms: float) -> float:
    """Return the median of the gaps between CLIENT and SERVER span of `ms` and more."""
    spans = (span for trace in evidence.orders() for span in predicates.matching(trace, "call_to", {"path": path}))
    return median(_some([gap for gap in map(predicates.gap_ms, spans) if gap >= ms]))


def median_ms(evidence: Evidence, service: str, name: str) -> float:
    """Return the median duration of a span."""
    traces = evidence.traces(service, name)
    spans = (
        span for trace in traces for span in predicates.matching(trace, "runs", {"service": service, "name": name})
    )
    return median(_some([span.duration / 1000 for span in spans]))


def repetitions(evidence: Evidence, operation: str, statement: str) -> float:
    """Return the largest number of equal statements, which begin so, in one request to order-service."""
    counts = [
        sum(str(span.tags.get("db.query.text", "")).startswith(statement) for span in trace.spans)
        for trace in evidence.traces("order-service", operation)
    ]
    return float(max(_some(counts)))


def percentile_ms(evidence: Evidence, percent: float) -> float:
    """Return a percentile of the durations of the orders, in ms."""
    durations = sorted(_some([trace.root.duration / 1000 for trace in evidence.orders()]))
    return durations[min(len(durations) - 1, int(len(durations) * percent / 100))]


def versions(evidence: Evidence, service: str) -> set[str]:
    """Return the version of a service that has sent the newest trace of an order."""
    trace = _some(evidence.orders())[0]
    return {
        str(process.tags.get("service.version")) for process in trace.processes.values() if process.service == service
    }


def waiting_statement(evidence: Evidence) -> set[str]:
    """Return the names of the spans that wait for a lock."""
    found = Counter(
        span.name for trace in evidence.orders() for span in predicates.matching(trace, "waits_for_lock", {})
    )
    return {name.casefold() for name in _some(list(found))}


def own_bottleneck(fetched: Fetched) -> set[str]:
    """Return the name of the span that the learner's own order waited for most."""
    return {bottleneck_of(fetched.trace).casefold()}


def automatic_percentage(fetched: Fetched) -> float:
    """Return the percentage of the spans of a trace that an instrumentation library made."""
    spans = fetched.trace.spans
    automatic = sum(str(span.tags.get("otel.scope.name", "")).startswith(BY_HAND) for span in spans)
    return 100 * automatic / len(spans)


def log_records(fetched: Fetched) -> float:
    """Return the number of log records that have the trace id of a trace."""
    return float(len(fetched.logs or []))


NUMBERS: dict[str, Number] = {
    "share_of_orders": share_of_orders,
    "calls_per_order": calls_per_order,
    "median_gap_ms": median_gap_ms,
    "median_ms": median_ms,
    "repetitions": repetitions,
    "percentile_ms": percentile_ms,
}
WORDS: dict[str, Words] = {"versions": versions, "waiting_statement": waiting_statement}
OWN_NUMBERS: dict[str, Callable[[Fetched], float]] = {
    "automatic_percentage": automatic_percentage,
    "log_records": log_records,
}
OWN_WORDS: dict[str, Callable[[Fetched], set[str]]] = {"own_bottleneck": own_bottleneck}
"""Of the trace that the learner gave as an answer to `order`."""


def _some(found: list[T]) -> list[T]:
    """Return a list that is not empty. Raise a ClientError if it is."""
    if not found:
        raise ClientError(NOT_YET)
    return found
