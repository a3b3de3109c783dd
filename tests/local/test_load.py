"""`waybill load`: what it sends, how it measures, and that nothing stops it but the person."""

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import requests
from typer.testing import CliRunner

from explorer.tests.jaeger_json import TRACE_ID
from local.cli import app
from local.load import Load, Plan, Report, error_kind
from local.options import seconds
from tests.local.small_api import ORDER, SmallApi
from tests.support.servers import free_port
from tests.support.waiting import until

PLAN = Plan(
    api="http://127.0.0.1:1",
    rate=100,
    duration=0.2,
    concurrency=8,
    skus=["TEA-SENCHA", "CUP-RAKU"],
    tokens={"tok_approve": 3, "tok_decline": 1},
    retry_for=5,
    seed=1,
)


@pytest.fixture
def api() -> SmallApi:
    return SmallApi()


@pytest.fixture
def url(api: SmallApi) -> Iterator[str]:
    with api.listening() as url:
        yield url


def finished(plan: Plan) -> Report:
    load = Load(plan)
    load.start()
    until(lambda: not load.running())
    return load.report


def test_every_planned_order_is_sent_once_and_answered(api: SmallApi, url: str) -> None:
    report = finished(replace(PLAN, api=url))

    assert (report.planned, report.sent, report.answered, report.failed) == (20, 20, 20, 0)
    assert len(set(api.keys)) == 20
    assert report.outcomes == {("CONFIRMED", None): 20}
    assert [trace_id for _, trace_id in report.slowest] == [TRACE_ID] * 5


def test_the_same_seed_orders_the_same_goods_as_new_orders(api: SmallApi, url: str) -> None:
    def bodies() -> Counter[str]:
        api.orders.clear()
        finished(replace(PLAN, api=url))
        return Counter(json.dumps(body) for _, body in api.orders)

    first, keys = bodies(), set(api.keys)

    assert bodies() == first
    assert not keys & set(api.keys)
    assert {json.loads(body)["payment_token"] for body in first} == {"tok_approve", "tok_decline"}


def test_a_failed_order_is_retried_under_its_own_key(api: SmallApi, url: str) -> None:
    api.failures = [503, 500, 503]

    report = finished(replace(PLAN, api=url, duration=0.01))

    assert report.errors == {"HTTP 503": 2, "HTTP 500": 1}
    assert (report.retries, report.answered, report.failed) == (3, 1, 0)
    assert len(api.keys) == 4
    assert len(set(api.keys)) == 1


def test_a_refused_order_is_not_retried(api: SmallApi, url: str) -> None:
    api.failures = [422]

    report = finished(replace(PLAN, api=url, duration=0.01))

    assert (report.retries, report.failed) == (0, 1)


def test_a_service_that_comes_back_gets_every_order_it_missed(api: SmallApi) -> None:
    port = free_port()
    load = Load(replace(PLAN, api=f"http://127.0.0.1:{port}"))
    load.start()
    until(lambda: load.report.retries >= 5)

    with api.listening(port):
        until(lambda: not load.running())

    assert (load.report.answered, load.report.failed) == (20, 0)
    assert set(load.report.errors) == {"connection refused"}


def test_latency_counts_from_the_moment_an_order_was_due(api: SmallApi, url: str) -> None:
    api.gate.clear()
    load = Load(replace(PLAN, api=url, concurrency=1))
    load.start()
    time.sleep(0.5)
    api.gate.set()
    until(lambda: not load.running())

    # The server stalled once, for 0.5 s; each of the 20 orders due within 0.2 s of the start felt it.
    assert min(load.report.latencies) >= 0.3


def test_percentiles_are_nearest_ranks() -> None:
    report = Report(planned=100, latencies=[index / 100 for index in range(100, 0, -1)])

    assert [report.percentile(percent) for percent in (50, 95, 99, 100)] == [0.5, 0.95, 0.99, 1.0]
    assert Report(planned=0).percentile(50) is None


def test_failures_are_counted_by_kind() -> None:
    assert error_kind(requests.ReadTimeout("x")) == "timeout"
    assert error_kind(requests.ConnectionError("[Errno 111] Connection refused")) == "connection refused"
    assert error_kind(requests.ConnectionError("('Connection aborted.', ConnectionResetError())")) == "connection reset"
    assert error_kind(requests.TooManyRedirects("x")) == "TooManyRedirects"


def load_command(url: str, *arguments: str) -> list[str]:
    return ["load", "--api", url, "--traces", "http://traces", "--sku", "TEA-SENCHA", *arguments]


