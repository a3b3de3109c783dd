"""How steps 0 to 5 are checked: each sends probes with a `traceparent` of its own and judges what arrives for them."""

import json
import math
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from labs.path.findings import Report
from labs.path.telemetry import Point, Span
from labs.path.trial import RUN, Probe, Trial, catalog, run
from labs.path.workspace import Workspace
from local.client import TraceApi
from waybill_explorer.trace_tree import Trace

NAME = "gift-service"
GUESSES = ("database", "shop", "own code")
GUESS_FILE = "guess.txt"
CHILDREN = ("read_catalog", "choose_gift", "save_suggestion")
GOOD, FAILING = 20, 5
SLOW_SECONDS = 0.7
TRACE_SECONDS = 60
"""How long to wait for the spans of the other services, which send in batches."""
HOUR = str(3_600_000)
"""Milliseconds; so long a schedule that only the end of the process sends."""


def step_0(space: Workspace) -> Report:
    """Check that the service has no telemetry yet, and that a guess is written down."""
    report = Report(0)
    guess = read_guess(space)
    report.expect(
        "Your guess is written down",
        guess,
        seen=space.file(GUESS_FILE).strip()[:80] or f"no file {GUESS_FILE}",
        expected=f"{GUESS_FILE} with one of: {', '.join(GUESSES)}",
        read="brief 0, what to do",
    )
    trial = run(space, [Probe(catalog(space).enough)])
    _responds(report, trial)
    report.expect(
        "No telemetry of gift-service arrives",
        not trial.telemetry.resources,
        seen=f"{len(trial.telemetry.spans)} spans, {len(trial.telemetry.logs)} log records",
        expected="nothing yet; `waybill lab path reset` puts the untouched service back",
        read="brief 0",
    )
    call = next(iter(trial.first.calls), None)
    order = _wait_for(space, call.order_trace, {"order-service"}) if call else None
    report.expect(
        "The trace of order-service begins at order-service: what called it is not known there",
        call and not call.traceparent and order and order.root.service == "order-service" and not order.root.links,
        seen=_root(order),
        expected="`GET /items` of order-service as a root without a link",
        read="docs/concepts.md, propagation",
    )
    if order:
        report.traces.append(order.trace_id)
    return report


def step_1(space: Workspace) -> Report:
    """Check zero-code instrumentation: all three signals, one trace across the services, no span by hand."""
    report = Report(1)
    # The first request also connects and warms up; where the time goes shows in the second.
    trial = run(space, [Probe(catalog(space).enough)] * 2)
    report.traces.append(trial.first.trace_id)
    _responds(report, trial)
    spans = trial.spans()
    if not _spans_arrive(report, space, trial):
        return report
    _is_named(report, trial)
    _server_span(report, trial, spans)
    by_hand = [span.name for span in spans if not span.automatic]
    report.expect(
        f"Instrumentation libraries made all {len(spans)} spans",
        not by_hand,
        seen=f"also spans by hand: {', '.join(by_hand)}",
        expected="no code in this step: `waybill lab path reset 1` puts the untouched service back",
        read="brief 1",
    )
    _call_and_sql(report, spans)
    report.expect(
        "Its log line came over OTLP, with the trace id",
        trial.logs(),
        seen=f"{len(trial.telemetry.logs)} log records, none of this trace",
        expected="the record of `suggested ...` in the trace of the probe",
        read="brief 1, what to look at",
    )
    report.expect(
        "Metrics came too",
        trial.telemetry.points,
        seen="no metric",
        expected="metrics such as http.server.duration",
        read="brief 1, what to look at",
    )
    _one_trace(report, space, trial)
    _compare_with_guess(report, space, trial.spans(trial.results[-1]))
    return report


