"""Exports in OTLP/JSON with a text in one place: every place in which OTLP has text."""

import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any

Json = dict[str, Any]
SECOND = 1_000_000_000
LISTS = {"traces": "resourceSpans", "metrics": "resourceMetrics", "logs": "resourceLogs"}


def value(given: Any) -> Json:
    """An AnyValue."""
    if isinstance(given, bool):
        return {"boolValue": given}
    if isinstance(given, int):
        return {"intValue": str(given)}
    if isinstance(given, float):
        return {"doubleValue": given}
    if isinstance(given, list):
        return {"arrayValue": {"values": [value(item) for item in given]}}
    if isinstance(given, dict):
        return {"kvlistValue": {"values": attributes(given)}}
    return {"stringValue": given}


def attributes(given: dict[str, Any]) -> list[Json]:
    """Key and value of each."""
    return [{"key": key, "value": value(item)} for key, item in given.items()]


def resource(name: str, **more: Any) -> Json:
    """Of a service of this name."""
    return {"attributes": attributes({"service.name": name, **more})}


def span(**changes: Any) -> Json:
    """One that ended a moment ago."""
    now = time.time_ns()
    times = {"startTimeUnixNano": str(now - SECOND), "endTimeUnixNano": str(now)}
    return {
        "traceId": secrets.token_hex(16),
        "spanId": secrets.token_hex(8),
        "name": "n",
        "kind": 3,
        **times,
        **changes,
    }


def record(**changes: Any) -> Json:
    """A log record of this moment."""
    return {"timeUnixNano": str(time.time_ns()), "body": value("text"), **changes}


def point(**given: Any) -> Json:
    """A data point with these attributes."""
    now = time.time_ns()
    times = {"startTimeUnixNano": str(now - SECOND), "timeUnixNano": str(now)}
    return {**times, "attributes": attributes(given)}


def counter(attribute: dict[str, Any], **changes: Any) -> Json:
    """A sum with one data point."""
    data = {"aggregationTemporality": 2, "isMonotonic": True, "dataPoints": [{**point(**attribute), "asInt": "1"}]}
    return {"name": "calls", "sum": data, **changes}


def entry(signal: str, item: Json, *, of: Json | None = None, scope: Json | None = None, **schema: str) -> Json:
    """One item with its resource and its scope."""
    scoped, items = {
        "traces": ("scopeSpans", "spans"),
        "metrics": ("scopeMetrics", "metrics"),
        "logs": ("scopeLogs", "logRecords"),
    }[signal]
    inner = {"scope": scope or {}, items: [item], **schema}
    return {"resource": of or resource("careless"), scoped: [inner], **schema}


def link(**changes: Any) -> Json:
    """A link to some other span."""
    return {"traceId": secrets.token_hex(16), "spanId": secrets.token_hex(8), **changes}


def _of_histogram(kind: str, **more: Any) -> Callable[[dict[str, Any]], Json]:
    def put(given: dict[str, Any]) -> Json:
        data: Json = {"dataPoints": [{**point(**given), "count": "1", "sum": 5, **more}]}
        return entry(
            "metrics", {"name": "h", kind: data | ({} if kind == "summary" else {"aggregationTemporality": 2})}
        )

    return put


def _of_gauge(given: dict[str, Any]) -> Json:
    return entry("metrics", {"name": "g", "gauge": {"dataPoints": [{**point(**given), "asDouble": 0.5}]}})


def _of_resource(signal: str, item: Callable[[], Json]) -> Callable[[dict[str, Any]], Json]:
    return lambda given: entry(signal, item(), of=resource("careless", **given))


def _of_scope(signal: str, item: Callable[[], Json]) -> Callable[[dict[str, Any]], Json]:
    return lambda given: entry(signal, item(), scope={"attributes": attributes(given)})


