"""How steps 6 to 8 are checked: a Collector, a second backend, and percentiles with exemplars."""

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import yaml

from labs.path.checks import NAME, SLOW_SECONDS
from labs.path.findings import Report
from labs.path.telemetry import Telemetry, receiving
from labs.path.trial import RUN, Probe, catalog, run
from labs.path.workspace import Workspace
from local.client import TraceApi
from local.health import responds
from local.ports import free_port
from local.process_group import ProcessGroup
from local.settings import HOST
from waybill_explorer.client import json_of

COLLECTOR = "otelcol-contrib"
CONFIG = "collector.yaml"
ATTRIBUTE = "environment"
SIGNALS = ("traces", "metrics", "logs")
WAIT_SECONDS = 60
DAY = 86_400
FAST = 5
"""Probes that are not held up, before the one that is."""
ANSWER_FILE = "slowest.txt"
ADDRESS = re.compile(r"(https?://|localhost:|\d+\.\d+\.\d+\.\d+:)[\w.:/-]*")


def step_6(space: Workspace) -> Report:
    """Check the Collector's file as far as a reader can, and run a Collector with it where there is one."""
    report = Report(6)
    probe = Probe(catalog(space).enough)
    config = _read_config(report, space)
    if config is not None:
        _judge_config(report, config)
    # Nothing listens where the service would send without this step.
    dead = f"http://{HOST}:{free_port(9999, [])}"
    trial = run(space, [probe], endpoint=dead, OTEL_EXPORTER_OTLP_TIMEOUT="2")
    report.expect(
        "gift-service sends to the Collector",
        trial.spans(),
        seen="no span came to $COLLECTOR_OTLP",
        expected='`export OTEL_EXPORTER_OTLP_ENDPOINT="http://$COLLECTOR_OTLP"` in `run`, below the first line',
        read="brief 6, what to do",
    )
    binary = shutil.which(COLLECTOR)
    if binary is None:
        report.not_done = f"{COLLECTOR} is not in PATH, so no Collector has run with {CONFIG}. The file was only read."
    elif report.state == "passed":
        _run_collector(report, space, binary, probe)
    return report


def step_7(space: Workspace) -> Report:
    """Check that the same code sends to a second backend, and that one trace id leads to both."""
    report = Report(7)
    second = f"http://{HOST}:{space.ports()['page']}"
    if not report.expect(
        "The second backend runs",
        responds(f"{second}/healthz", timeout=10),
        seen=f"nothing responds on {second}",
        expected="`sh second` in another terminal, in the folder of the service",
        read="brief 7, what to do",
    ):
        return report
    trial = run(space, [Probe(catalog(space).enough)])
    trace_id = trial.first.trace_id
    report.traces.append(trace_id)
    report.expect(
        "gift-service responds with a suggestion", trial.first.status == 200, f"status {trial.first.status}", "200"
    )
    there = _services(TraceApi(second), trace_id, {NAME}, seconds=0)
    report.expect(
        "The spans of gift-service are in the second backend",
        NAME in there,
        seen=f"they came to {space.explorer}" if trial.spans() else "they came nowhere",
        expected='`export OTEL_EXPORTER_OTLP_ENDPOINT="$SECOND_BACKEND"` in `run`, below the first line',
        read="brief 7, what to do",
    )
    call = next(iter(trial.first.calls), None)
    here = _services(TraceApi(space.explorer), call.order_trace, {"order-service"}) if call else set()
    report.expect(
        "Those of order-service, for the same request, are in the first",
        call and call.sent_trace == trace_id and "order-service" in here,
        seen="a call without the trace's `traceparent`" if call and call.sent_trace != trace_id else "none",
        expected="the call carries `traceparent`, whatever backend the caller sends to",
        read="docs/concepts.md, propagation",
    )
    named = [
        f"{file.name}: {match[0]}"
        for file in sorted(space.folder.glob("*.py"))
        for match in ADDRESS.finditer(file.read_text(errors="replace"))
        if "sqlite" not in match[0]
    ]
    report.expect(
        "No file of code names a backend",
        not named,
        seen="; ".join(named),
        expected="the address in the environment alone, so that the code stays as it is",
        read="brief 7",
    )
    report.notes.append(f"The same trace id in the second backend: {second}/trace/{trace_id}")
    return report


