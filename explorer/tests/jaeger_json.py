"""Builds small traces in Jaeger's JSON; times in ms after one fixed moment."""

from typing import Any

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
BEGAN = 1_790_000_000_000_000
"""µs since the epoch."""

Json = dict[str, Any]


def span(
    span_id: str,
    name: str,
    start: float,
    duration: float,
    *,
    parent: str | None = None,
    service: str = "order-service",
    kind: str = "internal",
    follows: bool = False,
    tags: Json | None = None,
    events: list[Json] | None = None,
    links: tuple[str, ...] = (),
) -> Json:
    """One span; `parent` is a span id of the same trace, `links` are ids of other traces."""
    reference = "FOLLOWS_FROM" if follows else "CHILD_OF"
    references = [{"refType": reference, "traceID": TRACE_ID, "spanID": parent}] if parent else []
    references += [{"refType": "FOLLOWS_FROM", "traceID": link, "spanID": "0" * 16} for link in links]
    values = {"span.kind": kind, **(tags or {})}
    return {
        "traceID": TRACE_ID,
        "spanID": span_id,
        "operationName": name,
        "references": references,
        "startTime": BEGAN + round(start * 1000),
        "duration": round(duration * 1000),
        "tags": [{"key": key, "type": "string", "value": value} for key, value in values.items()],
        "logs": events or [],
        "processID": service,
    }


def trace(*spans: Json) -> Json:
    """One element of `/api/traces`' data."""
    services = {span["processID"] for span in spans}
    return {
        "traceID": TRACE_ID,
        "spans": list(spans),
        "processes": {name: {"serviceName": name, "tags": []} for name in services},
    }


def log(span_id: str, at: float, body: str, *, service: str = "order-service", level: str = "INFO") -> Json:
    """One record of `/api/logs`."""
    moment = BEGAN + round(at * 1000)
    return {"timestamp": moment, "service": service, "level": level, "body": body, "span_id": span_id}


def order_trace() -> Json:
    """An order of 96 ms, of which payment-service takes 41 to charge the card."""
    return trace(
        span("a", "POST /orders", 0, 96, kind="server"),
        span("b", "process_order", 3, 90, parent="a"),
        span("c", "validate_inventory", 4, 30, parent="b"),
        span("d", "POST", 5, 28, parent="c", kind="client", tags=call("http://127.0.0.1:8081/reservations")),
        span("e", "POST /reservations", 6, 25, parent="d", kind="server", service="inventory-service"),
        span("f", "UPDATE inventory.db", 8, 5, parent="e", kind="client", service="inventory-service", tags=SQL),
        span("g", "charge_payment", 36, 50, parent="b"),
        span("h", "POST", 37, 48, parent="g", kind="client", tags=call("http://127.0.0.1:8082/charges")),
        span("i", "POST /charges", 39, 41, parent="h", kind="server", service="payment-service"),
        span("j", "INSERT payment.db", 75, 4, parent="i", kind="client", service="payment-service"),
    )


def call(url: str, status: int = 201) -> Json:
    """The tags of an answered HTTP call."""
    return {"url.full": url, "http.response.status_code": status}


SQL = {
    "db.system.name": "sqlite",
    "db.query.text": 'UPDATE items SET stock=?, "version"=? \n WHERE items.sku = ?',
}
