"""`waybill-explorer traces`, `logs`, `errors` and `tail`: the query language on the command line."""

import io
import json
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from rich.console import Console

from waybill_explorer import terminal_search
from waybill_explorer.client import TraceApi

from .conftest import Backend, logs, span, spans, start

FAILED = Status(code=Status.STATUS_CODE_ERROR, message="the card processor is unavailable")
COMMAND = [sys.executable, "-m", "waybill_explorer"]


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """A backend with four traces and three log lines of the last minute."""
    running = start(tmp_path_factory.mktemp("terminal"))
    now = time.time_ns()
    for number in range(4):
        trace_id = bytes([number + 1]) * 16
        failed = FAILED if number in (1, 2) else None
        running.send(
            spans("shop", span(trace_id, "POST /orders", at=now - number * 10**9, ms=10 + 300 * number, status=failed)),
        )
    lines = [{"body": f"line {n}", "severity_number": 9 + 4 * n, "time_unix_nano": now + n} for n in range(3)]
    running.send(logs("shop", *(line | {"trace_id": bytes([1]) * 16} for line in lines)))
    yield running
    assert running.stop() == 0


def run(backend: Backend, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *arguments, "--url", f"http://127.0.0.1:{backend.traces_port}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def printed(backend: Backend, *arguments: str) -> list[str]:
    ended = run(backend, *arguments)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.splitlines()


def test_traces_are_printed_newest_first_with_what_failed_and_their_id(backend: Backend) -> None:
    *lines, end = printed(backend, "traces", "service:shop duration>100ms", "--limit", "2")
    assert [line.split()[-1] for line in lines] == ["02" * 16, "03" * 16]
    assert "shop POST /orders  ✗ 1 the card processor is unavailable" in lines[0]
    assert " 310 ms " in lines[0]
    assert end.startswith("2 traces in the last 1h, the newest 2: --limit gives more. Times are in ")


def test_the_words_of_a_query_may_be_arguments_of_their_own(backend: Backend) -> None:
    assert len(printed(backend, "traces", "service:shop", "status:error", "--since", "5m")) == 3


def test_logs_are_printed_with_the_newest_last(backend: Backend) -> None:
    *lines, end = printed(backend, "logs", "level>=warn or body:0")
    assert [line.split()[2] for line in lines] == ["INFO", "WARN", "ERROR"]
    assert all(line.endswith("01" * 16) for line in lines)
    assert end.startswith("3 log lines in the last 1h. Times are in ")


def test_errors_are_counted_by_service_and_by_what_they_say(backend: Backend) -> None:
    lines = printed(backend, "errors", "--since", "15m")
    assert lines[0].strip() == "2 of 4 requests to shop"
    assert lines[2].split("  last")[0].strip().startswith("2  shop POST /orders: the card processor is unavailable")
    assert lines[2].endswith("02" * 16)
    assert lines[3].startswith("2 failed traces in the last 15m. Times are in ")
    assert printed(backend, "errors", "service:none")[0].startswith("0 failed traces")


@pytest.mark.parametrize(
    ("command", "key", "count"), [("traces", "traces", 4), ("logs", "logs", 3), ("errors", "errors", 1)]
)
def test_scripts_get_json(backend: Backend, command: str, key: str, count: int) -> None:
    assert len(json.loads(run(backend, command, "--json").stdout)[key]) == count


def test_a_mistake_in_a_query_is_marked_at_its_place(backend: Backend) -> None:
    ended = run(backend, "traces", "service:shop", "duration>500")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.splitlines() == [
        "waybill-explorer: position 23: '500' is no duration: write it with its unit, such as 500ms",
        "  service:shop duration>500",
        "                        ^",
    ]


@pytest.mark.parametrize("command", ["traces", "logs", "errors", "tail"])
def test_help_has_examples(command: str) -> None:
    shown = subprocess.run([*COMMAND, command, "--help"], capture_output=True, text=True, timeout=60, check=True).stdout
    assert f"Examples:\n  waybill-explorer {command} " in shown


def test_a_wrong_time_and_an_unavailable_explorer_are_one_line(backend: Backend) -> None:
    assert run(backend, "logs", "--since", "soon").stderr.startswith("waybill-explorer: 'soon' is not a duration")
    command = [*COMMAND, "tail", "--url", "http://127.0.0.1:1"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)


def test_tail_prints_what_is_there_and_then_what_arrives_each_line_once(backend: Backend) -> None:
    name = f"tailed-{secrets.token_hex(4)}"
    now = time.time_ns()
    backend.send(logs(name, {"body": "before", "time_unix_nano": now}))
    url = f"http://127.0.0.1:{backend.traces_port}"
    command = [*COMMAND, "tail", f"service={name}", "--json", "--url", url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        bodies = [json.loads(process.stdout.readline())["body"]]
        for body in ("now", "late"):  # the last one is older than what was printed
            backend.send(
                logs(name, {"body": body, "time_unix_nano": time.time_ns() if body == "now" else now - 60 * 10**9})
            )
            bodies.append(json.loads(process.stdout.readline())["body"])
        process.terminate()  # a shell starts what runs in the background without Ctrl-C
        assert process.stdout.read() == ""
    assert bodies == ["before", "now", "late"]


def test_ctrl_c_ends_tail_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_api: TraceApi, _query: str) -> Iterator[dict[str, Any]]:
        yield from ()
        raise KeyboardInterrupt

    monkeypatch.setattr(terminal_search, "arriving", interrupted)
    console = Console(file=io.StringIO())
    terminal_search.tail(console, TraceApi("http://127.0.0.1:1"), "", as_json=False)
    assert console.file.getvalue() == ""  # type: ignore[attr-defined]