def step_8(space: Workspace) -> Report:
    """Check that P99 and an exemplar lead from the explorer's metric to the trace of the slow request."""
    report = Report(8)
    budget = catalog(space).enough
    trial = run(space, [*[Probe(budget)] * FAST, Probe(budget, SLOW_SECONDS)])
    slow = trial.results[-1]
    report.traces.append(slow.trace_id)
    lines, error = p99(space)
    mine = next((line for line in lines if line["attributes"].get(RUN) == trial.run), None)
    values = [value for _, value in mine["points"] if value is not None] if mine else []
    report.expect(
        "The explorer has a P99 of gifts.processing_time",
        values,
        seen=error or "no point",
        expected="the histogram of step 4, sent to the explorer",
        read="brief 8",
    )
    exemplars = {exemplar["trace_id"] for exemplar in mine["exemplars"]} if mine else set()
    report.expect(
        "An exemplar leads to the slow request",
        slow.trace_id in exemplars and _services(TraceApi(space.explorer), slow.trace_id, {NAME}, seconds=0),
        seen=f"{len(exemplars)} exemplars, none of the slow probe",
        expected="`record` is called while the span of the request is current: the SDK then keeps its ids",
        read="docs/concepts.md, exemplar",
    )
    answer = space.file(ANSWER_FILE).strip().lower()
    known = {exemplar["trace_id"] for line in lines for exemplar in line["exemplars"]}
    report.expect(
        "You have found one yourself",
        answer in known and answer != slow.trace_id,
        seen=answer[:40] or f"no file {ANSWER_FILE}",
        expected=f"{ANSWER_FILE} with the trace id of an exemplar of gifts.processing_time",
        read=f"brief 8, what to do: {space.explorer}/metrics",
    )
    return report


def _read_config(report: Report, space: Workspace) -> Mapping[str, Any] | None:
    try:
        config = yaml.safe_load(space.file(CONFIG))
        seen = "no mapping"
    except yaml.YAMLError as error:
        config, seen = None, str(error)
    good = isinstance(config, dict) and isinstance((config.get("service") or {}).get("pipelines"), dict)
    report.expect(f"{CONFIG} is a configuration", good, seen, "YAML with service.pipelines", "brief 6")
    return config if good else None


def _judge_config(report: Report, config: Mapping[str, Any]) -> None:
    pipelines: dict[str, Any] = config["service"]["pipelines"]
    exporters, processors = config.get("exporters") or {}, config.get("processors") or {}
    old = [name for name in exporters if name.partition("/")[0] == "loki"]
    report.expect(
        "Every exporter exists",
        not old,
        seen=f"{', '.join(old)}: its last release was 0.130",
        expected="`otlp_grpc` or `otlp_http`: Loki takes OTLP itself, and so does the explorer",
        read="brief 6, the exporter",
    )
    undefined = sorted(
        f"{signal}: {name}"
        for signal, pipeline in pipelines.items()
        for kind in ("receivers", "processors", "exporters")
        for name in pipeline.get(kind) or []
        if name not in (config.get(kind) or {})
    )
    report.expect(
        "Every component of a pipeline is defined", not undefined, ", ".join(undefined), "an entry for each", "brief 6"
    )
    absent = [signal for signal in SIGNALS if signal not in pipelines]
    report.expect(
        "Each signal has a pipeline", not absent, f"none for {', '.join(absent)}", ", ".join(SIGNALS), "brief 6"
    )
    setting = {name for name, given in processors.items() if _sets_environment(name, given or {})}
    without = [signal for signal in SIGNALS if not setting & set((pipelines.get(signal) or {}).get("processors") or [])]
    report.expect(
        f"`{ATTRIBUTE}` is set on all three signals",
        not without,
        seen=f"not on {', '.join(without)}",
        expected="the resource processor in each pipeline",
        read="brief 6, the attribute",
    )
    order = [
        signal
        for signal, pipeline in pipelines.items()
        if not _in_order([name.partition("/")[0] for name in pipeline.get("processors") or []])
    ]
    report.expect(
        "The processors are in order",
        not order,
        seen=f"not in {', '.join(order)}",
        expected="memory_limiter first if there is one, batch last",
        read="brief 6, the order",
    )


