"""From one logging call: one JSON line on stdout and one OTLP record."""

import json
import logging
import re
from collections import Counter
from typing import Any

import pytest

from app.logs import ConsoleFormatter, TraceJsonFormatter
from tests.app.probe import AWKWARD_CALLS, AWKWARD_EXTRAS, DEEP, Unprintable
from tests.app.test_traces import server_span, trace_of
from tests.support.service_process import ServiceProcess
from tests.support.telemetry_receiver import LogRecord, Receiver, matching
from tests.support.waiting import until

pytestmark = [pytest.mark.xdist_group("probe"), pytest.mark.usefixtures("probe")]

PROMISED = ["timestamp", "level", "message", "logger", "module"]


def line_of(probe: ServiceProcess, message: str) -> dict[str, Any]:
    """The one line with this message; waits for it."""
    lines = until(lambda: [line for line in probe.log_lines() if line["message"] == message])
    assert len(lines) == 1, lines
    return dict(lines[0])


def test_a_call_arrives_once_on_stdout_and_once_over_otlp_with_the_ids_of_its_span(
    probe: ServiceProcess, receiver: Receiver
) -> None:
    span = server_span(probe.get("/things/77"), receiver)
    line, record = line_of(probe, "looked for thing 77"), receiver.log(body="looked for thing 77")
    assert (line["trace_id"], line["span_id"]) == (span.trace_id, span.span_id)
    assert (record.trace_id, record.span_id) == (span.trace_id, span.span_id)
    assert (line["level"], line["logger"], line["module"]) == ("INFO", "probe", "probe")
    assert (record.severity, record.scope, record.service) == ("INFO", "probe", "probe")
    assert line["probe.found"] is record.attributes["probe.found"] is False


def test_everything_on_stdout_has_arrived_over_otlp_but_for_gunicorns_start_and_the_exporters_own_complaints(
    probe: ServiceProcess, receiver: Receiver
) -> None:
    for _ in range(20):
        probe.get("/things/1")
    written = Counter(
        (line["trace_id"], line["span_id"], line["logger"], line["message"])
        for line in probe.log_lines()
        if "trace_id" in line and not line["logger"].startswith("opentelemetry.") and line["message"] != "awkward extra"
    )
    assert written.total() >= 40

    def sent() -> Counter[tuple[str, str, str, str]]:
        return Counter((record.trace_id, record.span_id, record.scope, record.body) for record in list(receiver.logs))

    until(lambda: written <= sent())
    assert {call for call, times in sent().items() if call in written and times != 1} == set()
    assert set(written.values()) == {1}


def test_a_call_outside_any_span_carries_no_ids(probe: ServiceProcess, receiver: Receiver) -> None:
    records = until(lambda: matching(receiver.logs, body="tick"))
    lines = [line for line in probe.log_lines() if line["message"] == "tick"]
    assert {(record.trace_id, record.span_id) for record in records} <= {("", ""), ("0" * 32, "0" * 16)}
    assert not [line for line in lines if "trace_id" in line or "span_id" in line]


def test_each_worker_has_a_background_task_of_its_own(receiver: Receiver) -> None:
    def instances() -> set[str]:
        return {record.resource["service.instance.id"] for record in matching(receiver.logs, body="tick")}

    until(lambda: len(instances()) == 2)


def test_each_line_has_the_promised_fields_and_gunicorns_lines_too(probe: ServiceProcess) -> None:
    lines = probe.log_lines()
    for line in lines:
        assert set(PROMISED) <= line.keys()
        assert list(line)[:3] == PROMISED[:3]
    assert {"Starting gunicorn", "Listening at:", "Booting worker"} <= {
        " ".join(line["message"].split()[:2]) for line in lines if line["logger"] == "gunicorn.error"
    }


def test_a_request_is_logged_once_inside_its_span(probe: ServiceProcess, receiver: Receiver) -> None:
    span = server_span(probe.get("/nowhere?card=4111111111111111"), receiver)
    (record,) = until(lambda: matching(receiver.logs, span_id=span.span_id))
    assert record.body == "GET (no route) 404"
    assert record.attributes["http.response.status_code"] == 404
    (line,) = [line for line in probe.log_lines() if line.get("span_id") == span.span_id]
    assert line["duration_ms"] >= 0
    assert "4111" not in repr((line, record))


def test_an_exception_comes_with_its_stack_in_both(probe: ServiceProcess, receiver: Receiver) -> None:
    span = server_span(probe.get("/boom"), receiver)
    (record,) = until(lambda: [log for log in matching(receiver.logs, span_id=span.span_id) if log.severity == "ERROR"])
    (line,) = [line for line in probe.log_lines() if (line.get("span_id"), line["level"]) == (span.span_id, "ERROR")]
    assert record.attributes["exception.type"] == "RuntimeError"
    for stack in (line["exc_info"], record.attributes["exception.stacktrace"]):
        assert "Traceback" in stack
        assert "boom with\ntwo lines" in stack


