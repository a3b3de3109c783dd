"""Named predicates over spans and traces: what a piece of evidence has to show. A lab names them in its lab.toml."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from waybill_explorer.trace_tree import Span, Trace

LOCK_WAIT_MS = 100
"""A wait for a lock that is as long is one: a transaction of the shop takes a tenth of that."""

SpanPredicate = Callable[..., bool]


def call_to(span: Span, path: str) -> bool:
    """Tell a CLIENT span of a request whose path begins with `path`."""
    return span.kind == "client" and urlsplit(str(span.tags.get("url.full", ""))).path.startswith(path)


def call_failed(span: Span, path: str) -> bool:
    """Tell a CLIENT span of such a request that got no response."""
    return call_to(span, path) and "http.response.status_code" not in span.tags and span.has_error_status


def client_failed_server_ok(span: Span, path: str) -> bool:
    """Tell a CLIENT span without a response whose SERVER span says that all went well."""
    served = (child.tags.get("http.response.status_code") for child in span.children if child.kind == "server")
    return call_failed(span, path) and any(isinstance(status, int) and status < 400 for status in served)


def gap_ms(span: Span) -> float:
    """Return how much longer a CLIENT span took than the SERVER span below it, in ms; 0 without one."""
    servers = [child.duration for child in span.children if child.kind == "server"]
    return (span.duration - max(servers)) / 1000 if servers else 0.0


def network_gap(span: Span, path: str, ms: float) -> bool:
    """Tell a CLIENT span that took `ms` longer than the SERVER span below it."""
    return call_to(span, path) and gap_ms(span) >= ms


def slow(span: Span, name: str, ms: float) -> bool:
    """Tell a span of this name that took `ms` or longer."""
    return span.name == name and span.duration >= ms * 1000


def waits_for_lock(span: Span, ms: float = LOCK_WAIT_MS) -> bool:
    """Tell a statement that had to wait for the lock of another transaction."""
    statement = str(span.tags.get("db.query.text", ""))
    locking = statement.startswith("BEGIN IMMEDIATE") or "FOR UPDATE" in statement
    return locking and span.duration >= ms * 1000


def runs(span: Span, service: str, name: str) -> bool:
    """Tell a span of this service and name."""
    return span.service == service and span.name == name


def without_child(span: Span, name: str, child: str) -> bool:
    """Tell a SERVER span whose name begins so and that has no span of the name `child` anywhere below it."""
    return span.kind == "server" and span.name.startswith(name) and child not in {one.name for one in below(span)}


def slow_server(span: Span, name: str, ms: float) -> bool:
    """Tell a SERVER span whose name begins so and that took `ms` or longer."""
    return span.kind == "server" and span.name.startswith(name) and span.duration >= ms * 1000


def childless(span: Span, name: str) -> bool:
    """Tell a span of this name that has no CLIENT span below it."""
    return span.name == name and not any(child.kind == "client" for child in span.children)


def reads(span: Span, statement: str) -> bool:
    """Tell a span of a statement that begins so."""
    return str(span.tags.get("db.query.text", "")).startswith(statement)


def slow_itself(span: Span, name: str, ms: float) -> bool:
    """Tell a span whose name begins so and that took `ms` longer than the longest span below it."""
    longest = max((child.duration for child in span.children), default=0)
    return span.name.startswith(name) and span.duration - longest >= ms * 1000


def slow_cache(span: Span, ms: float) -> bool:
    """Tell an operation of the cache that took `ms` or longer."""
    return span.tags.get("db.system.name") == "redis" and span.duration >= ms * 1000


def repeated(span: Span, statement: str, times: int) -> bool:
    """Tell a span with that many children that are the same statement, which begins so."""
    same = [child for child in span.children if str(child.tags.get("db.query.text", "")).startswith(statement)]
    return len(same) >= times


PREDICATES: dict[str, SpanPredicate] = {
    "call_to": call_to,
    "call_failed": call_failed,
    "client_failed_server_ok": client_failed_server_ok,
    "network_gap": network_gap,
    "slow": slow,
    "waits_for_lock": waits_for_lock,
    "runs": runs,
    "childless": childless,
    "without_child": without_child,
    "slow_server": slow_server,
    "repeated": repeated,
    "reads": reads,
    "slow_itself": slow_itself,
    "slow_cache": slow_cache,
}


def holds(span: Span, name: str, arguments: dict[str, Any]) -> bool:
    """Return whether a predicate of the table holds for a span."""
    return PREDICATES[name](span, **arguments)


def matching(trace: Trace, name: str, arguments: dict[str, Any]) -> list[Span]:
    """Return the spans of a trace for which it holds."""
    return [span for span in trace.spans if holds(span, name, arguments)]


def below(span: Span) -> list[Span]:
    """Return all spans under a span."""
    found, stack = [], list(span.children)
    while stack:
        found.append(stack.pop())
        stack.extend(found[-1].children)
    return found


def overlap(one: Span, other: Span) -> bool:
    """Return whether two spans ran at the same time."""
    return one.start < other.end and other.start < one.end


def order_ids(trace: Trace) -> set[str]:
    """Return the ids of the orders that the spans of a trace name."""
    return {str(span.tags["order.id"]) for span in trace.spans if "order.id" in span.tags}


def has_service(trace: Trace, service: str) -> bool:
    """Return whether a service has left a span in a trace."""
    return any(span.service == service for span in trace.spans)
