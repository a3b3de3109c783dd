"""What proves a repair, without a stack."""

import time
from pathlib import Path

import pytest
import requests

from labs import definitions, evidence, plan, proof
from labs.attempts import Attempt
from labs.definitions import Fix
from labs.faults import Link, Setting
from labs.plan import Plan
from labs.proof import Proof
from local.settings import LocalSettings
from tests.labs.test_grading import served
from waybill_explorer.client import ClientError
from waybill_explorer.trace_tree import Trace

SLOW = {"gone": "slow_server", "arguments": {"name": "POST /orders", "ms": 1500}}


def proof_of(folder: Path, lab: str) -> Proof:
    """Return the proof of a lab in a data folder without a stack."""
    return Proof(LocalSettings(waybill_data=folder), Attempt(lab=lab, seed=1, started=time.time()))


def shown(judge: Proof, monkeypatch: pytest.MonkeyPatch, traces: list[Trace], **fields: object) -> str:
    """Return what probes with these traces still show."""
    monkeypatch.setattr(judge, "traces", lambda _ids: traces)
    return str(proof._spans(judge, Fix.model_validate(SLOW | fields), [one.trace_id for one in traces], 0))


def test_some_slow_probes_are_noise_if_the_lab_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = proof_of(tmp_path, "two-seconds")
    traces = [served(f"{number:032x}", "a", 3000 if number < 5 else 90) for number in range(20)]
    assert shown(judge, monkeypatch, traces, noise=0.25) == ""
    assert "5 of 20 new orders still show it" in shown(judge, monkeypatch, traces, noise=0.2)


def test_one_process_of_three_is_judged_by_its_own_probes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = proof_of(tmp_path, "one-of-three")
    traces = [served(f"{number:032x}", "abc"[number % 3], 3000 if number % 3 == 1 else 90) for number in range(30)]
    assert shown(judge, monkeypatch, traces, noise=0.5) == ""
    assert "10 of 30 new orders still show it" in shown(judge, monkeypatch, traces, noise=0.5, instances=True)


def test_a_metric_proves_it_once_it_has_counted_the_probes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = proof_of(tmp_path, "thousand-series")
    wanted = Fix(gone="series", arguments={"instrument": "notification.sent", "attribute": "customer.id"})
    monkeypatch.setattr(evidence, "POLL_SECONDS", 0)
    answers = iter([{"": 3.0}, {"": 25.0}])
    monkeypatch.setattr(judge.evidence, "counts", lambda *_arguments, **_options: next(answers))
    assert proof._series(judge, wanted, ["a"] * 20, 0) == ""

    monkeypatch.setattr(judge.evidence, "counts", lambda *_arguments, **_options: {"cus_1": 1.0, "cus_2": 1.0})
    assert "2 new series, such as the one of customer.id=cus_1" in proof._series(judge, wanted, ["a"] * 20, 0)

    monkeypatch.setattr(proof, "PATIENCE", 0)
    with pytest.raises(ClientError, match="has not counted the new orders"):
        proof._series(judge, wanted, ["a"] * 20, 0)


def test_a_probe_without_a_trace_shows_that_orders_are_not_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = proof_of(tmp_path, "not-in-the-trace")
    wanted = Fix(gone="untraced")
    monkeypatch.setattr(proof, "POLL_SECONDS", 0)
    monkeypatch.setattr(proof, "PATIENCE", 0.05)
    monkeypatch.setattr(judge.evidence.api, "trace", lambda trace_id: trace_id != "b")
    monkeypatch.setattr(judge.evidence, "logs", lambda **_options: [])
    with pytest.raises(ClientError, match="the trace b of a new order has not arrived, nor its log records"):
        proof._untraced(judge, wanted, ["a", "b", "c"], 0)
    monkeypatch.setattr(judge.evidence, "logs", lambda *, trace_id: [{"trace_id": trace_id}])
    assert proof._untraced(judge, wanted, ["a", "b", "c"], 0) == "1 of 3 new orders have no trace, such as b"
    assert proof._untraced(judge, wanted, ["a", "c"], 0) == ""


