"""Playing a lab through: not started, untouched, with a plausible wrong answer, solved, stopped."""

import json
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import psutil

from labs import attempts, definitions, engine, faults, plan, predicates, solution
from labs.attempts import Attempt
from labs.evidence import Evidence
from labs.faults import Link
from labs.grading import Grader
from local import wanted
from local.settings import LocalSettings
from waybill_explorer.client import ClientError

T = TypeVar("T")

UNTOUCHED_BELOW = 30
PATIENCE = 1200.0
"""Seconds after which what a lab needs will not come: a hang, not a measure."""
SETTLED_SECONDS = 15
"""By then the spans of a request have arrived."""
COMPARED = (
    *("PORT", "THREADS", "WEB_CONCURRENCY", "PYTHONPATH", "PYTHONSAFEPATH", "PROCESSOR_LATENCY_MS"),
    *("OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG", "OTEL_BLRP_SCHEDULE_DELAY"),
)


class Wrong(Exception):
    """The lab does not work: what happened."""


def play(settings: LocalSettings, name: str, seed: int, say: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Play one lab and return a row of the table; `problem` is "" if all was as it should be."""
    began = time.monotonic()
    row: dict[str, Any] = {"lab": name, "seed": seed, "kind": "", "untouched": "-", "wrong": "-", "solved": "-"}
    row["problem"] = ""
    try:
        _play(settings, name, seed, row, say)
    except (Wrong, ClientError) as error:
        row["problem"] = str(error)
        on = plan.current(settings)
        if on and on.attempt:
            plan.clear(settings)
    row["minutes"] = round((time.monotonic() - began) / 60, 1)
    return row


def _play(settings: LocalSettings, name: str, seed: int, row: dict[str, Any], say: Callable[[str], None]) -> None:
    lab = definitions.find(name)
    _refuses_without_a_start(settings)
    before = _processes(settings)

    say(f"{name}: starting")
    attempt = engine.start(settings, name, seed, rehearsed=True)
    case = attempt.case
    row["kind"] = ", ".join(case.fault) or "none"
    if lab.fix:
        say(f"{name}: checking without a repair")
        _until(lambda: [engine.check_fix(settings, attempt)], "the untouched stack cannot be judged")
    row["untouched"] = attempt.score()
    _require(attempt.score() < UNTOUCHED_BELOW, f"untouched, it gives {attempt.score()} points")

    say(f"{name}: waiting for {lab.enough} orders")
    evidence = Evidence(settings, attempt.since)
    if lab.enough:
        # Of twice as many: the newest are not complete yet.
        _until(lambda: len(evidence.orders(2 * lab.enough)) >= lab.enough, f"{lab.enough} orders have not come")
    _compare_with_the_record(settings, attempt)

    say(f"{name}: answering")
    row["wrong"] = 0
    for question in case.questions:
        if value := case.wrong.get(question.key):
            _wrong_answer(settings, attempt, question.key, value)

        def right(question: definitions.Question = question) -> attempts.Answer:
            value = solution.answer(Grader(settings, attempt), question)
            return engine.answer(settings, attempt, question.key, value)

        given = _until(right, f"no solution for {question.key}")
        _require(given.right, f"the solution {given.value!r} to {question.key} is not accepted: {given.reason}")

    if lab.fix:
        say(f"{name}: repairing")
        for command in case.fixes:
            engine.act(settings, command)
        (reason,) = _until(lambda: [engine.check_fix(settings, attempt)], "the repair cannot be judged")
        _require(not reason, f"the repair does not help: {reason}")
    row["solved"] = attempt.score()
    _require(attempt.score() == 100, f"the solution gives {attempt.score()} points")

    say(f"{name}: stopping")
    engine.stop(settings)
    after = _processes(settings)
    _require(after == before, f"processes are not as before: {_difference(before, after)}")
    _require(wanted.read(settings.waybill_data) is None, "the wanted state is still there")
    _require(not [*faults.folder(settings).glob("undo-*")], "a change of data was not undone")
    _require(evidence.captures_per_order() <= 1, "a card was charged twice for an order")


def _wrong_answer(settings: LocalSettings, attempt: Attempt, key: str, value: str) -> None:
    before = attempt.score()
    given = _until(partial(engine.answer, settings, attempt, key, value), f"no verdict on {key}")
    _require(not given.right, f"the wrong answer {value!r} to {key} is accepted")
    _require(bool(given.reason), f"the wrong answer {value!r} to {key} gets no reason")
    _require(attempt.score() == before, f"the wrong answer {value!r} to {key} changes the score")


def _refuses_without_a_start(settings: LocalSettings) -> None:
    try:
        attempts.current(settings)
    except ClientError:
        return
    raise Wrong("a lab is on already: end it with `waybill lab stop`.")


def _compare_with_the_record(settings: LocalSettings, attempt: Attempt) -> None:
    """Compare what the link has written down with what the telemetry shows, trace by trace."""
    on = plan.current(settings)
    links = [fault for fault in on.faults if isinstance(fault, Link)] if on else []
    for link in links:
        name, arguments = _effect(link)

        def same(link: Link = link, name: str = name, arguments: Mapping[str, Any] = arguments) -> bool:
            until = time.time() - SETTLED_SECONDS
            hurt = {
                line["trace_id"]
                for line in faults.hurt(settings, link.service)
                if attempt.started <= line["at"] / 1e6 < until
            }
            orders = Evidence(settings, attempt.since).orders()
            shown = {trace.trace_id for trace in orders if predicates.matching(trace, name, dict(arguments))}
            return bool(hurt) and hurt & {trace.trace_id for trace in orders} <= shown

        _until(same, f"the telemetry does not show what the link to {link.service} has done")


def _effect(link: Link) -> tuple[str, dict[str, Any]]:
    """Return the predicate that holds for a span of each request that a link hurts."""
    if link.mode == "delay" and link.seconds < 3:
        return "network_gap", {"path": link.path, "ms": link.seconds * 1000}
    return "call_failed", {"path": link.path}


def _processes(settings: LocalSettings) -> dict[str, tuple[Any, ...]]:
    """Return the command line and the settings of each process of the stack."""
    pids = json.loads((settings.waybill_data / "processes.json").read_text())
    found = {}
    for name, pid in pids.items():
        process = psutil.Process(pid)
        environment = process.environ()
        found[name] = (tuple(process.cmdline()), *(environment.get(variable) for variable in COMPARED))
    return found


def _difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    return ", ".join(sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name)))


def _until(attempt: Callable[[], T], problem: str) -> T:
    """Try until something is there; what cannot be judged yet is tried again. Raise Wrong."""
    last = ""
    began = time.monotonic()
    while time.monotonic() - began < PATIENCE:
        try:
            if found := attempt():
                return found
        except ClientError as error:
            last = f": {error}"
        time.sleep(1)
    raise Wrong(problem + last)


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise Wrong(problem)
