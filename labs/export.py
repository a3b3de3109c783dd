"""Labelled data from a lab: the telemetry of ordinary traffic and then of the fault, with the truth of each request."""

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from labs import definitions, engine, faults, plan, predicates
from labs.attempts import Attempt
from labs.definitions import Case, Lab, Question
from labs.evidence import Evidence, wait_for
from labs.plan import Plan
from local import data_folder
from local.registry import REGISTRY
from local.settings import LocalSettings
from waybill_explorer.client import ClientError, TraceApi
from waybill_explorer.trace_tree import Trace
from waybill_explorer.transfer.client import export_traces

FORMAT = 1
"""Of truth.json; another number if a field changes its meaning."""
MOST_TRACES = 1500
LONGEST_MINUTES = 120.0
QUIET_SECONDS = 8.0
"""A trace of which nothing has come for so long is complete: spans are sent every second, and a call takes less."""
PATIENCE = 1200.0
"""Seconds after which what is awaited will not come: a hang, not a measure."""
DOCTOR = ": look with `waybill doctor`."

Say = Callable[[str], None]


def seeds_of(text: str) -> list[int]:
    """Return the seeds in a text such as `1-20` or `1,4,7-9`. Raise a ClientError."""
    found: list[int] = []
    for piece in text.split(","):
        first, _, last = piece.strip().partition("-")
        if not first.isdecimal() or (last and not last.isdecimal()) or int(last or first) < int(first):
            raise ClientError(f"{text!r} are no seeds: write 1-20, or 1,4,7-9.")
        found += range(int(first), int(last or first) + 1)
    return found


def export(
    settings: LocalSettings, name: str, seed: int, folder: Path, orders: int | None = None, say: Say = lambda _: None
) -> dict[str, Any]:
    """Play one case of a lab and write its files to `folder`; return the truth. Raise a ClientError.

    `orders` is how many there are at least in each of both windows. What is there already is left as it is.
    """
    truth_file = folder / "truth.json"
    if truth_file.exists():
        return dict(json.loads(truth_file.read_text()))
    lab = definitions.find(name)
    if not lab.load:
        raise ClientError(f"{name} has no traffic of its own, so there is nothing to record. Choose another lab.")
    case, enough = definitions.case(lab, seed), orders or lab.enough
    normal = _record_normal(settings, case, enough, say)
    say("starting the lab")
    attempt = engine.start(settings, name, seed, LONGEST_MINUTES, rehearsed=True)
    try:
        say(f"waiting for {enough} orders")
        fault = _window(Evidence(settings, attempt.since), attempt.since, enough)
        truth = _truth(settings, attempt, normal, fault)
    finally:
        say("stopping")
        engine.stop(settings)
    say("writing")
    folder.mkdir(parents=True, exist_ok=True)
    _write_telemetry(settings, folder, normal["from"], fault["to"])
    data_folder.write(truth_file, json.dumps(truth, indent=1) + "\n")
    return truth


def _record_normal(settings: LocalSettings, case: Case, enough: int, say: Say) -> dict[str, int]:
    """Let the traffic of the lab run without its fault; return the window."""
    if on := plan.current(settings):
        raise ClientError(f"{on.says}: {on.off} first.")
    say("starting ordinary traffic")
    ends_at = time.time() + LONGEST_MINUTES * 60
    off = "stop it with Ctrl-C"
    plan.bring(settings, Plan(more=engine.traffic(settings, case), ends_at=ends_at, says="a data set is made", off=off))
    try:
        since = _now()
        say(f"waiting for {enough} ordinary orders")
        return _window(Evidence(settings, since), since, enough)
    finally:
        plan.clear(settings)


def _window(evidence: Evidence, since: int, enough: int) -> dict[str, int]:
    """Return the time in which that many orders began, once nothing of them arrives any more."""
    wait_for(lambda: len(evidence.orders()) >= enough, PATIENCE, f"{enough} orders have not come{DOCTOR}")
    end = _now()
    last: dict[str, int] = {}

    def settled() -> bool:
        nonlocal last
        traces = evidence.traces("order-service", limit=MOST_TRACES)
        before, last = last, {trace.trace_id: len(trace.spans) for trace in traces if trace.start <= end}
        time.sleep(QUIET_SECONDS)
        return before == last

    wait_for(settled, PATIENCE, f"there are always more spans of the orders of this time{DOCTOR}")
    return {"from": since, "to": end}


