"""Each documented OTEL_* variable: what its values do, and that a bad one stops the start."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider  # noqa: TID251

from app import otel_variables, telemetry
from app.config import EXIT_BAD_SETTING
from app.otel_variables import VARIABLES, check_variables, held_back
from tests.app.conftest import PROBE, make_database
from tests.support.service_process import ROOT, running_service, start_process
from tests.support.telemetry_receiver import LogRecord, Point, Receiver, Span, matching, running_receiver
from tests.support.waiting import CAP

CALLER = {"traceparent": f"00-{'a1' * 16}-{'b2' * 8}-00", "baggage": "tenant=blue"}


@dataclass
class Outcome:
    """What one run of the probe answered, printed and sent."""

    receiver: Receiver
    exit: int
    answers: list[dict[str, Any]]
    stdout: str
    stderr: str

    @property
    def spans(self) -> list[Span]:
        return self.receiver.spans

    @property
    def logs(self) -> list[LogRecord]:
        return self.receiver.logs

    @property
    def points(self) -> list[Point]:
        return self.receiver.points

    @property
    def server(self) -> Span:
        """The span of the first request."""
        return matching(self.spans, kind="SERVER")[0]

    def durations(self) -> list[Point]:
        return matching(self.points, name="http.server.request.duration")


def traced(outcome: Outcome) -> bool:
    return len(outcome.spans) >= 2 and bool(outcome.logs) and bool(outcome.points)


def not_traced(outcome: Outcome) -> bool:
    return not outcome.spans and bool(outcome.logs) and bool(outcome.points)


def sampled_as_called(outcome: Outcome) -> bool:
    """The second request came with `-00`."""
    return len(matching(outcome.spans, kind="SERVER")) == 1


def sent_over(*transports: str) -> Callable[[Outcome], bool]:
    return lambda outcome: (
        traced(outcome)
        and outcome.receiver.transports
        >= {(signal, transport) for signal, transport in zip(("traces", "metrics", "logs"), transports, strict=True)}
    )


def traced_but_for_metrics(outcome: Outcome) -> bool:
    return len(matching(outcome.spans, kind="SERVER")) == 2


def encodings(outcome: Outcome) -> set[str]:
    """The Content-Encoding of the exports over HTTP."""
    return {headers.get("content-encoding", "") for headers in outcome.receiver.headers if "host" in headers}


def header_arrived(outcome: Outcome) -> bool:
    return any(headers.get("x-tenant") == "blue green" for headers in outcome.receiver.headers)


def longest(outcome: Outcome) -> int:
    return max(len(str(value)) for value in outcome.server.attributes.values())


def on_lean_providers(outcome: Outcome) -> bool:
    return traced(outcome) and "steps aside" not in outcome.stdout


Case = tuple[dict[str, str], Callable[[Outcome], object]]

LEAN = {f"OTEL_PYTHON_{signal}_PROVIDER": "lean" for signal in ("TRACER", "METER", "LOGGER")}
LIMITS: list[Case] = [
    ({"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "5"}, lambda o: longest(o) == 5),
    ({"OTEL_ATTRIBUTE_COUNT_LIMIT": "50"}, traced),
    ({"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "3"}, lambda o: len(o.server.attributes) == 3),
    ({"OTEL_SPAN_EVENT_COUNT_LIMIT": "0"}, lambda o: not any(span.events for span in o.spans)),
    ({"OTEL_SPAN_LINK_COUNT_LIMIT": "1"}, traced),
    ({"OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT": "1", "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT": "1"}, traced),
    (
        {"OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT": "9", "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT": "2"},
        lambda o: {len(log.attributes.get("http.request.method", "GE")) for log in o.logs} == {2},
    ),
]

RUNS: list[list[Case]] = [
    [({}, traced)],
    [({"OTEL_SDK_DISABLED": "true"}, lambda o: not (o.spans or o.logs or o.points))],
    [({"OTEL_PROPAGATORS": "none"}, lambda o: traced(o) and "a1a1" not in repr(o.spans))],
    [
        ({"OTEL_PROPAGATORS": "baggage"}, lambda o: len(matching(o.spans, kind="SERVER")) == 2),
        ({"OTEL_METRICS_EXPORTER": "none"}, lambda o: o.spans and o.logs and not o.points),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "1.0"}, traced_but_for_metrics),
    ],
    [
        ({"OTEL_PROPAGATORS": "tracecontext"}, sampled_as_called),
        ({"OTEL_LOGS_EXPORTER": "none"}, lambda o: o.spans and o.points and not o.logs),
        ({"OTEL_TRACES_SAMPLER": "Parentbased_TraceIdRatio", "OTEL_TRACES_SAMPLER_ARG": "1"}, sampled_as_called),
    ],
    [
        ({"OTEL_PROPAGATORS": " "}, sampled_as_called),
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_on"}, sampled_as_called),
        ({"OTEL_TRACES_EXPORTER": "otlp,console"}, lambda o: traced(o) and '"trace_id"' in o.stdout),
        ({"OTEL_METRICS_EXEMPLAR_FILTER": "always_off"}, lambda o: not any(p.exemplars for p in o.durations())),
    ],
    [
        ({"OTEL_TRACES_SAMPLER": "always_off"}, not_traced),
        ({"OTEL_METRICS_EXEMPLAR_FILTER": "trace_based"}, lambda o: not any(p.exemplars for p in o.durations())),
    ],
    [({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}, not_traced)],
    [({"OTEL_TRACES_SAMPLER": "parentbased_always_off"}, not_traced)],
    [({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.0"}, not_traced)],
    [({"OTEL_TRACES_EXPORTER": "none"}, not_traced)],
    [({"OTEL_TRACES_EXPORTER": "console"}, lambda o: not o.spans and '"kind": "SpanKind.SERVER"' in o.stdout)],
    [
        (
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_ENDPOINT": "RECEIVER"},
            sent_over("http", "http", "http"),
        ),
        ({"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}, lambda o: {"gzip"} == encodings(o)),
        ({"OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=blue%20green"}, header_arrived),
    ],
    [
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, lambda o: ("metrics", "grpc") in o.receiver.transports),
        (
            {
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "RECEIVER/v1/traces",
            },
            sent_over("http", "grpc", "grpc"),
        ),
        (
            {"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip", "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION": "none"},
            lambda o: "gzip" not in encodings(o),
        ),
        ({"OTEL_EXPORTER_OTLP_LOGS_HEADERS": "x-tenant=blue%20green"}, header_arrived),
    ],
    [
        ({"OTEL_SERVICE_NAME": "renamed"}, lambda o: o.server.service == "renamed"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "team=a%20b,service.name=no"}, lambda o: o.server.resource["team"] == "a b"),
        ({"OTEL_SDK_DISABLED": "False"}, traced),
        ({"OTEL_LOG_LEVEL": "debug"}, traced),
        ({"OTEL_TRACES_SAMPLER": "always_on"}, lambda o: len(matching(o.spans, kind="SERVER")) == 2),
        ({"OTEL_EXPORTER_OTLP_TIMEOUT": "2.5", "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT": "5"}, traced),
        ({"OTEL_EXPORTER_OTLP_COMPRESSION": "none", "OTEL_EXPORTER_OTLP_INSECURE": "true"}, traced),
        ({"OTEL_EXPORTER_OTLP_CERTIFICATE": __file__}, traced),  # read for https:// alone
        (
            {"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta"},
            lambda o: {point.temporality for point in o.durations()} == {1},
        ),
        ({"OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION": "base2_exponential_bucket_histogram"}, traced),
        ({"OTEL_BSP_SCHEDULE_DELAY": "10", "OTEL_BSP_EXPORT_TIMEOUT": "1000"}, traced),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "64", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "64"}, traced),
        ({"OTEL_BLRP_SCHEDULE_DELAY": "10", "OTEL_BLRP_EXPORT_TIMEOUT": "1000"}, traced),
        ({"OTEL_BLRP_MAX_QUEUE_SIZE": "64", "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE": "64"}, traced),
        ({"OTEL_METRIC_EXPORT_INTERVAL": "60000", "OTEL_METRIC_EXPORT_TIMEOUT": "3000"}, traced),
        ({"OTEL_METRICS_EXEMPLAR_FILTER": "always_on"}, lambda o: any(p.exemplars for p in o.durations())),
        (
            {"OTEL_SEMCONV_STABILITY_OPT_IN": "http/dup,database/dup"},
            lambda o: (
                {"http.method", "http.request.method"} <= o.server.attributes.keys()
                and any({"db.system", "db.system.name"} <= span.attributes.keys() for span in o.spans)
            ),
        ),
        ({"OTEL_PYTHON_REQUESTS_EXCLUDED_URLS": "127.0.0.1"}, traced),
        (
            {
                "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST": "baggage,x-.*",
                "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_RESPONSE": "content-type",
                "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_REQUEST": "accept",
                "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_RESPONSE": "content-type",
                "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SANITIZE_FIELDS": "x-secret",
            },
            lambda o: (
                o.server.attributes["http.request.header.x_secret"] == ["[REDACTED]"]
                and o.server.attributes["http.request.header.x_plain"] == ["seen"]
                and o.server.attributes["http.response.header.content_type"] == ["application/json"]
            ),
        ),
    ],
    [
        *LIMITS,
        ({"OTEL_SEMCONV_STABILITY_OPT_IN": "http,database"}, traced),
        (
            {"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "cumulative"},
            lambda o: {point.temporality for point in o.durations()} == {2},
        ),
    ],
    [
        ({"OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": "6"}, lambda o: longest(o) == 6),
        ({"OTEL_METRICS_EXEMPLAR_FILTER": "trace_based"}, lambda o: any(p.exemplars for p in o.durations())),
    ],
    [({"OTEL_PYTHON_FLASK_EXCLUDED_URLS": "things"}, lambda o: not matching(o.spans, kind="SERVER") and o.logs)],
    [({"OTEL_PYTHON_EXCLUDED_URLS": "nothing,/things/[12]$"}, lambda o: not matching(o.spans, kind="SERVER"))],
    [({name: f"sdk_{name.split('_')[2].lower()}_provider" for name in LEAN}, traced)],
    [
        (LEAN, on_lean_providers),
        *LIMITS,
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_on"}, sampled_as_called),
        ({"OTEL_METRICS_EXEMPLAR_FILTER": "trace_based"}, lambda o: any(p.exemplars for p in o.durations())),
    ],
    [
        (LEAN, on_lean_providers),
        (
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_ENDPOINT": "RECEIVER"},
            sent_over("http", "http", "http"),
        ),
        ({"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}, lambda o: {"gzip"} == encodings(o)),
        ({"OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=blue%20green"}, header_arrived),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "1.0"}, traced),
    ],
]
CASES = [(number, *case) for number, run in enumerate(RUNS) for case in run]
IDS = [" ".join(f"{name}={value}" for name, value in environment.items()) or "none" for _, environment, _ in CASES]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Outcome]]:
    """All runs of the probe, each with a receiver of its own and two requests: without a caller and with one."""
    database = make_database(tmp_path_factory.mktemp("variables"))
    with ExitStack() as stack:
        receivers = [stack.enter_context(running_receiver()) for _ in RUNS]
        cases = [
            {
                "name": str(number),
                "environment": {
                    "DATABASE_URL": database,
                    "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
                    "OTEL_RESOURCE_ATTRIBUTES": "team=blue",
                    **{
                        name: value.replace("RECEIVER", receiver.http_endpoint)
                        for environment, _ in run
                        for name, value in environment.items()
                    },
                },
                "requests": [["/things/1", {"X-Secret": "hidden", "X-Plain": "seen"}], ["/things/2", CALLER]],
            }
            for number, (run, receiver) in enumerate(zip(RUNS, receivers, strict=True))
        ]
        ran = subprocess.run(
            [sys.executable, "-m", "tests.app.forked_probe"],
            input=json.dumps(cases),
            cwd=ROOT,
            env={name: value for name, value in os.environ.items() if not name.startswith("OTEL_")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        results = json.loads(ran.stdout)
        yield [Outcome(receivers[number], **results[str(number)]) for number in range(len(RUNS))]


@pytest.mark.parametrize(("run", "_environment", "shown"), CASES, ids=IDS)
def test_a_documented_value_does_what_is_documented(
    run: int, _environment: dict[str, str], shown: Callable[[Outcome], object], outcomes: list[Outcome]
) -> None:
    outcome = outcomes[run]
    assert (outcome.exit, outcome.stderr) == (0, "")
    assert [answer["status"] for answer in outcome.answers] == [200, 200]
    assert all("message" in json.loads(line) for line in outcome.stdout.splitlines() if line.startswith('{"timestamp'))
    assert shown(outcome)


def test_every_variable_has_a_case() -> None:
    set_by_all = {"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_RESOURCE_ATTRIBUTES"}
    covered = set_by_all | {name for _, environment, _ in CASES for name in environment}
    general = {re.sub("OTLP_(TRACES|METRICS|LOGS)_", "OTLP_", name) for name in covered}
    # Only for TLS with client certificates.
    general |= {"OTEL_EXPORTER_OTLP_CLIENT_KEY", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"}
    assert {re.sub("OTLP_(TRACES|METRICS|LOGS)_", "OTLP_", name) for name in VARIABLES} <= general


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_SDK_DISABLED", "yes"),
        ("OTEL_RESOURCE_ATTRIBUTES", "s3cret"),
        ("OTEL_LOG_LEVEL", "loud"),
        ("OTEL_PROPAGATORS", "s3cret"),
        ("OTEL_PROPAGATORS", "tracecontext,,baggage"),
        ("OTEL_TRACES_SAMPLER", "allways_on"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
        ("OTEL_TRACES_SAMPLER_ARG", "nan"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "s3cret"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "htp://me:s3cret@host"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization: s3cret"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "3s"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "inf"),
        ("OTEL_EXPORTER_OTLP_LOGS_COMPRESSION", "zip"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/no/such/file"),
        ("OTEL_EXPORTER_OTLP_INSECURE", "1"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "both"),
        ("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "none"),
        ("OTEL_BSP_SCHEDULE_DELAY", "0"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "many"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4096"),
        ("OTEL_BLRP_EXPORT_TIMEOUT", "-1"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "1e400"),
        ("OTEL_METRICS_EXEMPLAR_FILTER", "all"),
        ("OTEL_SPAN_LINK_COUNT_LIMIT", "-1"),
        ("OTEL_SEMCONV_STABILITY_OPT_IN", "https"),
        ("OTEL_PYTHON_FLASK_EXCLUDED_URLS", "health,(s3cret"),
        ("OTEL_PYTHON_TRACER_PROVIDER", "s3cret"),
        ("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST", "*"),
    ],
)
def test_a_bad_value_is_refused_with_one_line_that_names_the_variable_and_not_the_value(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as stopped:
        check_variables()
    assert stopped.value.code == EXIT_BAD_SETTING
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"bad setting {variable}: ")
    assert "s3cret" not in line


def test_a_provider_of_another_kind_than_the_sdk_s_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(held_back, "OTEL_PYTHON_TRACER_PROVIDER", "default_tracer_provider")
    with pytest.raises(SystemExit):
        telemetry._provider_class("tracer", TracerProvider)
    assert "bad setting OTEL_PYTHON_TRACER_PROVIDER: " in capsys.readouterr().err


def test_a_provider_s_name_is_kept_from_the_api_and_given_to_child_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otel_variables, "held_back", {})
    monkeypatch.setenv("OTEL_PYTHON_METER_PROVIDER", "lean")
    check_variables()
    assert "OTEL_PYTHON_METER_PROVIDER" not in os.environ
    otel_variables.give_back()
    assert os.environ["OTEL_PYTHON_METER_PROVIDER"] == "lean"


def test_a_service_without_propagators_works_under_gunicorn_and_a_bad_one_stops_it(
    own_receiver: Receiver, database_url: str, tmp_path: Path
) -> None:
    bad = start_process(PROBE, tmp_path / "bad", DATABASE_URL=database_url, OTEL_PROPAGATORS="s3cret")
    with running_service(
        PROBE,
        tmp_path / "good",
        DATABASE_URL=database_url,
        OTEL_PROPAGATORS="none",
        OTEL_EXPORTER_OTLP_ENDPOINT=own_receiver.endpoint,
        OTEL_BSP_SCHEDULE_DELAY="100",
    ) as service:
        assert service.get("/things/1", **CALLER).status_code == 200
        assert own_receiver.span(kind="SERVER").parent_id == ""
        assert service.stderr.read_text() == ""
    assert bad.process.wait(CAP) == EXIT_BAD_SETTING
    (line,) = bad.stderr.read_text().splitlines()
    assert line.startswith("bad setting OTEL_PROPAGATORS: ")