def _sets_environment(name: str, given: Mapping[str, Any]) -> bool:
    changes = given.get("attributes") or [] if name.partition("/")[0] == "resource" else []
    return any(change.get("key") == ATTRIBUTE and change.get("action") in ("upsert", "insert") for change in changes)


def _in_order(names: list[str]) -> bool:
    return ("batch" not in names or names[-1] == "batch") and ("memory_limiter" not in names[1:])


def _run_collector(report: Report, space: Workspace, binary: str, probe: Probe) -> None:
    """Run the Collector between the service and the explorer, and look at what comes out of it."""
    with receiving(space.otlp) as (telemetry, endpoint), _collector(space, binary, endpoint) as (address, log):
        if not report.expect(f"{COLLECTOR} starts with {CONFIG}", address, log[-600:], "a Collector that listens"):
            return
        trial = run(space, [probe], endpoint=f"http://{HOST}:1", COLLECTOR_OTLP=address)
        report.traces.append(trial.first.trace_id)
        _wait_for_all(telemetry)
    for signal, items in (("traces", telemetry.spans), ("metrics", telemetry.points), ("logs", telemetry.logs)):
        resources: list[dict[str, Any]] = [item.resource for item in items]
        report.expect(
            f"{signal} come out of it with `{ATTRIBUTE}`",
            resources and all(ATTRIBUTE in resource for resource in resources),
            seen="without" if resources else "nothing came out",
            expected="the resource processor in this pipeline",
            read="brief 6, the attribute",
        )


@contextmanager
def _collector(space: Workspace, binary: str, endpoint: str) -> Iterator[tuple[str, str]]:
    """Yield where a Collector listens, or nothing, and what it wrote."""
    port = free_port(4317, [])
    address, log = f"{HOST}:{port}", space.folder.parent / "collector.txt"
    environment = {"COLLECTOR_OTLP": address, "BACKEND_OTLP": endpoint.removeprefix("http://")}
    group = ProcessGroup()
    group.keep_guard()
    with log.open("wb") as file:
        process = subprocess.Popen(  # noqa: S603
            (binary, "--config", str(space.folder / CONFIG)),
            env=environment,
            process_group=group.id,
            stdout=file,
            stderr=file,
        )
    try:
        listens = _until_listening(process, port)
        yield address if listens else "", log.read_text(errors="replace")
    finally:
        process.terminate()
        process.wait()
        group.kill()
        log.unlink()


def _until_listening(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + WAIT_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
            return True
        except OSError:
            time.sleep(0.1)
    return False


def _wait_for_all(telemetry: Telemetry) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not (telemetry.spans and telemetry.points and telemetry.logs) and time.monotonic() < deadline:
        time.sleep(0.1)


def _services(api: TraceApi, trace_id: str, wanted: set[str], seconds: float = WAIT_SECONDS) -> set[str]:
    """Return the services of a trace once these are among them, or as they are in the end.

    A process that has ended needs no time: an explorer responds to an export once it is stored.
    """
    deadline = time.monotonic() + seconds
    while trace_id:
        fetched = api.trace(trace_id)
        found = set(fetched.trace.services) if fetched else set()
        if wanted <= found or time.monotonic() >= deadline:
            return found
        time.sleep(0.2)
    return set()


def p99(space: Workspace) -> tuple[list[dict[str, Any]], str]:
    """Return the P99 of the last day, a line for each run of the service, or why there is none."""
    now = time.time_ns() // 1000
    response = TraceApi(space.explorer).get(
        "/api/series",
        name="gifts.processing_time",
        service=NAME,
        stat="p99",
        by=RUN,
        start=now - DAY * 1_000_000,
        end=now + 60_000_000,
        step=60,
    )
    body = json_of(response)
    if not isinstance(body, dict) or body.get("errors"):
        return [], body["errors"][0]["msg"] if isinstance(body, dict) else f"status {response.status_code}"
    return list(body["data"]), ""


LATER_CHECKS = {6: step_6, 7: step_7, 8: step_8}