def _truth(settings: LocalSettings, attempt: Attempt, normal: dict[str, int], fault: dict[str, int]) -> dict[str, Any]:
    case = attempt.case
    kind, fields = next(iter(case.fault.items()), ("none", {}))
    service = str(fields.get("service") or fields.get("name") or "")
    injected = _injected(settings, service, fault) if kind == "link" else None
    traces = Evidence(settings, normal["from"]).traces("order-service", limit=MOST_TRACES)
    question = _evidence_of(case.lab, case)
    windows = {"normal": normal, "fault": fault}
    requests = [
        row for trace in traces if (row := _request(trace, windows, question, injected)) and row["window"] in windows
    ]
    return {
        "format": FORMAT,
        "lab": case.lab.name,
        "seed": case.seed,
        "kind": kind,
        "fault": dict(fields),
        "service": REGISTRY[service].host if service in REGISTRY else service,
        "shows": {"predicate": question.predicate, "arguments": dict(question.arguments)},
        "fix": case.fix,
        "windows": windows,
        "hurt_by": "injector" if kind == "link" else "predicate",
        "injected": injected or [],
        "requests": sorted(requests, key=lambda row: row["start"]),
    }


def _injected(settings: LocalSettings, service: str, window: dict[str, int]) -> list[dict[str, Any]]:
    lines = faults.hurt(settings, service)
    return [line for line in lines if window["from"] <= line["at"] <= window["to"]]


def _evidence_of(lab: Lab, case: Case) -> Question:
    """Return the question whose evidence shows the fault: that of the proof, else that of the place."""
    found = [question for question in case.questions if question.predicate]
    if not found:
        raise ClientError(f"{lab.name} has no question that says what the fault looks like.")
    return next((question for question in found if question.part == "prove"), found[0])


def _request(
    trace: Trace, windows: dict[str, dict[str, int]], question: Question, injected: list[dict[str, Any]] | None
) -> dict[str, Any]:
    """Return the truth of one request: whether it was hurt, and the spans that show it."""
    inside = [name for name, window in windows.items() if window["from"] <= trace.start <= window["to"]]
    window = inside[0] if inside else ""
    shown = predicates.matching(trace, question.predicate, dict(question.arguments)) if window == "fault" else []
    hurt = bool(shown) if injected is None else trace.trace_id in {line["trace_id"] for line in injected}
    return {
        "trace_id": trace.trace_id,
        "operation": trace.root.name,
        "start": trace.start,
        "duration": trace.root.duration,
        "window": window,
        "hurt": hurt,
        "spans": [{"span_id": span.span_id, "service": span.service, "name": span.name} for span in shown],
    }


def _write_telemetry(settings: LocalSettings, folder: Path, start: int, end: int) -> None:
    """Write traces, logs and metrics of a time as OTLP/JSON; `waybill-explorer import` reads all three."""
    api = Evidence(settings, start).api
    ids = [row["traceID"] for row in api.pages("/api/summaries", 10 * MOST_TRACES, start=start, end=end)]
    with (folder / "traces.jsonl").open("w") as file:
        for line in export_traces(api, ids):
            file.write(json.dumps({"resourceSpans": json.loads(line)["resourceSpans"]}) + "\n")
    for signal in ("logs", "metrics"):
        (folder / f"{signal}.json").write_text(_exported(api, signal, start, end) + "\n")


def _exported(api: TraceApi, signal: str, start: int, end: int) -> str:
    response = api.get(f"/api/export/{signal}", start=start, end=end)
    if not response.ok:
        raise ClientError(f"{response.url} responds with {response.status_code}: {response.text[:200]}")
    return response.text


def _now() -> int:
    return int(time.time() * 1e6)


def summary(truths: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a line for each case: what it is, and how many of its requests were hurt."""
    return [
        {
            "lab": truth["lab"],
            "seed": truth["seed"],
            "kind": truth["kind"],
            "service": truth["service"],
            "requests": len(truth["requests"]),
            "hurt": sum(row["hurt"] for row in truth["requests"]),
        }
        for truth in truths
    ]
