"""How answers are judged and counted, without a stack."""

import time
from pathlib import Path
from typing import Any

import pytest

from labs import attempts, definitions, engine, expected, plan, predicates
from labs.attempts import Answer, Attempt
from labs.evidence import Evidence
from labs.grading import Grader
from labs.plan import Plan
from local.settings import LocalSettings
from waybill_explorer.client import ClientError, Fetched
from waybill_explorer.trace_tree import Trace, read_trace

NOW = int(time.time() * 1e6)
TRACE_ID, OTHER_ID = "a" * 32, "b" * 32


def span(number: int, service: str, name: str, parent: int | None, ms: int, **tags: Any) -> dict[str, Any]:
    """Return a span in Jaeger's JSON that begins `number` ms after now."""
    parents = [] if parent is None else [{"refType": "CHILD_OF", "traceID": TRACE_ID, "spanID": f"{parent:016x}"}]
    return {
        "traceID": TRACE_ID,
        "spanID": f"{number:016x}",
        "processID": service,
        "operationName": name,
        "references": parents,
        "startTime": NOW + number * 1000,
        "duration": ms * 1000,
        "tags": [{"key": key.replace("__", "."), "value": value} for key, value in tags.items()],
        "logs": [],
    }


def trace(*spans: dict[str, Any]) -> Trace:
    services = {one["processID"] for one in spans}
    processes = {service: {"serviceName": service, "tags": []} for service in services}
    return read_trace({"traceID": TRACE_ID, "spans": list(spans), "processes": processes})


def lost_answer() -> Trace:
    """Return the trace of an order whose charge was made and whose response was lost."""
    url = "http://127.0.0.1:8082/charges/1"
    return trace(
        span(1, "order-service", "POST /orders", None, 900, span__kind="server"),
        span(2, "order-service", "charge_payment", 1, 800),
        span(3, "order-service", "PUT", 2, 300, span__kind="client", url__full=url, error=True),
        span(4, "payment-service", "PUT /charges", 3, 80, span__kind="server", http__response__status_code=201),
        span(
            5,
            "order-service",
            "PUT",
            2,
            90,
            span__kind="client",
            url__full=url,
            http__response__status_code=200,
        ),
    )


@pytest.fixture
def settings(tmp_path: Path) -> LocalSettings:
    """A data folder of its own."""
    return LocalSettings(waybill_data=tmp_path)


def grader(settings: LocalSettings, monkeypatch: pytest.MonkeyPatch, *stored: Trace, lab: str = "paid-twice") -> Grader:
    """Return a grader of a lab in whose stack these traces are stored."""
    judge = Grader(settings, Attempt(lab=lab, seed=1, started=NOW / 1e6 - 60))
    known = {one.trace_id: Fetched({}, one, []) for one in stored}
    monkeypatch.setattr(judge.evidence, "fetched", known.get)
    monkeypatch.setattr(judge.evidence, "orders", lambda: list(stored))
    return judge


def reason(judge: Grader, key: str, value: str) -> str:
    """Return what is said of an answer, "" if it is right."""
    verdict = judge.judge(judge.case.question(key), value)
    assert verdict.right != bool(verdict.reason)
    return str(verdict.reason)


