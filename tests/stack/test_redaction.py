"""Card numbers and e-mail addresses, sent as input and as telemetry, are in no backend."""

import json
import re
import time
import uuid
from typing import Any

import pytest
import requests

from local.client import trace_id_of
from tests.stack.conftest import ARRIVAL_TIMEOUT, loki, prometheus, trace, url
from tests.support.waiting import until

CARDS = ("4111111111111111", "5500 0055 5555 5559", "3782-822463-10005")
MAIL = "canary.person@mail.example.com"
SECRET = "Bearer canary-0123456789abcdef"
CANARIES = (*CARDS, MAIL, SECRET.split()[1], "canary-of-a-query")
QUERY = "token=canary-of-a-query&page=2"
MASKED = "token=****&page=****"
NANOSECONDS = 1_000_000_000


def free_of_canaries(text: str) -> bool:
    return not any(canary in text for canary in CANARIES)


@pytest.fixture(scope="module")
def traces_of_bad_input() -> list[str]:
    """Trace ids of requests that carry canaries in every place a client can put them."""
    shop = url("ORDER_PORT")
    headers = {"User-Agent": f"canary/1 ({MAIL})", "Authorization": SECRET, "Idempotency-Key": MAIL}
    responses = [requests.get(f"{shop}/orders/{card}", headers=headers, timeout=60) for card in CARDS]
    responses.append(requests.get(f"{shop}/orders", {"cursor": MAIL}, headers=headers, timeout=60))
    for canary in CANARIES:
        for field in ("customer_id", "payment_token", "region"):
            body = {"customer_id": "c", "payment_token": "tok_a", "region": "eu", "lines": [], field: canary}
            responses.append(requests.post(f"{shop}/orders", json=body, headers=headers, timeout=60))
    assert {response.status_code for response in responses} <= {404, 422}
    return [trace_id_of(response) or "" for response in responses]


def test_what_clients_send_is_in_no_trace(traces_of_bad_input: list[str]) -> None:
    for trace_id in traces_of_bad_input:
        found = until(lambda trace_id=trace_id: trace(trace_id), ARRIVAL_TIMEOUT)  # type: ignore[misc]
        assert free_of_canaries(json.dumps(found))


def test_what_clients_send_is_in_no_log(traces_of_bad_input: list[str]) -> None:
    last = traces_of_bad_input[-1]
    until(lambda: loki(f'{{service_name="order-service"}} | trace_id="{last}"'), ARRIVAL_TIMEOUT)
    assert free_of_canaries(json.dumps(loki('{service_name=~".+"}', limit=5000)))


def otlp(signal: str, body: dict[str, Any]) -> None:
    response = requests.post(f"{url('OTLP_HTTP_PORT')}/v1/{signal}", json=body, timeout=60)
    assert response.ok, response.text


def attribute(key: str, value: str) -> dict[str, Any]:
    return {"key": key, "value": {"stringValue": value}}


@pytest.fixture(scope="module")
def careless() -> str:
    """A service that puts canaries wherever OTLP has text, in all three signals; its name."""
    name, now = f"careless-{uuid.uuid4().hex[:8]}", time.time_ns()
    text = " ".join((*CARDS, MAIL, SECRET))
    resource = {"attributes": [attribute("service.name", name), attribute("owner", MAIL)]}
    note = [attribute("note", text)]
    span = {
        "traceId": uuid.uuid4().hex,
        "spanId": uuid.uuid4().hex[:16],
        "name": f"charge {text}",
        "kind": 3,
        "startTimeUnixNano": str(now - NANOSECONDS),
        "endTimeUnixNano": str(now),
        "attributes": [
            *note,
            attribute("http.request.header.authorization", SECRET),
            attribute("url.query", QUERY),
            attribute("url.full", f"http://shop.example/orders?{QUERY}#end"),
            attribute("http.target", f"/orders?{QUERY}"),
        ],
        "events": [{"timeUnixNano": str(now), "name": "exception", "attributes": note}],
        "status": {"code": 2, "message": text},
    }
    point = {
        "asInt": "1",
        "timeUnixNano": str(now),
        "startTimeUnixNano": str(now),
        "attributes": [attribute("who", text)],
    }
    metric = {
        "name": "careless.calls",
        "sum": {"aggregationTemporality": 2, "isMonotonic": True, "dataPoints": [point]},
    }
    record = {
        "timeUnixNano": str(now),
        "body": {"stringValue": text},
        "attributes": [*note, attribute("url.query", QUERY)],
    }
    otlp("traces", {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]})
    otlp("metrics", {"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": [metric]}]}]})
    otlp("logs", {"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": [record]}]}]})
    return name


def test_what_a_careless_service_sends_is_masked_in_traces(careless: str) -> None:
    def found() -> list[Any]:
        search = requests.get(f"{url('TRACES_PORT')}/api/traces", {"service": careless}, timeout=30)
        return list(search.json()["data"] or [])

    text = json.dumps(until(found, ARRIVAL_TIMEOUT))
    assert "****" in text
    assert {f"http://shop.example/orders?{MASKED}#end", f"/orders?{MASKED}", MASKED} <= set(
        re.findall(r'"([^"]*)"', text)
    )
    assert free_of_canaries(text)


def test_what_a_careless_service_sends_is_masked_in_logs(careless: str) -> None:
    text = json.dumps(until(lambda: loki(f'{{service_name="{careless}"}}'), ARRIVAL_TIMEOUT))
    assert "****" in text
    assert free_of_canaries(text)


def test_what_a_careless_service_sends_is_masked_in_metrics_and_in_the_span_metrics(careless: str) -> None:
    for query in (f'careless_calls_total{{job="{careless}"}}', f'traces_span_metrics_calls_total{{job="{careless}"}}'):
        text = json.dumps(until(lambda query=query: prometheus(query), ARRIVAL_TIMEOUT))  # type: ignore[misc]
        assert "****" in text
        assert free_of_canaries(text)
    everything = requests.get(f"{url('PROMETHEUS_PORT')}/api/v1/series", {"match[]": '{job=~".+"}'}, timeout=30).text
    assert free_of_canaries(everything)