def test_the_summary_tells_rate_latency_outcomes_and_the_slowest_traces(api: SmallApi, url: str) -> None:
    api.order = {**ORDER, "status": "CANCELLED", "reason": "out_of_stock"}

    result = CliRunner().invoke(app, load_command(url, "--rate", "50", "--duration", "200ms"))

    assert result.exit_code == 0
    assert "10 answered of 10 sent, 10 planned" in result.stdout
    assert "P99" in result.stdout
    assert "10 out_of_stock" in result.stdout
    assert f"http://traces/trace/{TRACE_ID}" in result.stdout


def test_the_summary_says_why_orders_were_refused(api: SmallApi, url: str) -> None:
    api.status, api.order = 422, {"title": "Invalid request", "detail": "payment_token: \x1b[31mno token"}

    result = CliRunner().invoke(app, load_command(url, "--rate", "50", "--duration", "200ms"))

    assert result.exit_code == 1
    assert re.search(r"HTTP 422 +10 payment_token: \[31mno token", result.stdout)


def test_json_is_for_scripts_and_the_exit_status_tells_of_failures(api: SmallApi, url: str) -> None:
    api.failures = [400]

    result = CliRunner().invoke(app, load_command(url, "--rate", "50", "--duration", "200ms", "--json"))

    data: dict[str, Any] = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (data["sent"], data["answered"], data["failed"], data["errors"]) == (10, 9, 1, {"HTTP 400": 1})
    assert data["outcomes"] == [{"status": "CONFIRMED", "reason": None, "count": 9}]
    assert data["latency_ms"]["p50"] > 0


def test_ctrl_c_prints_the_summary_so_far(api: SmallApi, url: str) -> None:
    command = [sys.executable, "-c", "from local.cli import app; app()", *load_command(url, "--duration", "60s")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        until(lambda: len(api.keys) >= 3)
        process.send_signal(signal.SIGINT)
        output, complaints = process.communicate(timeout=90)

    assert process.returncode == 0
    assert "1,200 planned" in output
    assert "CONFIRMED" in output
    assert "Traceback" not in complaints


def test_hundreds_of_orders_per_second_do_not_pile_up_threads(url: str) -> None:
    before = threading.active_count()
    load = Load(replace(PLAN, api=url, rate=1000, duration=0.1, concurrency=4))
    load.start()

    assert threading.active_count() - before <= 4 + 4  # as many again answer in this process
    until(lambda: not load.running())
    assert load.report.answered == 100


@pytest.mark.parametrize(("text", "value"), [("500ms", 0.5), ("30s", 30), ("2m", 120), ("1.5h", 5400), ("10", 10)])
def test_durations_are_read_with_their_unit(text: str, value: float) -> None:
    assert seconds(text) == value


def test_a_duration_that_is_none_is_refused() -> None:
    result = CliRunner().invoke(app, ["load", "--duration", "soon"])

    assert result.exit_code == 2
    assert "500ms, 30s" in result.stderr


def test_what_the_slow_orders_have_in_common_is_printed_once_their_traces_are_there(api: SmallApi, url: str) -> None:
    row = {"sentence": "100 % of the slow ones have order.region=ap in order-service; 4 % of the others"}
    partly = {"selected": 1, "rows": []}
    api.differences = [
        partly,
        {"selected": 3, "rows": []},
        {"selected": 3, "rows": [row]},
        {"selected": 3, "rows": [row]},
    ]

    result = CliRunner().invoke(app, ["load", "--api", url, "--traces", url, "--rate", "200", "--duration", "150ms"])

    assert result.exit_code == 0
    assert "What the slow ones have in common\n100 % of the slow ones have order.region=ap" in result.stdout
    asked = api.queries[-1]
    assert (asked["ids"], asked["service"], asked["operation"]) == (
        ",".join([TRACE_ID] * 3),
        "order-service",
        "POST /orders",
    )
    assert int(asked["start"]) < int(asked["end"]) <= time.time_ns() // 1000


@pytest.mark.parametrize("differences", [[], [{"selected": 3, "rows": []}]], ids=["a Jaeger", "nothing in common"])
def test_without_a_finding_the_summary_ends_with_the_slowest(
    api: SmallApi, url: str, differences: list[dict[str, Any]]
) -> None:
    api.differences = differences

    result = CliRunner().invoke(app, ["load", "--api", url, "--traces", url, "--rate", "200", "--duration", "150ms"])

    assert result.exit_code == 0
    assert "The slowest" in result.stdout
    assert "in common" not in result.stdout
