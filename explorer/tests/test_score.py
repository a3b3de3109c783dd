"""The Instrumentation Score: each rule on telemetry that breaks it and on telemetry that keeps it, and the report."""

import json
import secrets
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from google.protobuf.message import Message
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tools.attribute_keys import FILE, attribute_keys
from waybill_explorer.score import rules
from waybill_explorer.score.sensitive import problem
from waybill_explorer.score.units import is_unit, named_unit

from .conftest import JSON, SECOND, START, Backend, attributes, logs, metrics, span, spans

DAY = 86_400 * SECOND
MEASURED = START + 2 * DAY
WINDOW = {"start": START // 1000, "end": (START + 15 * DAY + SECOND) // 1000}
"""15 days; metrics are sent in the last 14 of them."""
CLIENT, INTERNAL, SERVER = Span.SPAN_KIND_CLIENT, Span.SPAN_KIND_INTERNAL, Span.SPAN_KIND_SERVER
IDENTITY = {"service.instance.id": "1", "deployment.environment.name": "test"}
CARD, EMAIL = "4111 1111 1111 1111", "alice@example.com"

Messages = Callable[[str], list[Message]]
"""Makes the telemetry of a service of this name."""


def resource(**changes: Any) -> dict[str, Any]:
    """The attributes of a resource that keeps every rule, with changes; dots are written as `__`, None removes."""
    found = IDENTITY | {key.replace("__", "."): value for key, value in changes.items()}
    return {key: value for key, value in found.items() if value is not None}


def of_resource(**changes: Any) -> Messages:
    """A span of such a resource."""

    def send(service: str) -> list[Message]:
        return [spans(service, span(secrets.token_bytes(16), kind=SERVER), resource=resource(**changes))]

    return send


def of_resources(*several: dict[str, Any]) -> Messages:
    return lambda service: [message for one in several for message in of_resource(**one)(service)]


def one_span(**fields: Any) -> Messages:
    """A root span with these fields."""

    def send(service: str) -> list[Message]:
        return [spans(service, span(secrets.token_bytes(16), **{"kind": SERVER} | fields), resource=IDENTITY)]

    return send


def trace(children: int, *, parent: bytes | None = None, **fields: Any) -> Messages:
    """A trace of a root span and its children."""

    def send(service: str) -> list[Message]:
        trace_id = secrets.token_bytes(16)
        root = span(trace_id, kind=SERVER, ms=100)
        below = [span(trace_id, f"step {n}", parent or root.span_id, **fields) for n in range(children)]
        return [spans(service, root, *below, resource=IDENTITY)]

    return send


def browser_span(service: str) -> list[Message]:
    attributes = resource(telemetry__sdk__language="webjs")
    return [spans(service, span(secrets.token_bytes(16), kind=CLIENT), resource=attributes)]


def metric(name: str = "queue.length", unit: str = "{item}", **options: Any) -> Messages:
    """A gauge, each with these attributes."""

    def send(service: str) -> list[Message]:
        request, found = metrics(service)
        request.resource_metrics[0].resource.attributes.extend(attributes({"deployment.environment.name": "test"}))
        gauge = found.add(name=name.replace("NAME", service), unit=unit, description=options.get("description", ""))
        for labels in options.get("labels", [{}]):
            gauge.gauge.data_points.add(time_unix_nano=MEASURED, as_int=1, attributes=attributes(labels))
        return [request]

    return send


def exemplar(labels: dict[str, Any]) -> Messages:
    def send(service: str) -> list[Message]:
        (request,) = metric(labels=[])(service)
        point = request.resource_metrics[0].scope_metrics[0].metrics[0]  # type: ignore[attr-defined]
        point.sum.data_points.add(time_unix_nano=MEASURED, as_int=1).exemplars.add(
            time_unix_nano=MEASURED, as_int=1, filtered_attributes=attributes(labels)
        )
        return [request]

    return send


def histogram(*bounds: list[float]) -> Messages:
    """The same histogram of several processes, each with its bucket boundaries."""

    def send(service: str) -> list[Message]:
        messages: list[Message] = []
        for instance, some in enumerate(bounds):
            request, found = metrics(service, str(instance))
            found.add(name=f"{service}.duration", unit="s").histogram.data_points.add(
                time_unix_nano=MEASURED, explicit_bounds=some, bucket_counts=[1] * (len(some) + 1), count=1
            )
            messages.append(request)
        return messages

    return send


def two_units(one: str, other: str) -> Messages:
    """A metric of two services."""

    def send(service: str) -> list[Message]:
        name = f"{service}.size"
        return [*metric(name, one)(service), *metric(name, other)(f"{service}-2")]

    return send


def record(environment: str = "test", **fields: Any) -> Messages:
    return records(fields, environment=environment)


def records(*some: dict[str, Any], environment: str = "test") -> Messages:
    def send(service: str) -> list[Message]:
        request = logs(service, *some)
        changed = IDENTITY | {"deployment.environment.name": environment}
        request.resource_logs[0].resource.attributes.extend(attributes(changed))
        return [request]

    return send


def debug_records(days: int, environment: str, severity: int = 5) -> Messages:
    times = ({"time_unix_nano": START + at * DAY, "severity_number": severity} for at in (0, days))
    return records(*times, environment=environment)


def structured_body(service: str) -> list[Message]:
    (request,) = record()(service)
    body = AnyValue()
    body.kvlist_value.values.extend(attributes({"user": "Alice", "password": "correct-horse"}))
    request.resource_logs[0].scope_logs[0].log_records[0].body.CopyFrom(body)  # type: ignore[attr-defined]
    return [request]


def event(**values: Any) -> dict[str, Any]:
    return {"events": [Span.Event(name="exception", attributes=attributes(values))]}


NODE = {
    "telemetry__sdk__language": "nodejs",
    "telemetry__sdk__version": "2.0.1",
    "process__runtime__name": "nodejs",
}

CASES: list[tuple[str, str, Messages, Messages]] = [
    ("RES-001", "no instance id", of_resource(service__instance__id=None), of_resource()),
    (
        "RES-002",
        "an instance id of two pods",
        of_resources(
            {"k8s__pod__name": "pay-1", "k8s__pod__uid": "1"}, {"k8s__pod__name": "pay-2", "k8s__pod__uid": "2"}
        ),
        of_resources({"host__name": "a"}, {"host__name": "a", "service__version": "2"}),
    ),
    ("RES-003", "a pod without uid", of_resource(k8s__pod__name="pay-1"), of_resource(k8s__pod__uid="2f6c")),
    ("RES-003", "no Kubernetes at all", of_resource(k8s__node__name="n"), of_resource()),
    ("RES-004", "HTTP on a resource", of_resource(http__method="GET"), of_resource(host__name="a")),
    (
        "RES-004",
        "the service's name on a span",
        one_span(attributes={"service.name": "x"}),
        one_span(attributes={"http.request.method": "GET", "service.peer.name": "x", "process.cpu.state": "user"}),
    ),
    (
        "RES-004",
        "a host on a log record",
        record(attributes={"host.name": "a"}),
        record(attributes={"log.file.name": "a"}),
    ),
    ("RES-005", "an empty service name", of_resource(service__name=""), of_resource()),
    (
        "RES-006",
        "a criticality of one's own",
        of_resource(service__criticality="HIGH"),
        of_resource(service__criticality="high"),
    ),
    ("RES-007", "no environment", of_resource(deployment__environment__name=None), of_resource()),
    ("RES-007", "an empty environment", of_resource(deployment__environment__name=""), of_resource()),
    (
        "RES-010",
        "a password on the command line",
        of_resource(process__command_args=["java", "-Djavax.net.ssl.trustStorePassword=MyS3cret!"]),
        of_resource(process__command_args=["java", "-Xmx1g"]),
    ),
    ("SPA-001", "11 internal spans", trace(11, kind=INTERNAL), trace(10, kind=INTERNAL)),
    ("SPA-002", "a missing parent", trace(1, parent=b"12345678"), trace(1)),
    ("SPA-004", "a CLIENT root", one_span(kind=CLIENT), one_span(kind=INTERNAL)),
    ("SPA-004", "which a browser may send", one_span(kind=CLIENT), browser_span),
    ("SPA-005", "21 short spans", trace(21, ms=4), trace(20, ms=4)),
    ("SPA-005", "5 ms are not short", trace(21, ms=4), trace(40, ms=5)),
    (
        "SPA-006",
        "an address in an attribute",
        one_span(attributes={"user": EMAIL}),
        one_span(attributes={"user": "u-1"}),
    ),
    (
        "SPA-006",
        "a card as a number",
        one_span(attributes={"n": 4111111111111111}),
        one_span(attributes={"n": 1700000000000}),
    ),
    ("SPA-006", "an address in a name", one_span(name=f"mail {EMAIL}"), one_span(name="mail")),
    (
        "SPA-006",
        "an address in a status",
        one_span(status=Status(message=f"no {EMAIL}")),
        one_span(status=Status(message="no")),
    ),
    (
        "SPA-006",
        "in an event",
        one_span(**event(**{"exception.message": "login: password=hunter2"})),
        one_span(**event()),
    ),
    (
        "SPA-006",
        "in an exception, but not in the code that raised it",
        one_span(**event(**{"exception.stacktrace": f"Traceback\n  f(x)\nValueError: no user {EMAIL}"})),
        one_span(**event(**{"exception.stacktrace": "Traceback\n  login(password=settings.password)\nValueError: no"})),
    ),
    (
        "SPA-006",
        "in a link",
        one_span(links=[Span.Link(trace_id=b"1" * 16, span_id=b"1" * 8, attributes=attributes({"token": "abc"}))]),
        one_span(links=[Span.Link(trace_id=b"1" * 16, span_id=b"1" * 8, attributes=attributes({"n": 1}))]),
    ),
    (
        "MET-001",
        "10,000 values of an attribute",
        metric(labels=[{"user": f"u-{n}"} for n in range(10_000)]),
        metric(labels=[{"user": f"u-{n}"} for n in range(9_999)]),
    ),
    ("MET-002", "no unit", metric(unit=""), metric(unit="1")),
    ("MET-002", "a word as a unit", metric(unit="connections"), metric(unit="{connection}")),
    ("MET-003", "two units of a name", two_units("s", "ms"), two_units("s", "s")),
    ("MET-004", "other buckets", histogram([1, 2], [1, 3]), histogram([1, 2], [1, 2])),
    ("MET-005", "the unit in the name", metric("collection.duration.seconds", "s"), metric("collection.duration", "s")),
    ("MET-006", "an attribute's name", metric("http.response.status_code", "1"), metric("http.responses", "1")),
    ("MET-008", "an address in a point", metric(labels=[{"user": EMAIL}]), metric(labels=[{"user": "u-1"}])),
    ("MET-008", "an address in a name", metric(f"orders.{EMAIL}.count"), metric("orders.count")),
    ("MET-008", "a card in a description", metric(description=f"of {CARD}"), metric(description="of cards")),
    ("MET-008", "a token in an exemplar", exemplar({"token": "abc"}), exemplar({"route": "/"})),
    ("LOG-001", "debug records over 15 days", debug_records(15, "production"), debug_records(14, "production")),
    ("LOG-001", "where it is no production", debug_records(15, "production"), debug_records(15, "staging")),
    ("LOG-001", "records that are no debug", debug_records(15, "Prod"), debug_records(15, "Prod", severity=9)),
    ("LOG-002", "no severity number", record(severity_number=0, severity_text="INFO"), record()),
    ("LOG-003", "an address in the body", record(body=f"failed login of {EMAIL}"), record(body="failed login")),
    ("LOG-003", "a password in a structured body", structured_body, record(body='{"user": "Alice"}')),
    ("LOG-003", "a card in an attribute", record(attributes={"card": CARD}), record(attributes={"card": "visa"})),
    (
        "SDK-001",
        "an old runtime",
        of_resource(**NODE, process__runtime__version="v16.20.0"),
        of_resource(**NODE, process__runtime__version="v22.1.0"),
    ),
]


def scored(backend: Backend, service: str, messages: list[Message], **query: Any) -> dict[str, Any]:
    """Send telemetry and return the score of its service."""
    backend.send(*messages)
    found = backend.get("/api/score", **WINDOW | {"service": service} | query)
    (one,) = found["services"]
    assert one["service"] == service
    return dict(one)


def failing(one: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {rule["id"]: rule for rule in one["rules"] if rule["passed"] is False}


@pytest.mark.parametrize(("rule", "what", "broken", "kept"), CASES, ids=[f"{rule} {what}" for rule, what, *_ in CASES])
def test_a_rule_fails_where_it_is_broken_and_only_there(
    backend: Backend, service: str, rule: str, what: str, broken: Messages, kept: Messages
) -> None:
    without_name = rule == "RES-005"
    named = "OTLPResourceNoServiceName" if without_name else f"{service}-broken"
    found = failing(scored(backend, named, broken(f"{service}-broken")))
    assert rule in found, what
    assert found[rule]["seen"]
    assert found[rule]["advice"]
    assert set(found[rule]["evidence"]) & {"trace_id", "metric", "log"}
    assert rule not in failing(scored(backend, f"{service}-kept", kept(f"{service}-kept"))), what


def test_each_rule_of_the_table_has_a_case() -> None:
    assert {rule for rule, *_ in CASES} == set(rules.RULES)


def test_the_formula_is_the_specification_s() -> None:
    """Its example: 530 of 830 points are 63.86 %; here by the weights of the rules that are there."""
    assert rules.WEIGHTS == {"Critical": 40, "Important": 30, "Normal": 20, "Low": 10}
    total = sum(rule.weight for rule in rules.RULES.values())
    assert rules.score(()) == 100
    assert rules.score(["SPA-005"]) == 100 * (total - 30) / total
    assert rules.score(["SPA-005"], ["SDK-001"]) == 100 * (total - 40) / (total - 10)
    assert rules.score(rules.RULES) == 0


@pytest.mark.parametrize(
    ("score", "category"),
    [
        (100, "Excellent"),
        (90, "Excellent"),
        (89.9, "Good"),
        (75, "Good"),
        (74, "Needs Improvement"),
        (50, "Needs Improvement"),
        (49.99, "Poor"),
        (0, "Poor"),
    ],
)
def test_a_score_has_the_specification_s_category(score: float, category: str) -> None:
    assert rules.category(score) == category


def test_the_attribute_keys_are_those_of_the_installed_conventions() -> None:
    assert FILE.read_text().split() == attribute_keys(), "write them with `python -m tools.attribute_keys`"


@pytest.mark.parametrize(
    "unit",
    [
        "1",
        "s",
        "ms",
        "us",
        "By",
        "KiBy",
        "By/s",
        "{request}",
        "{request}/s",
        "%",
        "Cel",
        "10*6",
        "m/s2",
        "[in_i]",
        "/min",
        "kW.h",
        "J/(kg.K)",
        "min",
        "{a/b}",
        "mol",
        "dB",
    ],
)
def test_a_unit_of_ucum_is_one(unit: str) -> None:
    assert is_unit(unit)


@pytest.mark.parametrize(
    "unit",
    [
        "",
        "connections",
        "seconds",
        "bytes",
        "requests",
        "Bytes",
        "sec",
        "ms ",
        "s/",
        "(s",
        "kmin",
        "{open",
        "µs",
        "s" * 64,
    ],
)
def test_another_text_is_no_unit(unit: str) -> None:
    assert not is_unit(unit)


@pytest.mark.parametrize(
    ("name", "unit", "word"),
    [
        ("http.server.request.duration", "s", ""),
        ("http.server.active_requests", "{request}", ""),
        ("request_duration_milliseconds", "ms", "milliseconds"),
        ("sent.bytes", "By", "bytes"),
        ("requests_per_second", "{request}/s", "second"),
        ("heap_bytes", "", "bytes"),
        ("process.uptime", "s", ""),
    ],
)
def test_a_unit_is_found_in_a_name(name: str, unit: str, word: str) -> None:
    assert named_unit(name, unit) == word


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("", "Failed login for user alice@example.com from 10.0.0.1"),
        ("", "Payment processed for card 4111-1111-1111-1111."),
        ("", "Authorization: Bearer eyJhbGciOiJIUzI1NiIs..."),
        ("", "SELECT * FROM users WHERE email='alice@example.com'"),
        ("", "https://api.example.com/users?ssn=123-45-6789"),
        ("", "https://api.example.com/reset?token=abc123"),
        ("", "postgresql://shop:hunter2@db/shop"),
        ("", "api_key=sk-proj-abc123def456"),
        ("", "IBAN DE89 3704 0044 0532 0130 00"),
        ("", "patient_id=4711"),
        ("", "AKIAIOSFODNN7EXAMPLE"),
        ("db.password", "x"),
        ("http.request.header.authorization", ["Basic abc"]),
        ("payload", {"user": {"ssn": "123-45-6789"}}),
        ("user.apiKey", "x"),
        ("pin", 4111111111111111),
    ],
)
def test_sensitive_data_is_found(key: str, value: Any) -> None:
    assert problem(key, value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("", "UPDATE charges SET payment_token = ? WHERE token = %(token)s AND id = :token"),
        ("", "POST /orders"),
        ("order.id", "0b9ff5f2-6d3f-4a43-9d3f-6f0e2a1f2f10"),
        ("order.id", "41111111-1111-1111-1111-411111111111"),
        ("otelSpanID", "4111111111111111"),
        ("time", 1_700_000_000_000),
        ("db.password", ""),
        ("db.password", "[REDACTED]"),
        ("db.password", "****"),
        ("gen_ai.usage.input_tokens", 12),
        ("has_password", True),
        ("", "redis://cache:6379/0"),
        ("", "version 3.10.12 of 2026-11-30"),
        ("", "token=REDACTED"),
        ("ratio", 0.5),
    ],
)
def test_harmless_data_is_not_taken_for_sensitive(key: str, value: Any) -> None:
    assert problem(key, value) == ""