WITH_ATTRIBUTES: dict[str, dict[str, Callable[[dict[str, Any]], Json]]] = {
    "traces": {
        "resource": _of_resource("traces", span),
        "scope": _of_scope("traces", span),
        "span": lambda given: entry("traces", span(attributes=attributes(given))),
        "event": lambda given: entry("traces", span(events=[{"name": "e", "attributes": attributes(given)}])),
        "link": lambda given: entry("traces", span(links=[link(attributes=attributes(given))])),
    },
    "metrics": {
        "resource": _of_resource("metrics", lambda: counter({})),
        "scope": _of_scope("metrics", lambda: counter({})),
        "sum": lambda given: entry("metrics", counter(given)),
        "gauge": _of_gauge,
        "histogram": _of_histogram("histogram", bucketCounts=["1", "0"], explicitBounds=[10]),
        "exponential histogram": _of_histogram("exponentialHistogram", scale=0, zeroCount="1"),
        "summary": _of_histogram("summary"),
    },
    "logs": {
        "resource": _of_resource("logs", record),
        "scope": _of_scope("logs", record),
        "record": lambda given: entry("logs", record(attributes=attributes(given))),
        "body": lambda given: entry("logs", record(body=value(given))),
        "list as body": lambda given: entry("logs", record(body=value([given, "x"]))),
    },
}
"""What makes an export of attributes, by signal and by what has them."""

WITH_TEXT: dict[str, dict[str, Callable[[str], Json]]] = {
    "traces": {
        "scope name": lambda text: entry("traces", span(), scope={"name": text}),
        "scope version": lambda text: entry("traces", span(), scope={"version": text}),
        "schema": lambda text: entry("traces", span(), schemaUrl=text),
        "span name": lambda text: entry("traces", span(name=text)),
        "status": lambda text: entry("traces", span(status={"code": 2, "message": text})),
        "trace state": lambda text: entry("traces", span(traceState=text)),
        "event name": lambda text: entry("traces", span(events=[{"name": text}])),
        "link's trace state": lambda text: entry("traces", span(links=[link(traceState=text)])),
    },
    "metrics": {
        "scope name": lambda text: entry("metrics", counter({}), scope={"name": text}),
        "schema": lambda text: entry("metrics", counter({}), schemaUrl=text),
        "metric name": lambda text: entry("metrics", counter({}, name=text)),
        "description": lambda text: entry("metrics", counter({}, description=text)),
        "unit": lambda text: entry("metrics", counter({}, unit=text)),
    },
    "logs": {
        "scope name": lambda text: entry("logs", record(), scope={"name": text}),
        "schema": lambda text: entry("logs", record(), schemaUrl=text),
        "body as text": lambda text: entry("logs", record(body=value(text))),
        "severity": lambda text: entry("logs", record(severityText=text)),
        "event name": lambda text: entry("logs", record(eventName=text)),
    },
}
"""What makes an export of a text, by signal and by where the text is."""

WITHIN: dict[str, Callable[[str], dict[str, Any]]] = {
    "value": lambda text: {"key": text},
    "list": lambda text: {"key": ["first", text]},
    "nested": lambda text: {"key": {"deep": [{"deeper": text}]}},
    "key": lambda text: {text: "value"},
    "key within": lambda text: {"key": {text: 1}},
}
"""Where a text can be in attributes."""


def places() -> Iterator[tuple[str, str, Callable[[str], Json]]]:
    """Every place where OTLP has text: signal, name, and what makes an export of a text there."""
    for signal, makers in WITH_ATTRIBUTES.items():
        for holder, make in makers.items():
            for where, given in WITHIN.items():
                yield signal, f"{holder}: {where}", _of_text(make, given)
    for signal, texts in WITH_TEXT.items():
        for place, made in texts.items():
            yield signal, place, made


def _of_text(make: Callable[[dict[str, Any]], Json], given: Callable[[str], dict[str, Any]]) -> Callable[[str], Json]:
    return lambda text: make(given(text))