def step_2(space: Workspace) -> Report:
    """Check instrumentation in code: the resource, spans that come once, and a flush at the end of the process."""
    report = Report(2)
    probe = Probe(catalog(space).enough)
    trial = run(space, [probe])
    report.traces.append(trial.first.trace_id)
    _responds(report, trial)
    if not _spans_arrive(report, space, trial):
        return report
    spans = trial.spans()
    resource = spans[0].resource
    _is_named(report, trial)
    report.expect(
        "The resource has a version",
        resource.get("service.version"),
        seen=_items(resource),
        expected="service.version, in the same place as service.name",
        read="brief 2, the resource",
    )
    report.expect(
        "The resource also has what OTEL_RESOURCE_ATTRIBUTES says",
        resource.get(RUN) == trial.run,
        seen=f"no {RUN}, which the checker set",
        expected="`Resource.create({...})`, which reads the variable; `Resource({...})` does not",
        read="brief 2, the resource",
    )
    report.expect(
        "The code sets up the SDK",
        "telemetry.auto.version" not in resource,
        seen="telemetry.auto.version in the resource: `opentelemetry-instrument` did it, so your provider was refused",
        expected="`run` starts the service without `opentelemetry-instrument`",
        read="brief 2, what to do",
    )
    _server_span(report, trial, spans)
    _call_and_sql(report, spans)
    _once_each(report, spans)
    _flushes(report, space, probe)
    return report


def step_3(space: Workspace) -> Report:
    """Check spans by hand: the tree, the attribute, and what a failure looks like."""
    report = Report(3)
    budgets = catalog(space)
    trial = run(space, [Probe(budgets.enough), Probe(budgets.too_little)])
    good, failing = trial.results
    report.traces += [good.trace_id, failing.trace_id]
    _responds(report, trial)
    if not _spans_arrive(report, space, trial):
        return report
    _is_named(report, trial)
    spans = trial.spans(good)
    _once_each(report, spans)
    parent = _named(spans, "suggest_gift")
    server = _server(spans)
    report.expect(
        "suggest_gift is under the span of the request",
        parent and server and parent.parent_id == server.span_id,
        seen=_names(spans),
        expected="one span suggest_gift, whose parent is the SERVER span",
        read="brief 3, the tree",
    )
    if not parent:
        return report
    budget = parent.attributes.get("gift.budget")
    report.expect(
        "gift.budget is the budget, as a number",
        type(budget) is int and budget == budgets.enough,
        seen=f"{budget!r} ({type(budget).__name__})",
        expected=f"{budgets.enough} (int): a backend compares numbers, and sorts texts",
        read="brief 3, attributes",
    )
    for name in CHILDREN:
        child = _named(spans, name)
        report.expect(
            f"{name} is under suggest_gift",
            child and child.parent_id == parent.span_id,
            seen=_names(spans) if not child else "its parent is another span: was it not the current one?",
            expected=f"`start_as_current_span` around {name}, inside suggest_gift",
            read="brief 3, the tree",
        )
    report.expect(
        "The call and the SQL are inside the steps that cause them",
        all(_is_below(span, parent, spans) for span in spans if span.calls_http or span.statement),
        seen="a span of the call or of SQL beside suggest_gift",
        expected="the span by hand is the current one while the work is done",
        read="brief 3, the tree",
    )
    _failure_is_red(report, trial.spans(failing), failing.status)
    return report


def step_4(space: Workspace) -> Report:
    """Check the metrics: kinds, units and attributes, exact counts, and a slow request in its bucket."""
    report = Report(4)
    budgets = catalog(space)
    probes = [*[Probe(budgets.enough)] * GOOD, *[Probe(budgets.too_little)] * FAILING]
    # Three times as slow as any other, so that it is in another bucket on a slow machine too.
    slowest = max(result.seconds for result in run(space, probes[:3]).results)
    slow = Probe(budgets.enough, delay=max(SLOW_SECONDS, 3 * slowest))
    trial = run(space, [*probes, slow])
    report.traces.append(trial.results[-1].trace_id)
    _responds(report, trial)
    if not report.expect(
        "Metrics arrive",
        trial.telemetry.points,
        seen="none",
        expected="a MeterProvider with a PeriodicExportingMetricReader; it sends once more at the end of the process",
        read="brief 4",
    ):
        return report
    _is_named(report, trial)
    _count(report, trial)
    _level(report, trial)
    _histogram(report, trial, slow)
    return report


