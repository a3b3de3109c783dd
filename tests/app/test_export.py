"""Where telemetry goes, as the standard OTEL_* variables say, and what happens while nobody takes it."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psutil
import pytest
import requests

from tests.app.conftest import PROBE
from tests.support.servers import free_port
from tests.support.service_process import ServiceProcess, running_service
from tests.support.telemetry_receiver import Receiver, matching, one
from tests.support.waiting import until

FAST = {"OTEL_METRIC_EXPORT_INTERVAL": "500", "OTEL_BSP_SCHEDULE_DELAY": "100", "OTEL_BLRP_SCHEDULE_DELAY": "100"}


def test_a_resource_says_which_service_version_environment_and_worker(
    own_receiver: Receiver, database_url: str, tmp_path: Path
) -> None:
    with running_service(
        PROBE,
        tmp_path,
        DATABASE_URL=database_url,
        WEB_CONCURRENCY="2",
        OTEL_EXPORTER_OTLP_ENDPOINT=own_receiver.endpoint,
        **FAST,
    ) as service:

        def instances() -> set[str]:
            return {point.resource["service.instance.id"] for point in list(own_receiver.points)}

        until(lambda: len(instances()) == 2)
        (resource, *_) = (point.resource for point in own_receiver.points)
        assert resource["service.name"] == "probe"
        assert resource["service.version"] == "1.2.3"
        assert resource["deployment.environment.name"] == "development"
        os.kill(service.workers()[0], signal.SIGKILL)
        until(lambda: len(instances()) == 3)


def test_the_environment_chooses_protocols_and_names(own_receiver: Receiver, database_url: str, tmp_path: Path) -> None:
    with running_service(
        PROBE,
        tmp_path,
        DATABASE_URL=database_url,
        OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
        OTEL_EXPORTER_OTLP_ENDPOINT=own_receiver.http_endpoint,
        OTEL_EXPORTER_OTLP_LOGS_PROTOCOL="grpc",
        OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=own_receiver.endpoint,
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=staging,service.name=other,team=blue",
        OTEL_SERVICE_NAME="renamed",
        OTEL_TRACES_EXPORTER="",  # empty counts as unset
        LOG_LEVEL="debug",
        **FAST,
    ) as service:
        service.get("/things/1")
        span = own_receiver.span(kind="SERVER")
        until(lambda: own_receiver.points)
        own_receiver.log(body="looked for thing 1")
        assert own_receiver.transports == {("traces", "http"), ("metrics", "http"), ("logs", "grpc")}
        assert span.resource["service.name"] == "renamed"
        assert span.resource["deployment.environment.name"] == "staging"
        assert span.resource["team"] == "blue"
        assert not [log for log in own_receiver.logs if log.scope.startswith(("urllib3", "opentelemetry"))]


def test_traces_alone_can_be_switched_off(own_receiver: Receiver, database_url: str, tmp_path: Path) -> None:
    with running_service(
        PROBE,
        tmp_path,
        DATABASE_URL=database_url,
        OTEL_TRACES_EXPORTER="none",
        OTEL_EXPORTER_OTLP_ENDPOINT=own_receiver.endpoint,
        **FAST,
    ) as service:
        response = service.get("/things/1")
        record = own_receiver.log(body="looked for thing 1")
        assert record.trace_id == response.headers["traceresponse"].split("-")[1]
        until(lambda: own_receiver.points)
    assert own_receiver.spans == []


def test_a_sampler_can_refuse_every_trace(own_receiver: Receiver, database_url: str, tmp_path: Path) -> None:
    with running_service(
        PROBE,
        tmp_path,
        DATABASE_URL=database_url,
        OTEL_TRACES_SAMPLER="always_off",
        OTEL_EXPORTER_OTLP_ENDPOINT=own_receiver.endpoint,
        **FAST,
    ) as service:
        flags = service.get("/things/1").headers["traceresponse"].split("-")[3]
        assert not int(flags, 16) & 1
        own_receiver.log(body="looked for thing 1")
        points = until(lambda: matching(own_receiver.points, name="http.server.request.duration"))
        assert not [point for point in points if point.exemplars]
    assert own_receiver.spans == []


def test_a_disabled_sdk_sends_nothing_and_the_service_works(
    own_receiver: Receiver, database_url: str, tmp_path: Path
) -> None:
    with running_service(
        PROBE,
        tmp_path,
        DATABASE_URL=database_url,
        OTEL_SDK_DISABLED="true",
        OTEL_EXPORTER_OTLP_ENDPOINT=own_receiver.endpoint,
        **FAST,
    ) as service:
        response = service.get("/things/1")
        assert (response.status_code, response.json()) == (200, {"name": None})
        assert "traceresponse" not in response.headers
        assert service.get("/nowhere").json().get("trace_id") is None
        assert [line for line in service.log_lines() if line["message"] == "looked for thing 1"]
    assert own_receiver.transports == set()


def test_sigterm_sends_what_is_still_held_and_lets_requests_finish(
    own_receiver: Receiver, database_url: str, tmp_path: Path
) -> None:
    """With export intervals of a minute, whatever arrives was flushed."""
    minute = "60000"
    with running_service(
        PROBE,
        tmp_path,
        DATABASE_URL=database_url,
        OTEL_EXPORTER_OTLP_ENDPOINT=own_receiver.endpoint,
        OTEL_METRIC_EXPORT_INTERVAL=minute,
        OTEL_BSP_SCHEDULE_DELAY=minute,
        OTEL_BLRP_SCHEDULE_DELAY=minute,
    ) as service:
        for _ in range(50):
            service.get("/things/1")
        with ThreadPoolExecutor(1) as thread:
            last = thread.submit(service.get, "/sleep?seconds=1")
            time.sleep(0.3)
            assert own_receiver.transports == set()
            assert service.terminate() == 0
            assert last.result().status_code == 200
        assert service.stderr.read_text() == ""
    assert len(matching(own_receiver.spans, kind="SERVER")) == 51
    slept = one(own_receiver.spans, name="GET /sleep")
    assert one(own_receiver.logs, span_id=slept.span_id).body == "GET /sleep 200"
    counts = {
        point.attributes["http.route"]: point.count
        for point in matching(own_receiver.points, name="http.server.request.duration")
    }
    assert counts == {"/things/<int:thing_id>": 50, "/sleep": 1}


@contextmanager
def nobody() -> Iterator[int]:
    """A port that nobody listens on."""
    yield free_port()


@contextmanager
def black_hole() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        yield silent.getsockname()[1]


TO_FILL_THE_QUEUES = 160
"""Requests; each leaves 21 spans and 21 log records of 3 kB, and each queue holds 2048."""
GROWTH = 90 * 2**20
"""Bytes that 800 requests may add to full queues. They add 20 to 60 MB, and 130 MB to queues without bounds."""


def durations_of(service: ServiceProcess, count: int) -> list[float]:
    """The seconds that each of many requests took, four at a time on kept connections; none may fail."""

    def ask(n: int) -> list[float]:
        with requests.Session() as session:
            answers = [session.get(f"{service.url}/busy", timeout=60) for _ in range(n)]
        assert {answer.status_code for answer in answers} == {200}
        return [answer.elapsed.total_seconds() for answer in answers]

    with ThreadPoolExecutor(4) as threads:
        return [seconds for each in threads.map(ask, [count // 4] * 4) for seconds in each]


@pytest.mark.parametrize(
    ("backend", "protocol"),
    [(nobody, "grpc"), (black_hole, "grpc"), (black_hole, "http/protobuf")],
)
def test_without_a_backend_requests_are_served_memory_is_bounded_and_a_worker_exits_in_time(
    backend: Callable[[], AbstractContextManager[int]], protocol: str, database_url: str, tmp_path: Path
) -> None:
    with (
        backend() as port,
        running_service(
            PROBE,
            tmp_path,
            DATABASE_URL=database_url,
            OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}",
            OTEL_METRIC_EXPORT_INTERVAL="500",
            MALLOC_ARENA_MAX="2",  # as in docker-compose.yml
        ) as service,
    ):
        durations_of(service, TO_FILL_THE_QUEUES)
        (worker,) = service.workers()
        before = psutil.Process(worker).memory_info().rss
        # A request that exports waits for 3 s. One in 24 would, if each that fills a batch did; a busy machine holds up
        # a few at a time.
        slow = [seconds for seconds in durations_of(service, 5 * TO_FILL_THE_QUEUES) if seconds > 2.5]
        assert len(slow) < 12, f"requests waited for the exporter: {slow}"
        assert psutil.Process(worker).memory_info().rss - before < GROWTH
        service.process.send_signal(signal.SIGTERM)
        # 5 s is the promise and 2 s the rule; the rest is for a busy machine. The SDK left alone takes 15 s and more.
        psutil.Process(worker).wait(14)
    complaints = [line for line in service.log_lines() if line["logger"].startswith("opentelemetry.")]
    assert 0 < len(complaints) < 100
    assert service.stderr.read_text() == ""
