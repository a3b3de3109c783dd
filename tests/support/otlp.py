"""Traces made by hand, as OTLP/JSON."""

import secrets
import time
from collections.abc import Iterable
from typing import Any

import requests

from tests.browser.conftest import Stack

Json = dict[str, Any]
HOSTILE = "<img src=x onerror=\"document.title='owned'\">"


def attributes(values: dict[str, Any]) -> list[Json]:
    """Attributes of text, numbers and truth values."""
    kinds = {str: "stringValue", int: "intValue", float: "doubleValue", bool: "boolValue"}
    return [{"key": key, "value": {kinds[type(value)]: value}} for key, value in values.items()]


def span(name: str, *, parent: str = "", at: float = 0, ms: float = 10, **fields: Any) -> Json:
    """A span that begins `at` ms after a moment ago; the trace id is filled in by `send`."""
    start = time.time_ns() - 10_000_000_000 + int(at * 1e6)
    fields["attributes"] = attributes(fields.get("attributes", {}))
    times = {"startTimeUnixNano": str(start), "endTimeUnixNano": str(start + int(ms * 1e6))}
    return {"spanId": secrets.token_hex(8), "parentSpanId": parent, "name": name, "kind": 2, **times, **fields}


def send(stack: Stack, service: str, spans: Iterable[Json], logs: Iterable[Json] = (), trace_id: str = "") -> str:
    """Store one trace with its logs; its id, which is new if none is given."""
    trace_id = trace_id or secrets.token_hex(16)
    resource = {"attributes": attributes({"service.name": service})}
    all_spans = [{"traceId": trace_id, **one} for one in spans]
    for first in range(0, len(all_spans), 5000):
        scope = {"scope": {"name": "by hand"}, "spans": all_spans[first : first + 5000]}
        _post(stack, "traces", {"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]})
    records = [{"traceId": trace_id, "severityNumber": 9, **one} for one in logs]
    if records:
        scope = {"scope": {"name": "by hand"}, "logRecords": records}
        _post(stack, "logs", {"resourceLogs": [{"resource": resource, "scopeLogs": [scope]}]})
    return trace_id


def large_trace(spans: int) -> list[Json]:
    """A request with a thousand calls, each with its own steps."""
    root = span("GET /report", ms=spans)
    made = [root]
    while len(made) < spans:
        number = len(made)
        call = span(f"call {number}", parent=root["spanId"], at=number, ms=9, attributes={"page": number})
        made.append(call)
        steps = min(9, spans - len(made))
        made += [span(f"SELECT {n}", parent=call["spanId"], at=number + n, ms=1, kind=3) for n in range(steps)]
    return made


def _post(stack: Stack, signal: str, body: Json) -> None:
    response = requests.post(f"{stack.url('OTLP_HTTP')}/v1/{signal}", json=body, timeout=30)
    assert (response.status_code, response.json()) == (200, {})