def test_a_span_is_evidence_only_if_it_shows_the_thing_and_belongs_to_this_lab(
    settings: LocalSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = grader(settings, monkeypatch, lost_answer())

    assert reason(judge, "span", f"{TRACE_ID} {3:016x}") == ""
    assert reason(judge, "span", f"http://127.0.0.1:16686/trace/{TRACE_ID}?span={3:016x}") == ""
    assert "only waits for a span inside it" in reason(judge, "span", f"{TRACE_ID} {2:016x}")
    assert "right trace, but not `PUT`" in reason(judge, "span", f"{TRACE_ID} {5:016x}")
    assert "has no span" in reason(judge, "span", f"{TRACE_ID} {9:016x}")
    assert "there is no trace" in reason(judge, "span", f"{OTHER_ID} {3:016x}")
    assert "give a span as TRACE_ID SPAN_ID" in reason(judge, "span", "the second one")


def test_a_trace_from_before_the_lab_is_no_evidence(settings: LocalSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = grader(settings, monkeypatch, lost_answer())
    judge.attempt.started = NOW / 1e6 + 3600
    assert "ended before the lab began" in reason(judge, "span", f"{TRACE_ID} {3:016x}")


def test_a_number_may_be_off_by_its_tolerance_and_says_in_which_direction(
    settings: LocalSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = grader(settings, monkeypatch, lost_answer())
    for near in ("2", "2.1", "1,9"):
        assert reason(judge, "requests", near) == ""
    assert reason(judge, "requests", "3").startswith("3 is too high.")
    assert reason(judge, "requests", "1").startswith("1 is too low.")
    assert "is not a number" in reason(judge, "requests", "many")


def test_without_orders_a_number_cannot_be_judged_yet(settings: LocalSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = grader(settings, monkeypatch)
    with pytest.raises(ClientError, match="not enough recorded yet"):
        reason(judge, "requests", "2")


def test_a_wrong_choice_says_what_it_overlooks(settings: LocalSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = grader(settings, monkeypatch)
    assert reason(judge, "service", "payment") == ""
    assert "the one that waits for a response" in reason(judge, "service", "order")
    assert "Open one of the orders" in reason(judge, "service", "inventory")
    assert "choose one of: order, inventory" in reason(judge, "service", "storefront")


def test_an_answer_that_is_right_in_another_case_is_wrong_in_this_one() -> None:
    hit = {definitions.case(definitions.find("one-region"), seed).question("hit").right for seed in range(60)}
    assert hit == {"eu", "us", "ap", "fresh-prices", "live-stock", "price-check"}


def test_parts_have_their_weights_and_a_lab_without_one_spreads_its_points() -> None:
    whole = Attempt(lab="paid-twice", seed=1)
    assert {part: possible for part, (_, possible) in whole.points().items()} == {
        "detect": 10,
        "locate": 25,
        "explain": 25,
        "prove": 20,
        "fix": 20,
    }
    warm_up = Attempt(lab="first-look", seed=1)
    assert "fix" not in warm_up.points()
    assert sum(possible for _, possible in warm_up.points().values()) == pytest.approx(100)


def test_a_score_counts_what_is_right_less_the_hints_and_never_falls_below_zero() -> None:
    attempt = Attempt(lab="paid-twice", seed=1)
    attempt.answers = {"service": Answer(value="payment", right=True), "twice": Answer(value="yes", right=False)}
    attempt.fixed = True
    assert attempt.score() == round(12.5 + 20)
    attempt.hints = 1
    assert attempt.score() == round(12.5 + 20) - 5
    attempt.hints = 20
    assert attempt.score() == 0


def test_without_a_lab_nothing_is_judged(settings: LocalSettings) -> None:
    with pytest.raises(ClientError, match="no lab is on: start one with `waybill lab start NAME`"):
        attempts.current(settings)


def test_a_lock_wait_is_told_from_other_statements() -> None:
    found = trace(
        span(1, "inventory-service", "BEGIN inventory", None, 300, db__query__text="BEGIN IMMEDIATE"),
        span(2, "inventory-service", "SELECT inventory", 1, 300, db__query__text="SELECT sku FROM items"),
        span(3, "inventory-service", "SELECT inventory", 1, 300, db__query__text="SELECT 1 FROM items FOR UPDATE"),
        span(4, "inventory-service", "BEGIN inventory", 1, 20, db__query__text="BEGIN IMMEDIATE"),
    )
    assert [one.span_id for one in predicates.matching(found, "waits_for_lock", {})] == [f"{1:016x}", f"{3:016x}"]


def served(trace_id: str, instance: str, ms: int) -> Trace:
    """Return the trace of an order that one process of order-service served."""
    one = span(1, "order-service", "POST /orders", None, ms, span__kind="server")
    tags = [{"key": "service.instance.id", "value": instance}]
    processes = {"order-service": {"serviceName": "order-service", "tags": tags}}
    return read_trace({"traceID": trace_id, "spans": [one | {"traceID": trace_id}], "processes": processes})


def test_two_orders_are_evidence_if_the_process_in_question_served_the_first_and_another_one_the_second(
    settings: LocalSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = next(
        seed
        for seed in range(20)
        if "ms" in str(definitions.case(definitions.find("one-of-three"), seed).question("amount").expect)
    )
    slow, fast = served(TRACE_ID, "a-1", 2500), served(OTHER_ID, "b-2", 90)
    judge = grader(settings, monkeypatch, slow, fast, lab="one-of-three")
    judge.case = definitions.case(definitions.find("one-of-three"), seed)

    assert reason(judge, "orders", f"{TRACE_ID} {OTHER_ID}") == ""
    assert "served by b-2" in reason(judge, "orders", f"{OTHER_ID} {TRACE_ID}")
    assert "by the same process" in reason(judge, "orders", f"{TRACE_ID} {TRACE_ID}")
    assert reason(judge, "instance", "a-1") == ""
    assert reason(judge, "share", "50") == ""
    assert reason(judge, "amount", "2410") == ""


def test_an_order_that_hangs_is_evidence_only_as_long_as_it_did_not_go_on(
    settings: LocalSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = definitions.find("nobody-answers")
    seed = next(seed for seed in range(20) if definitions.case(lab, seed).values["peer"] == "notification")
    hangs = trace(
        span(2, "order-service", "charge_payment", 1, 80),
        span(4, "payment-service", "PUT /charges", 3, 80, span__kind="server"),
    )
    judge = grader(settings, monkeypatch, hangs, lab="nobody-answers")
    judge.case = definitions.case(lab, seed)
    assert reason(judge, "trace", TRACE_ID) == ""

    ended = trace(span(2, "order-service", "send_notification", 1, 80))
    judge = grader(settings, monkeypatch, ended, lab="nobody-answers")
    judge.case = definitions.case(lab, seed)
    assert "that order went on" in reason(judge, "trace", TRACE_ID)


def test_a_log_record_is_evidence_of_what_is_not_sampled_only_if_its_trace_is_not_stored(
    settings: LocalSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = grader(settings, monkeypatch, lost_answer(), lab="not-in-the-trace")
    records = {
        OTHER_ID: [{"timestamp": NOW, "body": "attempt 1 failed, trying again: payment-service"}],
        "c" * 32: [{"timestamp": NOW, "body": "POST /orders 201"}],
        "d" * 32: [],
    }
    monkeypatch.setattr(judge.evidence, "logs", lambda *, trace_id: records[trace_id])

    assert reason(judge, "record", OTHER_ID) == ""
    assert "that trace is stored" in reason(judge, "record", TRACE_ID)
    assert "tell of no such request" in reason(judge, "record", "c" * 32)
    assert "no log record has" in reason(judge, "record", "d" * 32)


def test_numbers_of_metrics_are_computed_from_what_was_counted(
    settings: LocalSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    evidence = Evidence(settings, NOW)
    counted = {
        "notification.sent": {"": 5.0, "cus_1": 2.0, "cus_2": 2.0, "cus_3": 1.0},
        "http.client.request.duration": {"": 90.0, "ConnectionError": 10.0},
        "http.server.request.duration": {"/orders": 40.0},
    }
    monkeypatch.setattr(evidence, "counts", lambda name, *_arguments, **_options: counted[name])
    monkeypatch.setattr(evidence, "traces", lambda *_arguments, **_options: [lost_answer()] * 2)
    monkeypatch.setattr(evidence, "series", lambda *_arguments, **_options: {"order-service": [3.0, 8.0]})

    assert expected.series_per_hundred(evidence, "notification.sent", "customer.id") == 60
    assert expected.values_of(evidence, "notification.sent", "customer.id") == {"cus_1", "cus_2", "cus_3"}
    assert expected.failing_percentage(evidence) == 10
    assert expected.traced_percentage(evidence) == 5
    assert expected.level(evidence, "orders.active") == 8
    with pytest.raises(ClientError, match="not enough recorded yet"):
        expected.special_instance(evidence, "memory")


def test_a_lab_whose_start_was_interrupted_can_be_stopped(
    settings: LocalSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    on = Plan(ends_at=2e9, says="the lab is on", off="end it", attempt="0123456789ab")
    ended: list[LocalSettings] = []
    monkeypatch.setattr(plan, "current", lambda _settings: on)
    monkeypatch.setattr(plan, "is_running", lambda _folder: True)
    monkeypatch.setattr(plan, "clear", ended.append)

    with pytest.raises(ClientError, match="end it with `waybill lab stop`"):
        attempts.current(settings)
    assert engine.stop(settings) is None
    assert ended == [settings]
