"""Logs: found by trace, service, level and text."""

import secrets
from collections.abc import Callable
from typing import Any

import pytest

from .conftest import START, Backend, logs, span, spans


def test_the_logs_of_a_trace_are_given_oldest_first_wherever_they_came_from(backend: Backend, service: str) -> None:
    trace_id = secrets.token_bytes(16)
    ids = {"trace_id": trace_id, "span_id": b"12345678"}
    backend.send(
        logs(service, ids | {"body": "second", "time_unix_nano": START + 2000, "attributes": {"order.id": "o-1"}})
    )
    backend.send(logs(service + "-b", ids | {"body": "first", "severity_number": 17}, scope="payment"))
    backend.send(spans(service, span(trace_id)))  # the spans come after their logs
    first, second = backend.get("/api/logs", trace_id=trace_id.hex())
    assert first.pop("id") > second["id"]  # it arrived later
    assert first == {
        "timestamp": START // 1000,
        "service": service + "-b",
        "level": "ERROR",
        "body": "first",
        "trace_id": trace_id.hex(),
        "span_id": b"12345678".hex(),
        "attributes": {},
        "resource": {"service.name": service + "-b"},
        "logger": "payment",
    }
    assert (second["body"], second["attributes"]) == ("second", {"order.id": "o-1"})


@pytest.fixture(scope="module")
def talker(backend: Backend) -> str:
    """A service with one record of each level, a millisecond apart."""
    name = f"talker-{secrets.token_hex(4)}"
    numbers = {"debug": 5, "info": 9, "warn": 13, "error": 17, "fatal": 21}
    backend.send(
        logs(
            name,
            *(
                {"body": f"This is {level}", "severity_number": number, "time_unix_nano": START + number * 1_000_000}
                for level, number in numbers.items()
            ),
        )
    )
    return name


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, ["fatal", "error", "warn", "info", "debug"]),
        ({"limit": 2}, ["fatal", "error"]),
        ({"level": "WARN"}, ["fatal", "error", "warn"]),
        ({"level": "critical"}, ["fatal"]),
        ({"text": "IS ERR"}, ["error"]),
        ({"text": "100%"}, []),
        ({"start": START // 1000 + 13_000, "end": START // 1000 + 17_000}, ["error", "warn"]),
    ],
)
def test_logs_are_found_newest_first(
    backend: Backend, talker: str, parameters: dict[str, Any], expected: list[str]
) -> None:
    found = backend.get("/api/logs", service=talker, **parameters)
    assert [record["body"] for record in found] == [f"This is {level}" for level in expected]


def test_an_invalid_id_means_that_a_record_belongs_to_no_trace(backend: Backend, service: str) -> None:
    trace_id, span_id = secrets.token_bytes(16), b"12345678"
    backend.send(
        logs(
            service,
            {"body": "both zero", "trace_id": bytes(16), "span_id": bytes(8)},
            {"body": "half a trace id", "trace_id": b"short", "span_id": span_id},
            {"body": "a span id alone", "span_id": span_id},
            {"body": "a trace id alone", "trace_id": trace_id},
            {"body": "half a span id", "trace_id": trace_id, "span_id": b"123"},
        ),
        spans(service, span(trace_id)),
    )
    records = backend.get("/api/logs", service=service)
    assert {record["body"]: (record["trace_id"], record["span_id"]) for record in records} == {
        "both zero": ("", ""),
        "half a trace id": ("", ""),
        "a span id alone": ("", ""),
        "a trace id alone": (trace_id.hex(), ""),
        "half a span id": (trace_id.hex(), ""),
    }
    assert len(backend.get(f"/api/logs?trace_id={trace_id.hex()}")) == 2
    (exported,) = backend.ask(f"/api/traces/{trace_id.hex()}/otlp").json()["resourceLogs"]
    assert len(exported["scopeLogs"][0]["logRecords"]) == 2


def test_integers_that_a_browser_would_round_are_given_as_their_digits(backend: Backend, service: str) -> None:
    backend.send(logs(service, {"attributes": {"id": 212089821454139392, "small": 7, "many": [9007199254740993, 1]}}))
    (record,) = backend.get("/api/logs", service=service)
    assert record["attributes"] == {"id": "212089821454139392", "small": 7, "many": ["9007199254740993", 1]}


def test_a_structured_body_is_given_as_json(backend: Backend, service: str) -> None:
    backend.send(logs(service, {"body": ["a", 1, True], "event_name": "order.placed"}))
    (record,) = backend.get("/api/logs", service=service)
    assert (record["body"], record["attributes"]) == ('["a",1,true]', {"event.name": "order.placed"})


def test_a_line_has_the_attributes_of_its_resource(backend: Backend, service: str) -> None:
    backend.send(logs(service, {"body": "one"}, {"body": "two"}))
    lines = backend.get("/api/logs", service=service)
    around = backend.get("/api/logs/context", id=lines[0]["id"])
    assert [line["resource"]["service.name"] for line in (*lines, *around)] == [service] * 4


def test_the_oldest_time_is_of_all_signals(launch: Callable[..., Backend]) -> None:
    backend = launch()
    assert backend.get("/api/stats")["oldest"] is None
    backend.send(logs("old", {"body": "first"}))
    assert backend.get("/api/stats")["oldest"] == backend.get("/api/logs", service="old")[0]["timestamp"]
