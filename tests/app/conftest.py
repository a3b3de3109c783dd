"""The probe under gunicorn, with everything it can talk to."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from tests.app.probe import Base
from tests.support.servers import valkey_server
from tests.support.service_process import ServiceProcess, running_service
from tests.support.stub_server import Answer, StubHandler, StubServer, serving
from tests.support.telemetry_receiver import Receiver, running_receiver

PROBE = "tests.app.probe:create_app()"


def make_database(folder: Path) -> str:
    """A SQLite database with the probe's table; its URL."""
    url = f"sqlite:///{folder}/probe.db"
    engine = create_engine(url)
    Base.metadata.create_all(engine)
    engine.dispose()
    return url


@pytest.fixture(scope="session")
def receiver() -> Iterator[Receiver]:
    """What the shared probe sends its telemetry to."""
    with running_receiver() as running:
        yield running


@pytest.fixture
def own_receiver() -> Iterator[Receiver]:
    """A receiver for one test alone."""
    with running_receiver() as running:
        yield running


@pytest.fixture(scope="session")
def peer_requests() -> list[dict[str, str]]:
    """The headers of each request that the shared probe's peer got."""
    return []


@pytest.fixture(scope="session")
def peer_url(peer_requests: list[dict[str, str]]) -> Iterator[str]:
    """The shared probe's peer."""

    class Peer(StubServer):
        def answer(self, handler: StubHandler) -> Answer:
            peer_requests.append({name.lower(): text for name, text in handler.headers.items()})
            headers = {"Content-Type": "application/json"}
            if handler.path == "/half-a-body":
                headers["Content-Length"] = "100"
                handler.close_connection = True
            return 200, headers, b"{}"

    with serving(Peer()) as server:
        yield server.url


@pytest.fixture(scope="session")
def session_cache_url() -> Iterator[str]:
    """The shared probe's cache."""
    with valkey_server() as url:
        yield url


@pytest.fixture(scope="session")
def probe_database_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The shared probe's database."""
    return make_database(tmp_path_factory.mktemp("probe-database"))


@pytest.fixture(scope="session")
def probe(
    tmp_path_factory: pytest.TempPathFactory,
    receiver: Receiver,
    probe_database_url: str,
    peer_url: str,
    session_cache_url: str,
) -> Iterator[ServiceProcess]:
    """The probe with two workers and telemetry on, shared by the tests that only ask it something."""
    with running_service(
        PROBE,
        tmp_path_factory.mktemp("probe"),
        DATABASE_URL=probe_database_url,
        CACHE_URL=session_cache_url,
        PEER_URL=peer_url,
        WEB_CONCURRENCY="2",
        TICK="0.3",
        ALLOWED_HOSTS="probe,.example.com",
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
        OTEL_METRIC_EXPORT_INTERVAL="1000",
        OTEL_BSP_SCHEDULE_DELAY="100",
        OTEL_BLRP_SCHEDULE_DELAY="100",
    ) as service:
        yield service


@pytest.fixture(scope="module")
def module_database_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database for a probe that the tests of one file share."""
    return make_database(tmp_path_factory.mktemp("database"))


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """A database for a probe that one test starts for itself."""
    return make_database(tmp_path)