def test_an_instance_that_grows_with_the_probes_shows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = proof_of(tmp_path, "one-of-three")
    wanted = Fix(gone="memory", arguments={"mb": 30})
    monkeypatch.setattr(judge.evidence, "counts", lambda *_arguments, **_options: {"a": 20.0, "b": 20.0})
    sizes = {"a": [90e6, 91e6], "b": [90e6, 210e6]}
    monkeypatch.setattr(judge.evidence, "series", lambda *_arguments, **_options: sizes)
    assert proof._memory(judge, wanted, [], 0) == "b has grown by 120 MB with the new orders"
    sizes["b"] = [90e6, 95e6]
    assert proof._memory(judge, wanted, [], 0) == ""


def test_a_slow_machine_is_no_reason_against_a_repair_once_no_fault_is_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = proof_of(tmp_path, "two-seconds")
    slow = served("a" * 32, "a", 9000)
    slow.root.name = "PUT"
    monkeypatch.setattr(judge, "_send", lambda _wanted: [slow.trace_id])
    monkeypatch.setattr(judge, "traces", lambda _ids: [slow])
    setting = Setting(service="payment", name="PROCESSOR_LATENCY_MS", value="1400")
    on = Plan(faults=(setting,), ends_at=2e9, says="", off="")
    monkeypatch.setattr(plan, "current", lambda _settings: on)
    wanted = judge.case.proof
    assert wanted
    judge.case = judge.case.model_copy(update={"proof": wanted.model_copy(update={"off": "none"})})

    assert "1 of 1 new orders still show it" in judge.judge().reason
    monkeypatch.setattr(plan, "current", lambda _settings: on.without(setting.key))
    assert judge.judge().right


def test_a_busy_service_is_asked_again_and_never_counts_as_not_repaired(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "POLL_SECONDS", 0)
    statuses = iter([503, 429, 201])

    def send() -> requests.Response:
        response = requests.Response()
        response.status_code = next(statuses)
        return response

    assert proof._patiently(send).status_code == 201
    monkeypatch.setattr(proof, "PATIENCE", -1)
    statuses = iter([503])
    with pytest.raises(ClientError, match="order-service is busy, it responds with 503"):
        proof._patiently(send)


def test_a_request_without_a_response_is_a_hang_only_if_order_service_has_ended_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = proof_of(tmp_path, "nobody-answers")

    def too_long(_wanted: Fix) -> list[str]:
        raise ClientError("order-service took too long to answer")

    monkeypatch.setattr(judge, "_send", too_long)
    monkeypatch.setattr(judge.evidence, "counts", lambda *_arguments, **_options: {})
    assert "has ended none since then" in judge.judge().reason
    monkeypatch.setattr(judge.evidence, "counts", lambda *_arguments, **_options: {"/orders": 3.0})
    with pytest.raises(ClientError, match="took too long"):
        judge.judge()


def test_where_nothing_is_wrong_there_is_nothing_to_switch_off(tmp_path: Path) -> None:
    judge = proof_of(tmp_path, "two-seconds")
    judge.case = next(
        case
        for case in (definitions.case(definitions.find("two-seconds"), seed) for seed in range(60))
        if not case.fault
    )
    assert judge.case.proof
    assert not judge._is_untouched(judge.case.proof, Plan(ends_at=2e9, says="", off=""))


@pytest.mark.parametrize(("off", "repaired"), [("all", False), ("one", True), ("none", True)])
def test_a_lab_says_how_many_of_its_faults_have_to_be_off(tmp_path: Path, off: str, repaired: bool) -> None:
    judge = proof_of(tmp_path, "not-in-the-trace")
    assert len(judge.case.fault) == 2
    both = (
        Link(service="payment", mode="reset", port=18082),
        Setting(service="order", name="OTEL_TRACES_SAMPLER", value="always_off"),
    )
    on = Plan(faults=both, ends_at=2e9, says="", off="")
    wanted = Fix.model_validate({"gone": "untraced", "off": off})
    assert judge._is_untouched(wanted, on) == (off != "none")
    assert judge._is_untouched(wanted, on.without("link payment")) != repaired
    assert not judge._is_untouched(wanted, on.without("link payment", "setting order OTEL_TRACES_SAMPLER"))


def test_a_link_that_no_team_repairs_today_stays_and_its_team_says_why() -> None:
    lab = definitions.find("nobody-answers")
    for seed in range(10):
        case = definitions.case(lab, seed)
        assert f"link {case.fault['link']['service']}" in case.later