def test_a_long_text_is_searched_in_a_time_that_grows_with_its_length() -> None:
    for text in ("a" * 2**20 + "@", "eyJ-" * 2**18, "4-" * 2**19, 'password"' + " " * 2**20, "a@" * 2**19):
        assert problem("", text) == ""


def test_telemetry_of_an_app_that_sets_nothing_is_scored_by_all_rules(backend: Backend, service: str) -> None:
    """What `opentelemetry-instrument` sends without further settings, as OTLP/JSON."""
    app = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
    root = {
        "traceId": secrets.token_hex(16),
        "spanId": secrets.token_hex(8),
        "name": "GET /users/<id>",
        "kind": 2,
        "startTimeUnixNano": str(START),
        "endTimeUnixNano": str(START + SECOND),
    }
    body = {"resourceSpans": [{"resource": app, "scopeSpans": [{"spans": [root]}]}]}
    assert backend.post("traces", json.dumps(body), JSON).ok
    one = scored(backend, service, [])
    assert set(failing(one)) == {"RES-001", "RES-007"}
    assert failing(one)["RES-007"]["evidence"] == {"trace_id": root["traceId"]}
    judged = sum(rule["weight"] for rule in one["rules"] if rule["passed"] is not None)
    assert one["score"] == round(100 * (judged - 50) / judged, 2)
    assert one["category"] == "Excellent"
    assert [rule["id"] for rule in one["rules"] if rule["passed"] is None] == ["SDK-001"]


