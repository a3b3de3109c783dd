"""What a right answer is, computed from what the learner's own stack has recorded since the lab began."""

from collections import Counter
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any, TypeVar

from labs import predicates
from labs.evidence import ORDERS, Evidence, bottleneck_of
from waybill_explorer.client import ClientError, Fetched
from waybill_explorer.trace_tree import Trace

NOT_YET = "there is not enough recorded yet: wait for some more orders, then try again."
MOST = 1500
"""Traces that the read API returns at most."""
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


def median_of(evidence: Evidence, name: str, arguments: Mapping[str, Any]) -> float:
    """Return the median duration (ms) of the spans of orders for which a predicate holds."""
    spans = (span for trace in evidence.orders() for span in predicates.matching(trace, name, dict(arguments)))
    return median(_some([span.duration / 1000 for span in spans]))


def series_per_hundred(evidence: Evidence, instrument: str, attribute: str) -> float:
    """Return how many series an instrument has for each hundred of what it counts, by one attribute."""
    counts = evidence.counts(instrument, attribute)
    with_it = _some([key for key in counts if key])
    return 100 * len(with_it) / sum(counts[key] for key in with_it)


def values_of(evidence: Evidence, instrument: str, attribute: str) -> set[str]:
    """Return the values of an attribute that have a series of their own."""
    return set(_some([key.casefold() for key in evidence.counts(instrument, attribute) if key]))


def level(evidence: Evidence, instrument: str) -> float:
    """Return the newest value of an up-down counter, over all of its series."""
    return _some(evidence.series(instrument, stat="value", by="service.name").get("order-service", []))[-1]


def traced_percentage(evidence: Evidence) -> float:
    """Return how many of the orders since the beginning have a trace, by the metric of the requests."""
    return 100 * len(evidence.traces(*ORDERS, limit=MOST)) / _orders_by_metric(evidence)


def failing_percentage(evidence: Evidence) -> float:
    """Return how many percent of order-service's own requests have failed, by the metric."""
    counts = evidence.counts("http.client.request.duration", "error.type", "order-service")
    return 100 * sum(count for key, count in counts.items() if key) / sum(_some(list(counts.values())))


def special_instance(evidence: Evidence, by: str) -> set[str]:
    """Return the instance of order-service that takes most: of time for an order, or of memory."""
    amounts = (
        memory_growth(evidence)
        if by == "memory"
        else {instance: median(durations) for instance, durations in durations_by_instance(evidence.orders()).items()}
    )
    return {max(_instances(amounts), key=lambda instance: amounts[instance])}


def instance_share(evidence: Evidence, by: str) -> float:
    """Return how many percent of the orders that instance has served."""
    (instance,) = special_instance(evidence, by)
    served = {key: len(durations) for key, durations in durations_by_instance(evidence.orders()).items()}
    return 100 * served.get(instance, 0) / sum(_some(list(served.values())))


def extra_ms(evidence: Evidence) -> float:
    """Return how many ms an order takes longer there than elsewhere, in the median."""
    (instance,) = special_instance(evidence, "time")
    by_instance = durations_by_instance(evidence.orders())
    others = [duration for key, durations in by_instance.items() if key != instance for duration in durations]
    return median(by_instance[instance]) - median(_some(others))


def extra_mb(evidence: Evidence) -> float:
    """Return how many MB that instance grows by more than the others, for each hundred orders of the service."""
    growth = memory_growth(evidence)
    (instance,) = special_instance(evidence, "memory")
    others = [amount for key, amount in growth.items() if key != instance]
    return 100 * (growth[instance] - median(_some(others))) / _orders_by_metric(evidence)


def memory_growth(evidence: Evidence, since: int | None = None) -> dict[str, float]:
    """Return by how many MB each instance of order-service has grown since a time (µs), or since the beginning."""
    values = evidence.series(
        "process.memory.usage", stat="value", by="service.instance.id", service="order-service", since=since
    )
    return {key: (sizes[-1] - sizes[0]) / 1e6 for key, sizes in values.items() if len(sizes) > 1}


def durations_by_instance(traces: list[Trace]) -> dict[str, list[float]]:
    """Return the durations (ms) of the requests of these traces, by the instance that served them."""
    found: dict[str, list[float]] = {}
    for trace in traces:
        found.setdefault(instance_of(trace), []).append(trace.root.duration / 1000)
    return found


def instance_of(trace: Trace) -> str:
    """Return the instance that served the request of a trace."""
    return str(trace.processes[trace.root.process].tags.get("service.instance.id", ""))


def _instances(amounts: Mapping[str, float]) -> list[str]:
    """Return the instances if there are several. Raise a ClientError if not."""
    return _some(list(amounts) if len(amounts) > 1 else [])


def _orders_by_metric(evidence: Evidence) -> float:
    """Return how many orders came, by the metric of the requests. Raise a ClientError without any."""
    counts = evidence.counts("http.server.request.duration", "http.route", "order-service")
    return sum(_some([count for route, count in counts.items() if route == "/orders"]))


NUMBERS: dict[str, Number] = {
    "share_of_orders": share_of_orders,
    "calls_per_order": calls_per_order,
    "median_gap_ms": median_gap_ms,
    "median_ms": median_ms,
    "repetitions": repetitions,
    "percentile_ms": percentile_ms,
    "median_of": median_of,
    "series_per_hundred": series_per_hundred,
    "level": level,
    "traced_percentage": traced_percentage,
    "failing_percentage": failing_percentage,
    "instance_share": instance_share,
    "extra_ms": extra_ms,
    "extra_mb": extra_mb,
}
WORDS: dict[str, Words] = {
    "versions": versions,
    "waiting_statement": waiting_statement,
    "values_of": values_of,
    "special_instance": special_instance,
}
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
