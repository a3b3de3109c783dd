"""The recipes of docs/recipes, run as what they are: services of their own."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import MetaData, create_engine

from tests.support.service_process import ServiceProcess, start_process
from tests.support.telemetry_receiver import Receiver, running_receiver

Start = Callable[..., AbstractContextManager[ServiceProcess]]


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    """What the recipes of one file send their telemetry to."""
    with running_receiver() as running:
        yield running


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Start:
    """Starts a recipe by the name of its file under gunicorn, with settings; wait until it is ready."""

    @contextmanager
    def starting(recipe: str, factory: str = "create_app", **settings: str) -> Iterator[ServiceProcess]:
        service = start_process(
            f"docs.recipes.{recipe}:{factory}()",
            tmp_path_factory.mktemp(recipe),
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
            OTEL_BSP_SCHEDULE_DELAY="100",
            OTEL_METRIC_EXPORT_INTERVAL="500",
            **settings,
        )
        try:
            yield service
        finally:
            service.process.kill()  # the guard of tests/support/processes.py ends its workers with the tests
            service.process.wait()

    return starting


def make_tables(url: str, metadata: MetaData) -> str:
    """Make the tables in an empty database; its URL. A service of the project has migrations for that."""
    engine = create_engine(url)
    metadata.create_all(engine)
    engine.dispose()
    return url


def sqlite_url(folder: Path, name: str) -> str:
    """The URL of a database file of this name."""
    return f"sqlite:///{folder / name}.db"