@pytest.fixture
def awkward(probe: ServiceProcess, receiver: Receiver) -> tuple[list[dict[str, Any]], list[LogRecord]]:
    """(lines, records) of a request that logs what nobody should."""
    response = probe.get("/awkward-logs")
    assert response.status_code == 200
    (_, *_), span = trace_of(response, receiver), server_span(response, receiver)
    until(lambda: [log for log in matching(receiver.logs, span_id=span.span_id) if log.body == "after the awkward"])
    lines = [line for line in probe.log_lines() if line.get("span_id") == span.span_id]
    return lines, matching(receiver.logs, span_id=span.span_id)


def test_awkward_messages_arrive_whole_on_lines_of_their_own(
    awkward: tuple[list[dict[str, Any]], list[LogRecord]],
) -> None:
    lines, records = awkward
    expected = [
        "before the awkward",
        "two\nlines and a \"quote\" and a 'quote'",
        "NUL \0 and escape \x1b[31m",
        "a lone surrogate \\udcff",
        "100 % sure",
        "%d pieces (its arguments do not fit: TypeError)",
        "%s (its arguments do not fit: TypeError)",
        "%s (its arguments do not fit: RuntimeError)",
        "%d (its arguments do not fit: ValueError)",
        "b'\\xff\\xfe'",
        "huge " + "x" * 1_000_000,
    ]
    assert [line["message"] for line in lines][: len(expected)] == expected
    assert [record.body for record in records][: len(expected)] == expected
    assert "after the awkward" in [line["message"] for line in lines]


def test_each_awkward_call_is_one_line_and_one_record_and_nothing_goes_to_stderr(
    awkward: tuple[list[dict[str, Any]], list[LogRecord]], probe: ServiceProcess
) -> None:
    lines, records = awkward
    calls = len(AWKWARD_CALLS) + len(AWKWARD_EXTRAS) + 2
    assert len([line for line in lines if line["logger"] == "probe"]) == calls
    assert len([record for record in records if record.scope == "probe"]) == calls
    assert probe.stderr.read_text() == ""


def test_extra_fields_of_any_kind_arrive_as_far_as_they_have_a_text(
    awkward: tuple[list[dict[str, Any]], list[LogRecord]],
) -> None:
    lines, records = awkward
    for fields in (
        {name: value for line in lines for name, value in line.items()},
        {name: value for record in records for name, value in record.attributes.items()},
    ):
        assert fields["surrogate"] == "\\udcff"
        assert fields["unprintable"] == "<Unprintable without a text: RuntimeError>"
        assert fields["huge"] == "<int without a text: ValueError>"
        assert fields["beyond"] == str(2**64)
        assert (fields["nan"], fields["inf"]) == ("nan", "inf")
        assert fields["bytes"] == "b'\\xff'"
        assert fields["set"] == [1]
        assert fields["mapping"] == {"1": {"\\udcff": "<Unprintable without a text: RuntimeError>"}}


def test_the_formatter_writes_any_record_without_raising() -> None:
    formatter = TraceJsonFormatter("%(message)s")
    for fields in (
        {"created": float("nan")},
        {"created": "yesterday"},
        {"levelname": "\udcff", "name": 1},
        {"exc_info": (ValueError, Unprintable(), None)},
        {"exc_info": True},
        {"stack_info": Unprintable()},
        {"msg": None, "args": object()},
        {"msg": {"exc_info": DEEP}},
        {"message": "forged", "asctime": Unprintable()},
        {"module": Unprintable()},
    ):
        record = logging.makeLogRecord({"msg": "fine", "levelname": "INFO", **fields})
        line = json.loads(formatter.format(record))
        assert set(PROMISED) <= line.keys()


def test_no_message_and_no_extra_field_forges_what_readers_rely_on(
    awkward: tuple[list[dict[str, Any]], list[LogRecord]],
) -> None:
    lines, _ = awkward
    forged = {(name, line[name]) for line in lines for name in (*PROMISED, "trace_id") if line[name] == "forged"}
    assert forged == set()


def test_on_the_console_a_record_is_one_line_with_its_extra_and_a_traceback_below_it() -> None:
    try:
        raise ValueError("no such cup")
    except ValueError as error:
        exc_info = (type(error), error, error.__traceback__)
    record = logging.LogRecord("shop", logging.WARNING, "shop.py", 7, "few %s left", ("cups",), exc_info)
    record.sku = "CUP\x1b[2J"
    first, *traceback = ConsoleFormatter("%(message)s").format(record).splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3} WARNING  few cups left  sku=CUP\N{REPLACEMENT CHARACTER}\[2J", first)
    assert traceback[0] == "Traceback (most recent call last):"
    assert traceback[-1] == "ValueError: no such cup"


def test_on_the_console_color_is_for_terminals_and_not_under_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    record = logging.LogRecord("shop", logging.ERROR, "shop.py", 7, "no cups", (), None)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[31mERROR" in ConsoleFormatter("%(message)s").format(record)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in ConsoleFormatter("%(message)s").format(record)