def test_a_span_that_may_still_be_on_its_way_is_not_missed_yet(backend: Backend, service: str) -> None:
    backend.send(*trace(1, parent=b"12345678")(service))
    at = START // 1000
    for seconds, is_missed in ((1, False), (60, True)):
        found = backend.get("/api/score", service=service, start=at, end=at + seconds * 1_000_000)
        assert ("SPA-002" in failing(found["services"][0])) == is_missed


def test_the_worst_trace_is_the_evidence_and_the_cases_are_counted(backend: Backend, service: str) -> None:
    messages = [message for children in (21, 33, 22) for message in trace(children, ms=1)(service)]
    worst = messages[1].resource_spans[0].scope_spans[0].spans[0].trace_id.hex()  # type: ignore[attr-defined]
    rule = failing(scored(backend, service, messages))["SPA-005"]
    assert (rule["evidence"], rule["count"]) == ({"trace_id": worst}, 3)
    assert rule["seen"] == f"trace {worst} has 33 spans under 5 ms, 33 of them of {service}"


def test_every_service_of_a_trace_shares_its_short_spans(backend: Backend, service: str) -> None:
    trace_id, other = secrets.token_bytes(16), f"{service}-called"
    root = span(trace_id, kind=SERVER, ms=50)
    backend.send(
        spans(service, root, *(span(trace_id, parent=root.span_id, ms=1) for _ in range(20)), resource=IDENTITY),
        spans(other, span(trace_id, parent=root.span_id, ms=1), resource=IDENTITY),
    )
    for name in (service, other):
        assert set(failing(scored(backend, name, []))) == {"SPA-005"}


