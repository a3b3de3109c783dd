"""`waybill` as a person uses it: what is printed, what is sent, what is said when something is away."""

import io
import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console
from typer.testing import CliRunner, Result

from explorer.tests.jaeger_json import BEGAN, TRACE_ID, Json, call, log, order_trace, span, trace
from local import first_order
from local.cli import app
from local.client import TraceApi
from local.settings import LocalSettings
from tests.conftest import migrate
from tests.local.small_api import ORDER, SmallApi
from waybill_explorer import terminal, titles
from waybill_explorer.client import Fetched
from waybill_explorer.trace_tree import read_trace

PORTS = ("ORDER_PORT", "INVENTORY_PORT", "TRACES_PORT", "LOKI_PORT")


@pytest.fixture
def api() -> SmallApi:
    return SmallApi()


@pytest.fixture
def url(api: SmallApi, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The base URL of `api`, which every port variable leads to."""
    with api.listening() as url:
        for variable in PORTS:
            monkeypatch.setenv(variable, url.rpartition(":")[2])
        yield url


def waybill(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def drawn(data: Json, *, width: int = 100, logs: list[Json] | None = None, **options: Any) -> str:
    """What `print_trace` writes to a file."""
    file = io.StringIO()
    console = Console(file=file, width=width, highlight=False)
    terminal.print_trace(console, Fetched(data, read_trace(data), logs, **options), f"http://x/trace/{TRACE_ID}")
    return file.getvalue()


def line_with(text: str, output: str) -> str:
    return next(line for line in output.splitlines() if text in line)


@pytest.mark.usefixtures("url")
def test_an_order_is_placed_and_its_trace_is_drawn_as_a_waterfall(api: SmallApi, url: str) -> None:
    api.traces = [order_trace()]
    api.logs = [log("a", 95, "order settled"), log("e", 20, "x", service="inventory-service")]
    api.logs += [log("i", 70, "card charged", service="payment-service")]

    result = waybill("order", "--line", "TEA-SENCHA=2", "--line", "CUP-RAKU", "--region", "us", "--customer", "cus_7")

    assert result.exit_code == 0
    key, body = api.orders[0]
    assert len(key) >= 32
    assert body == {
        "customer_id": "cus_7",
        "region": "us",
        "payment_token": "tok_approve",
        "lines": [{"sku": "TEA-SENCHA", "quantity": 2}, {"sku": "CUP-RAKU", "quantity": 1}],
    }
    assert f"Order {ORDER['id']} CONFIRMED · 24.80 EUR" in result.stdout
    assert f"Trace {TRACE_ID} · 96.0 ms · 10 spans · 3 services" in result.stdout
    assert "Bottleneck: 37.0 ms of 96.0 ms: own code before INSERT payment.db, in" in result.stdout
    assert line_with("● payment-service POST /charges", result.stdout).endswith("41.0 ms ◀")
    assert "· INFO card charged" in result.stdout
    assert f"{url}/trace/{TRACE_ID}" in result.stdout


@pytest.mark.usefixtures("url")
def test_without_lines_something_in_stock_is_ordered(api: SmallApi) -> None:
    assert waybill("order", "--no-wait", "--quantity", "3").exit_code == 0
    assert api.orders[0][1]["lines"] == [{"sku": "TEA-SENCHA", "quantity": 3}]


@pytest.mark.usefixtures("url")
def test_an_idempotency_key_is_passed_on_and_without_waiting_no_trace_is_asked_for(api: SmallApi) -> None:
    waybill("order", "--no-wait", "--sku", "TEA-SENCHA", "--idempotency-key", "k-1")

    assert api.keys == ["k-1"]
    assert api.paths == ["/orders"]


@pytest.mark.usefixtures("url")
def test_the_trace_is_awaited_until_its_last_spans_have_come(api: SmallApi) -> None:
    whole = order_trace()
    early = {**whole, "spans": whole["spans"][1:]}
    api.traces = [None, early, early, whole]
    api.logs = None

    output = waybill("order").stdout

    assert "10 spans" in output
    assert "Not all of it has arrived" not in output


def test_at_the_deadline_what_is_there_is_shown_and_said_to_be_incomplete(api: SmallApi, url: str) -> None:
    whole = order_trace()
    api.traces = [{**whole, "spans": whole["spans"][1:]}]

    fetched = TraceApi(url).wait_for_trace(TRACE_ID, deadline=0.3)

    assert fetched is not None
    assert not fetched.complete
    assert "Not all of it has arrived" in drawn(fetched.data, complete=False)


def test_a_peer_that_is_not_traced_is_awaited_only_so_long(api: SmallApi, url: str) -> None:
    peer = call("https://example.com/")
    api.traces = [
        trace(span("a", "GET", 0, 9, kind="server"), span("b", "GET", 1, 5, parent="a", kind="client", tags=peer))
    ]

    fetched = TraceApi(url).wait_for_trace(TRACE_ID, deadline=5, patience=0.3)

    assert fetched is not None
    assert fetched.complete


@pytest.mark.usefixtures("url")
def test_a_cancelled_order_says_why(api: SmallApi) -> None:
    api.order = {**ORDER, "status": "CANCELLED", "reason": "payment_declined"}

    result = waybill("order", "--no-wait", "--token", "tok_decline")

    assert result.exit_code == 0
    assert "CANCELLED payment_declined" in result.stdout
    assert api.orders[0][1]["payment_token"] == "tok_decline"


@pytest.mark.usefixtures("url")
def test_an_order_still_being_driven_says_how_to_follow_it(api: SmallApi) -> None:
    api.order, api.status = {**ORDER, "status": "RESERVED", "total": None}, 202

    assert f"/orders/{ORDER['id']}" in waybill("order", "--no-wait").stdout


@pytest.mark.usefixtures("url")
def test_a_refused_order_names_each_field_and_exits_with_1(api: SmallApi) -> None:
    errors = [{"field": "lines.0.quantity", "reason": "must be [at least] 1"}]
    api.order, api.status = {"title": "Invalid request", "status": 422, "errors": errors}, 422

    result = waybill("order", "--no-wait", "--quantity", "1")

    assert result.exit_code == 1
    assert "422 Invalid request" in result.stdout
    assert "lines.0.quantity: must be [at least] 1" in result.stdout


@pytest.mark.usefixtures("url")
def test_json_holds_the_order_the_trace_and_what_was_found_in_it(api: SmallApi) -> None:
    api.traces, api.logs = [order_trace()], None

    data = json.loads(waybill("order", "--json").stdout)

    assert data["order"] == ORDER
    assert data["trace"] == order_trace()
    assert data["bottleneck"]["operation"] == "POST /charges"
    assert sum(end - start for part in data["critical_path"] for start, end in part["sections"]) == 96_000
    assert data["complete"] is True


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["order", "--line", "TEA=two"], "'TEA=two' is not of the form SKU=QUANTITY"),
        (["order", "--idempotency-key", "a\nb", "--sku", "x"], "cannot be asked"),
        (["trace", "4bf92f"], "32 hex digits"),
        (["trace", "0" * 32], "32 hex digits"),
        (["trace", "ab" * 16], "no trace abab"),
        (["load", "--tokens", "tok_approve=-1"], "TOKEN=WEIGHT"),
    ],
)
@pytest.mark.usefixtures("url")
def test_what_cannot_be_done_is_said_in_one_line(arguments: list[str], message: str) -> None:
    result = waybill(*arguments)

    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(("command", "who"), [("order", "order-service"), ("trace", "the trace backend")])
def test_when_nothing_is_up_the_way_to_start_it_is_said(command: str, who: str) -> None:
    where = ["--api", "127.0.0.1:1"] if command == "order" else [TRACE_ID, "--traces", "127.0.0.1:1"]

    result = waybill(command, *where)

    assert result.exit_code == 1
    assert f"{who} does not answer on 127.0.0.1:1: start it with `make demo`" in result.stderr


def test_a_bad_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDER_PORT", "eighty")

    assert waybill("order").stderr.startswith("error: ORDER_PORT: ")


@pytest.mark.usefixtures("url")
def test_what_is_not_an_order_or_a_trace_is_told_with_the_option_to_look_at(api: SmallApi, url: str) -> None:
    api.traces = [{"traceID": TRACE_ID, "spans": [{}]}]

    assert "Check --api" in waybill("order", "--sku", "x", "--api", f"{url}/api").stderr
    api.order = {"data": None, "errors": [{"code": 404, "msg": "not found"}]}
    assert "Check --api" in waybill("order", "--sku", "x").stderr
    assert "is not a trace in Jaeger's JSON" in waybill("trace", TRACE_ID).stderr


@pytest.mark.usefixtures("url")
def test_a_trace_in_a_jaeger_is_shown_without_logs_and_this_is_said(api: SmallApi) -> None:
    api.traces, api.logs = [order_trace()], None

    result = waybill("trace", TRACE_ID.upper())

    assert result.exit_code == 0
    assert "POST /orders" in result.stdout
    assert "No logs: this backend keeps traces only." in result.stdout


@pytest.mark.usefixtures("url")
def test_a_trace_in_a_jaeger_is_shown_with_the_logs_that_loki_has(api: SmallApi) -> None:
    api.traces, api.logs = [order_trace()], None
    api.loki = [stream("i", 70, "card charged", service="payment-service"), stream("a", 95, "order settled")]

    result = waybill("trace", TRACE_ID)

    assert "No logs" not in result.stdout
    lines = result.stdout.splitlines()
    (charged,) = [number for number, line in enumerate(lines) if "· INFO card charged" in line]
    assert "payment-service POST /charges" in "".join(lines[charged - 3 : charged])
    assert "· INFO order settled" in result.stdout
    (query,) = api.queries
    assert query["query"] == f'{{service_name=~".+"}} | trace_id="{TRACE_ID}"'
    assert int(query["start"]) < BEGAN * 1000 < int(query["end"])


def stream(span_id: str, at: float, body: str, *, service: str = "order-service") -> Json:
    """What Loki finds of one record: its labels and structured metadata, and the line."""
    labels = {"service_name": service, "severity_text": "INFO", "trace_id": TRACE_ID, "span_id": span_id}
    return {"stream": labels, "values": [[str((BEGAN + round(at * 1000)) * 1000), body]]}


def test_demo_places_a_first_order_and_says_what_to_try_next(
    api: SmallApi, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    api.traces, api.logs = [order_trace()], None

    first_order.welcome(LocalSettings())

    output = capsys.readouterr().out
    assert "Bottleneck: 37.0 ms of 96.0 ms: own code before INSERT payment.db, in" in output
    assert "waybill order --token tok_decline" in output
    assert re.search(rf"{url}/ +the shop", output)
    assert f"export ORDER_PORT={url.rpartition(':')[2]} " in output


@pytest.mark.parametrize("command", ["order", "trace", "load"])
def test_help_shows_an_example(command: str) -> None:
    assert f"waybill {command} " in waybill(command, "--help").stdout.partition("Example")[2]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_output_into_a_pipe_has_no_control_codes_and_any_encoding(api: SmallApi, url: str, encoding: str) -> None:
    api.traces = [order_trace()]
    command = [sys.executable, "-c", "from local.cli import app; app()", "trace", TRACE_ID, "--traces", url]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}

    done = subprocess.run(command, env=environment, capture_output=True, check=True)

    assert b"POST /charges" in done.stdout
    assert b"\x1b" not in done.stdout


@pytest.mark.parametrize("width", [60, 80, 120, 160, 300])
def test_every_row_fits_the_terminal(width: int) -> None:
    logs = [log("i", 70, "a message that goes on and on " * 20)]

    rows = [line for line in drawn(order_trace(), width=width, logs=logs).splitlines() if "http://x" not in line]

    assert max(cell_len(row) for row in rows if not row.startswith("Trace")) <= width
    assert "POST /charges" in line_with("payment-service POST", "\n".join(rows[2:]))


def test_the_bars_show_when_each_span_ran_and_what_of_it_was_critical() -> None:
    data = trace(
        span("root", "GET", 0, 100),
        span("left", "a", 0, 50, parent="root"),
        span("right", "b", 50, 50, parent="root"),
        span("aside", "c", 50, 25, parent="root"),
    )
    read = read_trace(data)
    spans = {span.span_id: span for span in read.spans}

    def bar(span_id: str, *critical: tuple[int, int]) -> str:
        return terminal.bar([spans[span_id]], critical, read, 8)

    half = read.start + 50_000
    assert bar("root") == "────────"
    assert bar("left", (read.start, half)) == "████    "
    assert bar("right", (half, read.end)) == "    ████"
    assert bar("aside") == "    ──  "
    assert bar("right", (half, half + 1000)) == "    ▌───"


def test_logs_and_events_stand_in_their_span_in_order_of_time() -> None:
    exception = {"event": "exception", "exception.type": "OSError", "exception.message": "disk full"}
    fields = [{"key": key, "value": value} for key, value in exception.items()]
    data = trace(
        span(
            "a", "POST", 0, 100, kind="server", events=[{"timestamp": log("", 60, "")["timestamp"], "fields": fields}]
        ),
        span("b", "first", 10, 10, parent="a"),
        span("c", "second", 40, 10, parent="a"),
    )

    output = drawn(data, logs=[log("a", 90, "last"), log("a", 30, "between"), log("gone", 95, "of no span")])

    _, _, waterfall = output.partition("\n\n")
    found = re.findall("first|second|between|last|OSError: disk full|of no span", waterfall)
    assert found == ["first", "between", "second", "OSError: disk full", "last", "of no span"]
    assert line_with("between", output).endswith("+30.0 ms")


def test_refused_spans_are_marked_and_say_why() -> None:
    status = {"otel.status_code": "ERROR", "error": True, "otel.status_description": "the card was declined"}
    peer = {**call("http://127.0.0.1:8082/charges?x=1", 402), **status}
    data = trace(
        span("a", "POST /orders", 0, 9, kind="server"), span("b", "POST", 1, 7, parent="a", kind="client", tags=peer)
    )

    output = drawn(data)

    assert "└ ⊘ POST 127.0.0.1:8082/charges 402 " in output
    assert "the card was declined" in output
    assert "1 refused" in output
    assert "failed" not in output.replace("✗ failed", "")


def test_failed_spans_are_marked_and_say_why() -> None:
    status = {"otel.status_code": "ERROR", "error": True, "otel.status_description": "the processor is unavailable"}
    data = trace(
        span("a", "POST /orders", 0, 9, kind="server"), span("b", "authorize_card", 1, 7, parent="a", tags=status)
    )

    output = drawn(data)

    assert "└ ✗ authorize_card " in output
    assert "the processor is unavailable" in output
    assert "1 failed" in output


def test_the_next_bottlenecks_are_told_below_the_first() -> None:
    lines = drawn(order_trace(), width=120).splitlines()

    first = "Bottleneck: 37.0 ms of 96.0 ms: own code before INSERT payment.db, in payment-service POST /charges"
    assert first in lines
    then = "      then: 20.0 ms of 96.0 ms: own code after UPDATE items SET … WHERE sku = ?, in inventory-service POST"
    assert any(line.startswith(then) for line in lines)


def test_sql_is_shown_short() -> None:
    assert titles.short_sql('SELECT a."b", c \n FROM orders WHERE orders.id = ?') == "SELECT … FROM orders WHERE id = ?"
    assert titles.short_sql("INSERT INTO orders (a, b) VALUES (?, ?)") == "INSERT INTO orders"
    assert "UPDATE items SET … WHERE sku = ?" in drawn(order_trace())


def test_names_from_outside_can_neither_style_nor_steer_the_terminal() -> None:
    hostile = "[red]not markup[/red] \x1b[2J\u202e\x07 \n over"
    data = trace(span("a", hostile, 0, 100, kind="server", service="[b]svc\x1b]0;x\x07"))

    output = drawn(data, logs=[log("a", 1, hostile)])

    assert output.count("[red]not markup[/red] [2J over") == 3  # the bottleneck, the span, the log
    assert not set(output) & set("\x1b\x07\u202e")


def test_a_linked_trace_is_named() -> None:
    other = "cd" * 16

    assert f"linked to trace {other}" in drawn(trace(span("a", "process_order", 0, 5, kind="server", links=(other,))))


def many_spans(different: int) -> Json:
    alike = [span(f"s{i}", "SELECT", i, 0.5, parent="a", tags={"error": i == 700}) for i in range(1000)]
    chain = [span(f"c{i}", f"level {i}", 2000, 10, parent=f"c{i - 1}" if i else "a") for i in range(1000)]
    others = [span(f"d{i}", f"name {i}", 3000 + i, 1, parent="a") for i in range(different)]
    return trace(span("a", "POST /orders", 0, 20_000, kind="server"), *alike, *chain, *others)


def test_ten_thousand_spans_are_summed_up() -> None:
    output = drawn(many_spans(different=8000))

    assert len(output.splitlines()) < 450
    assert "… 697 more, such as SELECT" in output
    assert "✗ SELECT" in output
    assert "… 976 more, such as level 24" in output
    assert "--all prints every one" in output


@pytest.mark.usefixtures("url")
def test_every_span_is_printed_when_asked_for(api: SmallApi) -> None:
    api.traces = [many_spans(different=500)]

    output = waybill("trace", TRACE_ID, "--all").stdout

    assert "--all" not in output
    assert len(output.splitlines()) > 2500


def test_a_dead_letter_in_the_stacks_database_is_retried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WAYBILL_DATA", str(tmp_path))
    migrate("order", f"sqlite:///{tmp_path}/order.db")
    with closing(sqlite3.connect(tmp_path / "order.db")) as database, database:
        database.execute(
            "INSERT INTO orders (id, idempotency_key, fingerprint, customer_id, region, payment_token, status, "
            "created_at, updated_at, attempts, dead_letter_step, dead_letter_reason) VALUES "
            "('0b9ff5f26d3f4a439d3f6f0e2a1f2f10', 'k', 'f', 'c', 'eu', 'tok', 'CONFIRMED', "
            "'2026-11-01', '2026-11-01', 1, 'send_notification', 'no')"
        )
    assert waybill("dead-letters", "retry", "--all").exit_code == 0
    assert capfd.readouterr().out.startswith("Dead letters to retry: 1.")
    with closing(sqlite3.connect(tmp_path / "order.db")) as database:
        ((step, due),) = database.execute("SELECT dead_letter_step, next_attempt_at FROM orders")
    assert step is None
    assert due is not None


@pytest.mark.usefixtures("url")
def test_a_score_is_printed_with_its_evidence_and_a_minimum_makes_the_exit_status(api: SmallApi, url: str) -> None:
    rule = {"id": "SPA-004", "impact": "Important", "weight": 30, "requires": "No root span has kind CLIENT"}
    failed = {
        "passed": False,
        "seen": "\x1b[2Jthe root span 'GET' has kind CLIENT",
        "count": 3,
        "advice": "Start a span",
    }
    rules = [rule | failed | {"evidence": {"trace_id": TRACE_ID}}]
    api.score = {
        "specification": "Instrumentation Score 0.1",
        "read": {"traces": 1000, "of_traces": 2500, "spans": 9000, "series": 10, "logs": 5},
        "services": [{"service": "shop", "score": 95.59, "category": "Excellent", "rules": rules}],
        "not_judged": {},
    }
    printed = waybill("score", "--since", "10m", "--min", "100")
    assert printed.exit_code == 1
    assert "shop   95.59  Excellent  1 of 1 rules fail" in printed.stdout
    assert "SPA-004 Important: [2Jthe root span 'GET' has kind CLIENT (3 cases)" in printed.stdout
    assert f"{url}/trace/{TRACE_ID}" in printed.stdout
    assert "from 1,000 of 2,500 traces" in printed.stdout
    assert waybill("score", "--min", "95").exit_code == 0
    assert json.loads(waybill("score", "--json").stdout) == api.score


@pytest.mark.usefixtures("url")
def test_a_jaeger_has_no_score() -> None:
    printed = waybill("score")
    assert printed.exit_code == 1
    assert "no answer of its read API: is it an explorer?" in printed.stderr


@pytest.mark.usefixtures("url")
def test_a_search_is_printed_and_its_words_may_be_arguments_of_their_own(api: SmallApi) -> None:
    found = {"service": "order-service", "operation": "POST /orders", "problem": "declined", "errors": 0, "refusals": 1}
    trace = found | {"traceID": TRACE_ID, "startTime": BEGAN, "duration": 96_000}
    api.summaries = {"data": [trace], "errors": None, "next": None}, 200
    printed = waybill("traces", "service:order", "-status:error", "--since", "2h")
    assert (printed.exit_code, printed.stderr) == (0, "")
    assert "order-service POST /orders  ⊘ 1 declined" in printed.stdout
    assert TRACE_ID in printed.stdout
    assert api.queries[-1]["q"] == "service:order -status:error"
    assert json.loads(waybill("traces", "--json").stdout) == {"traces": [trace]}


@pytest.mark.usefixtures("url")
def test_a_mistake_in_a_query_is_marked_at_its_place(api: SmallApi) -> None:
    message = "unable to parse param 'q': position 3: this parenthesis is never closed"
    api.summaries = {"data": None, "errors": [{"code": 400, "msg": message, "position": 2}]}, 400
    printed = waybill("traces", "a (b")
    assert printed.exit_code == 2
    assert printed.stderr.splitlines() == ["error: position 3: this parenthesis is never closed", "  a (b", "    ^"]


@pytest.mark.usefixtures("url")
def test_a_jaeger_has_no_log_lines_to_search(api: SmallApi) -> None:
    api.logs = None
    printed = waybill("logs", "level:error")
    assert printed.exit_code == 1
    assert "is it an explorer?" in printed.stderr