def step_5(space: Workspace) -> Report:
    """Check the logs: JSON lines with the ids of the span, none outside a span, and each record once over OTLP."""
    report = Report(5)
    trial = run(space, [Probe(catalog(space).enough)])
    report.traces.append(trial.first.trace_id)
    _responds(report, trial)
    if not _spans_arrive(report, space, trial):
        return report
    spans = trial.spans()
    ids = {span.span_id for span in spans}
    lines = _json_lines(trial.output)
    about = [line for line in lines if str(line.get("message", "")).startswith("suggested")]
    report.expect(
        "The line of the request is JSON",
        about,
        seen=next((line for line in trial.output.splitlines() if "suggested" in line), "no such line")[:200],
        expected='one JSON object per line, with "message": "suggested ..."',
        read="brief 5, the line",
    )
    missing = {"timestamp", "level", "message", "logger"} - (about[0].keys() if about else set())
    report.expect(
        "It says when, how severe, what and by which logger",
        about and not missing,
        seen=f"no {', '.join(sorted(missing))}",
        expected="timestamp, level, message, logger",
        read="brief 5, the line",
    )
    line = about[0] if about else {}
    report.expect(
        "It has the ids of the span",
        line.get("trace_id") == trial.first.trace_id and line.get("span_id") in ids,
        seen=f"trace_id {line.get('trace_id')!r}, span_id {line.get('span_id')!r}",
        expected=f"trace_id {trial.first.trace_id} and the id of one of its spans, in 32 and 16 hex digits",
        read="brief 5, the ids",
    )
    report.expect(
        "It is written once", len(about) <= 1, seen=f"{len(about)} times", expected="one handler", read="brief 5"
    )
    outside = _json_lines(trial.output_at_start)
    with_ids = [line for line in outside if "trace_id" in line or "span_id" in line]
    report.expect(
        "A line outside any span has no ids",
        outside and not with_ids,
        seen=json.dumps(with_ids[0])[:200] if with_ids else "no JSON line before the first request",
        expected='the line "gift-service starts" as JSON, without trace_id and span_id (not with zeros)',
        read="brief 5, the ids",
    )
    _one_record(report, trial, ids)
    return report


def read_guess(space: Workspace) -> str:
    """Return the learner's guess, or nothing."""
    guess = space.file(GUESS_FILE).strip().lower()
    return guess if guess in GUESSES else ""


def _responds(report: Report, trial: Trial) -> None:
    """Look at the first probe, which must succeed."""
    status = trial.first.status
    report.expect(
        "gift-service responds with a suggestion",
        status == 200,
        seen=f"status {status}" if status else "no response",
        expected="200; its output shows the exception: `sh run` in the folder of the service",
        read="the last lines of its output: " + " / ".join(trial.output.rstrip().splitlines()[-2:])[:300],
    )


def _spans_arrive(report: Report, space: Workspace, trial: Trial) -> bool:
    """Look for spans of the first probe; where there are none, say why if it shows."""
    seen, expected = "none within the life of the process", "a SERVER span, among others"
    if "opentelemetry-instrument" in space.file("run") and not trial.telemetry.resources:
        expected = (
            "opentelemetry-distro is installed: without it `opentelemetry-instrument` exports nothing, silently. "
            "Run `make .venv/.demo` in the folder of Waybill"
        )
    if trial.telemetry.spans and not trial.spans():
        seen = "spans, but in other traces than the probe's"
        expected = "the service continues the trace of its `traceparent` header"
    elif not trial.telemetry.spans and TraceApi(space.explorer).trace(trial.first.trace_id):
        seen = "spans in the explorer that did not go where OTEL_EXPORTER_OTLP_ENDPOINT said"
        expected = "no endpoint in code or in `run`: the SDK reads OTEL_EXPORTER_OTLP_ENDPOINT by itself"
    return report.expect("Spans arrive for the probe", trial.spans(), seen, expected, f"brief {report.step}")


def _is_named(report: Report, trial: Trial) -> None:
    names = sorted({str(resource.get("service.name", "")) for resource in trial.telemetry.resources})
    report.expect(
        "All of it says service.name gift-service",
        names == [NAME],
        seen=", ".join(names) or "nothing",
        expected=f"{NAME}, in OTEL_SERVICE_NAME or in the one Resource that all providers are given",
        read="docs/concepts.md, resource",
    )