def test_only_the_newest_traces_are_read(backend: Backend, service: str) -> None:
    for at, kind in ((0, CLIENT), (1, SERVER)):
        one = span(secrets.token_bytes(16), kind=kind, at=START + at * SECOND)
        backend.send(spans(service, one, resource=IDENTITY))
    found = backend.get("/api/score", **WINDOW, service=service, limit=1)
    assert (found["read"]["traces"], found["read"]["of_traces"]) == (1, 2)
    assert failing(found["services"][0]) == {}
    assert set(failing(scored(backend, service, []))) == {"SPA-004"}


def test_what_is_older_than_the_time_asked_for_does_not_count(backend: Backend, service: str) -> None:
    backend.send(*one_span(kind=CLIENT)(service), *metric(unit="")(service), *record(severity_number=0)(service))
    later = {"start": MEASURED // 1000 + 1, "end": WINDOW["end"]}
    assert backend.get("/api/score", service=service, **later)["services"] == []


@dataclass
class Printed:
    """What `waybill-explorer score` wrote, and its exit status."""

    text: str
    error: str
    status: int


@pytest.fixture
def run(backend: Backend) -> Callable[..., Printed]:
    def command(*arguments: str) -> Printed:
        url = f"http://127.0.0.1:{backend.traces_port}"
        whole = [sys.executable, "-m", "waybill_explorer", "score", "--url", url, *arguments]
        done = subprocess.run(whole, capture_output=True, text=True, timeout=120, check=False)
        return Printed(done.stdout, done.stderr, done.returncode)

    return command


def test_the_report_has_the_score_what_fails_where_and_what_to_do(
    backend: Backend, service: str, run: Callable[..., Printed]
) -> None:
    messages = trace(33, ms=1)(service)
    trace_id = messages[0].resource_spans[0].scope_spans[0].spans[0].trace_id.hex()  # type: ignore[attr-defined]
    backend.send(*messages)
    printed = run("--service", service, "--since", "9999d")
    assert printed.status == 0, printed.error
    lines = printed.text.splitlines()
    assert lines[0].split() == [service, "95.59", "Excellent", "1", "of", "24", "rules", "fail"]
    assert lines[1].strip() == f"SPA-005 Important: trace {trace_id} has 33 spans under 5 ms, 33 of them of {service}"
    assert "Make fewer calls" in lines[2]
    assert lines[3].strip().endswith(f"/trace/{trace_id}")
    assert "from 1 of 1 traces, 0 log records and 0 series" in printed.text
    assert "SPA-003 is not counted for any service: the specification has no criterion" in printed.text


@pytest.mark.parametrize(("minimum", "status"), [("95", 0), ("96", 1), ("100", 1)])
def test_a_minimum_makes_the_exit_status(
    backend: Backend, service: str, run: Callable[..., Printed], minimum: str, status: int
) -> None:
    backend.send(*trace(33, ms=1)(service))
    assert run("--service", service, "--since", "9999d", "--min", minimum).status == status


def test_without_telemetry_the_report_says_so_and_no_minimum_is_reached(run: Callable[..., Printed]) -> None:
    printed = run("--service", "nobody", "--since", "1s")
    assert (printed.status, printed.text[:28]) == (0, "No telemetry in this time. S")
    assert run("--service", "nobody", "--since", "1s", "--min", "1").status == 1


def test_a_bad_duration_is_refused(run: Callable[..., Printed]) -> None:
    printed = run("--since", "soon")
    assert printed.status == 1
    assert "'soon' is not a duration: write 30s, 10m, 2h or 7d" in printed.error