def _server_span(report: Report, trial: Trial, spans: Sequence[Span]) -> None:
    server = _server(spans)
    report.expect(
        "A SERVER span continues the trace of the caller",
        server and server.parent_id == trial.first.span_id,
        seen=_names(spans),
        expected="a SERVER span whose parent is the span id in the probe's `traceparent`",
        read="docs/concepts.md, propagation",
    )


def _call_and_sql(report: Report, spans: Sequence[Span]) -> None:
    report.expect(
        "The call to the shop is a CLIENT span",
        any(span.calls_http for span in spans),
        seen=_names(spans),
        expected="RequestsInstrumentor is on",
        read=f"brief {report.step}",
    )
    statements = [span.statement.partition(" ")[0] for span in spans if span.statement]
    only_connects = not statements and any(span.name == "connect" for span in spans)
    report.expect(
        "INSERT and SELECT are spans",
        {"INSERT", "SELECT"} <= set(statements),
        seen="only `connect`: the engine was made before SQLAlchemy was instrumented"
        if only_connects
        else _names(spans),
        expected=(
            "`SQLAlchemyInstrumentor().instrument(engine=engine)`: a `create_engine` that was imported before "
            "stays without instrumentation"
        ),
        read="brief 2, the engine",
    )


def _once_each(report: Report, spans: Sequence[Span]) -> None:
    """Look for spans that came twice: the same one exported twice, or two instrumentations of one thing."""
    exported = [span_id for span_id, times in Counter(span.span_id for span in spans).items() if times > 1]
    servers = [span for span in spans if span.kind == "SERVER" or span.name.startswith(("GET /sugg", "/sugg"))]
    calls = [span for span in spans if span.calls_http]
    statements = Counter(span.statement for span in spans if span.statement)
    doubled = [
        *(f"{len(servers)} spans of the request" for _ in [0] if len(servers) > 1 and not exported),
        *(f"{len(calls)} CLIENT spans for one call" for _ in [0] if len(calls) > 1 and not exported),
        *(f"{n} spans of `{text[:30]}`" for text, n in statements.items() if n > 1 and not exported),
    ]
    if exported:
        seen, expected = f"{len(exported)} spans exported twice, with the same id", "one span processor per exporter"
    else:
        seen, expected = "; ".join(doubled), "each library is instrumented once: in code or by a second layer, not both"
    report.expect("No span came twice", not exported and not doubled, seen, expected, "brief 2, doubled spans")


def _flushes(report: Report, space: Workspace, probe: Probe) -> None:
    """Run once more, with so long a schedule that spans come at the end or never."""
    trial = run(space, [probe], stop=signal.SIGTERM, OTEL_BSP_SCHEDULE_DELAY=HOUR)
    if trial.wrapped:
        expected = "`exec` before the command in `run`: SIGTERM reached the shell and not the service"
    else:
        expected = "SIGTERM runs the exit handlers: gunicorn does, `flask run` needs a signal handler that exits"
    report.expect(
        "The last spans are sent when the process is stopped by SIGTERM",
        trial.spans(),
        seen="the spans of the last request are lost",
        expected=expected,
        read="brief 2, the end of a process",
    )


def _failure_is_red(report: Report, spans: Sequence[Span], status: int) -> None:
    parent = _named(spans, "suggest_gift")
    report.expect(
        "A request that cannot be fulfilled is a 500",
        status == 500,
        seen=f"status {status}",
        expected="500, as before: telemetry changes no response",
        read="brief 3, failures",
    )
    report.expect(
        "suggest_gift has status ERROR then",
        parent and parent.status == "ERROR",
        seen=parent.status if parent else "no such span",
        expected="the exception leaves the block of the span, or `set_status(StatusCode.ERROR)`",
        read="brief 3, failures",
    )
    report.expect(
        "The exception is an event of the span",
        parent and "exception" in parent.events,
        seen=", ".join(parent.events) or "no event" if parent else "no such span",
        expected="an event `exception`: recorded when it leaves the block, or by `record_exception`",
        read="brief 3, failures",
    )


def _count(report: Report, trial: Trial) -> None:
    points = trial.telemetry.metric("gifts.suggested")
    _is_a(report, points, "gifts.suggested", "counter", ("1",))
    counts: Counter[str] = Counter()
    for point in points:
        counts[str(point.attributes.get("status"))] += int(point.value)
    good = sum(result.status == 200 for result in trial.results)
    report.expect(
        "gifts.suggested counts each request once, by status",
        counts == {"success": good, "failed": len(trial.results) - good},
        seen=", ".join(f"{status} {n}" for status, n in sorted(counts.items())) or "nothing",
        expected=f"success {good}, failed {len(trial.results) - good}",
        read="brief 4, the counter",
    )
    keys = sorted({key for point in points for key in point.attributes})
    report.expect(
        "It has no attribute whose values grow with the traffic",
        keys == ["status"] or not points,
        seen=f"{len(points)} series by {', '.join(keys)}",
        expected="`status` alone: each value of each attribute is a series of its own",
        read="brief 4, attributes",
    )


def _level(report: Report, trial: Trial) -> None:
    points = trial.telemetry.metric("gifts.active")
    _is_a(report, points, "gifts.active", "up-down counter", ("1", "{request}", ""))
    level = sum(point.value for point in points)
    report.expect(
        "gifts.active is back at 0",
        points and level == 0,
        seen=f"{level:g}" if points else "nothing",
        expected=f"0: {FAILING} requests failed, so `add(-1)` has to be in `finally`",
        read="brief 4, the up-down counter",
    )


def _histogram(report: Report, trial: Trial, slow: Probe) -> None:
    points = trial.telemetry.metric("gifts.processing_time")
    _is_a(report, points, "gifts.processing_time", "histogram", ("ms", "s"))
    if not points:
        return
    total = sum(point.value for point in points)
    report.expect(
        "gifts.processing_time has every request",
        total == len(trial.results),
        seen=f"{total:g}",
        expected=f"{len(trial.results)}, failed ones too",
        read="brief 4, the histogram",
    )
    unit = points[0].unit
    factor = {"ms": 1000.0}.get(unit, 1.0)
    buckets = sorted(bucket for point in points for bucket in point.buckets)
    if not buckets:
        return
    lower, upper, _ = buckets[-1]
    least, most = slow.delay * factor, trial.results[-1].seconds * factor
    report.expect(
        "The slow request is in the bucket of its time",
        lower < most and upper >= least,
        seen=f"the highest bucket is {_bucket(lower, upper)} {unit}",
        expected=f"a bucket with {least:,.0f} to {most:,.0f} {unit}"
        if unit == "ms"
        else f"{least:.2f} to {most:.2f} s",
        read="brief 4, units and buckets",
    )
    report.expect(
        "The buckets tell slow from fast",
        buckets[0] != buckets[-1] or len({bucket[:2] for bucket in buckets}) > 1,
        seen=f"all requests are in {_bucket(lower, upper)} {unit}, so P50 and P99 are the same",
        expected="buckets for the unit: the default ones are for ms; for s give `explicit_bucket_boundaries_advisory`",
        read="brief 4, units and buckets",
    )


def _is_a(report: Report, points: Sequence[Point], name: str, kind: str, units: Sequence[str]) -> None:
    kinds = sorted({f"{point.kind} in {point.unit or 'no unit'}" for point in points})
    report.expect(
        f"{name}: {kind} in {' or '.join(filter(None, units))}",
        points and all(point.kind == kind and point.unit in units for point in points),
        seen=", ".join(kinds) or "no such metric",
        expected=f"one {kind}",
        read="brief 4",
    )


def _one_record(report: Report, trial: Trial, span_ids: set[str]) -> None:
    records = [record for record in trial.logs() if "suggested " in record.body]
    report.expect(
        "The record came over OTLP, once",
        len(records) == 1,
        seen=f"{len(records)} records",
        expected=(
            "one OTLP handler: LoggingInstrumentor adds one by itself, beside a LoggingHandler of yours"
            if records
            else "a LoggerProvider with a BatchLogRecordProcessor, and a LoggingHandler on the root logger"
        ),
        read="brief 5, once",
    )
    report.expect(
        "Its body is the message",
        records and records[0].body.startswith("suggested "),
        seen=repr(records[0].body[:60]) if records else "no record",
        expected="the message alone: level and logger are fields; `basicConfig` gives each handler a formatter",
        read="brief 5, what to do",
    )
    report.expect(
        "It belongs to a span of the trace",
        records and all(record.span_id in span_ids for record in records),
        seen=f"span id {records[0].span_id!r}" if records else "no record",
        expected="the id of the span that was current",
        read="brief 5, the ids",
    )


def _one_trace(report: Report, space: Workspace, trial: Trial) -> None:
    """Look whether order-service took part in the trace, or linked to it as a public entry does."""
    call = next(iter(trial.first.calls), None)
    sent = call is not None and call.sent_trace == trial.first.trace_id
    trace = _wait_for(space, call.order_trace, {"order-service", "inventory-service"}) if call and sent else None
    links = {link.trace_id for span in (trace.roots if trace else []) for link in span.links}
    joined = trace is not None and (trace.trace_id == trial.first.trace_id or trial.first.trace_id in links)
    report.expect(
        "gift-service, order-service and inventory-service are connected",
        joined,
        seen="a call without `traceparent`"
        if not sent
        else f"a trace with {', '.join(trace.services) if trace else '-'}",
        expected="the call carries `traceparent`, and order-service continues the trace or links to it",
        read="docs/concepts.md, propagation",
    )
    if joined and trace and trace.trace_id != trial.first.trace_id:
        report.traces.append(trace.trace_id)
        report.notes.append(
            "order-service is a public entry: it began a trace of its own and linked it to yours (docs/adr/0009). "
            "`INCOMING_TRACE_CONTEXT=accept make demo` makes one trace of the two."
        )


def _compare_with_guess(report: Report, space: Workspace, spans: Sequence[Span]) -> None:
    server, guess = _server(spans), read_guess(space)
    if server is None or not guess:
        return
    took = {
        "shop": sum(span.end - span.start for span in spans if span.calls_http),
        "database": sum(span.end - span.start for span in spans if span.statement),
    }
    took["own code"] = max(0.0, server.end - server.start - sum(took.values()))
    times = ", ".join(f"{name} {seconds * 1000:,.0f} ms" for name, seconds in took.items())
    right = max(took, key=lambda name: took[name]) == guess
    report.notes.append(f"You guessed `{guess}`: {'right' if right else 'wrong'}. {times}. Now you know.")


def _wait_for(space: Workspace, trace_id: str, services: set[str]) -> Trace | None:
    """Return a trace once it has spans of these services, or as it is after TRACE_SECONDS; None if nothing came."""
    api, deadline = TraceApi(space.explorer), time.monotonic() + TRACE_SECONDS
    trace: Trace | None = None
    while trace_id and time.monotonic() < deadline:
        fetched = api.trace(trace_id)
        trace = fetched.trace if fetched else None
        if trace and services <= set(trace.services):
            break
        time.sleep(0.2)
    return trace


def _json_lines(output: str) -> list[dict[str, Any]]:
    lines = []
    for line in output.splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            lines.append(found)
    return lines


def _server(spans: Sequence[Span]) -> Span | None:
    return next((span for span in spans if span.kind == "SERVER"), None)


def _named(spans: Sequence[Span], name: str) -> Span | None:
    return next((span for span in spans if span.name == name), None)


def _is_below(span: Span, ancestor: Span, spans: Sequence[Span]) -> bool:
    by_id = {each.span_id: each for each in spans}
    seen: set[str] = set()
    at: Span | None = span
    while at and at.span_id not in seen:
        if at.span_id == ancestor.span_id:
            return True
        seen.add(at.span_id)
        at = by_id.get(at.parent_id)
    return False


def _names(spans: Sequence[Span]) -> str:
    return ", ".join(f"{span.name} ({span.kind})" for span in spans) or "no span"


def _items(attributes: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(attributes.items()))


def _root(trace: Trace | None) -> str:
    return f"root {trace.root.service} {trace.root.name}" if trace else "no trace of order-service within a minute"


def _bucket(lower: float, upper: float) -> str:
    low, high = ("no bound" if math.isinf(bound) else f"{bound:g}" for bound in (lower, upper))
    return f"({low}, {high}]"


CHECKS: dict[int, Callable[[Workspace], Report]] = {
    0: step_0,
    1: step_1,
    2: step_2,
    3: step_3,
    4: step_4,
    5: step_5,
}
