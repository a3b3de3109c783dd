"""Real parts for the tests: databases, the services over real HTTP, a Valkey stand-in."""

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
import requests
import svcs
from alembic import command
from alembic.config import Config
from flask import Flask
from sqlalchemy import select, update
from sqlalchemy.orm import Session
from werkzeug.serving import BaseWSGIServer

from app.database import Database, write_session
from local.registry import ALL, SERVICES
from services.order.clients import Clients
from services.order.models import Order
from services.order.recovery import recover_notifications, recover_orders, watch_orders
from services.payment.models import EntryKind, ProcessorEntry
from tests.support.dependencies import dependency
from tests.support.servers import create_database, free_port, postgresql_server, quiet_server, valkey_server

if TYPE_CHECKING:
    from tests.support.traced_shop import TracedShop

# Services within the tests' own process are not traced; the tests of telemetry start processes of their own.
os.environ["OTEL_SDK_DISABLED"] = "true"

ROOT = Path(__file__).resolve().parent.parent
# Processes that the tests start import the project from its folder, as `local/waybill` does: it is not installed.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(ROOT)]))
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


# First: a worker of pytest-xdist reads the groups in this hook too, and is called before a conftest by default.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a file on one worker, where they share what they start."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


def migrate(service: str, database_url: str, revision: str = "head") -> None:
    """Bring the database of `service` to a revision, as the command line does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", database_url)
        command.upgrade(Config(ROOT / "migrations" / "alembic.ini", ini_section=service), revision)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a PostgreSQL server started for the tests; they are skipped where it is not installed."""
    try:
        with postgresql_server() as url:
            yield url
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def new_database(request: pytest.FixtureRequest, new_sqlite: Callable[[str], str]) -> Callable[[str], str]:
    """Makes an empty database of a name and returns its URL; each test runs on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        return new_sqlite
    server = request.getfixturevalue("postgresql")

    return lambda name: create_database(server, name)


@pytest.fixture(scope="module")
def new_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """The same for tests that no database has a say in."""
    return lambda name: f"sqlite:///{tmp_path_factory.mktemp(name) / name}.db"


@pytest.fixture
def cache_url() -> Iterator[str]:
    """A Valkey stand-in on a free port."""
    with valkey_server() as url:
        yield url


@dataclass
class RunningService:
    """One service on real HTTP, in a thread; `stop` and `start` make it unavailable and available again."""

    app: Flask
    port: int
    _server: BaseWSGIServer | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen again."""
        self._server = quiet_server(self.port, self.app)
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        """Refuse connections from now on."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    @contextmanager
    def unavailable(self) -> Iterator[None]:
        """Refuse connections for a while."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def session(self) -> Session:
        """Look into its database, or change it behind its back."""
        return dependency(self.app, Database).write()

    def close(self) -> None:
        """Stop for good."""
        self.stop()
        dependency(self.app, Database).engine.dispose()


@dataclass
class Shop:
    """The services on real HTTP by name, each with a migrated database of its own."""

    services: dict[str, RunningService]

    @property
    def order(self) -> RunningService:
        """order-service."""
        return self.services["order"]

    @property
    def inventory(self) -> RunningService:
        """inventory-service."""
        return self.services["inventory"]

    @property
    def payment(self) -> RunningService:
        """payment-service."""
        return self.services["payment"]

    @property
    def notification(self) -> RunningService:
        """notification-service."""
        return self.services["notification"]

    def post_order(self, key: str | None = None, **changes: object) -> requests.Response:
        """Place an order of two Sencha that will be approved, but for `changes`; its key is new if none is given."""
        body = {
            "customer_id": "cus_1",
            "region": "eu",
            "payment_token": "tok_approve",
            "lines": [{"sku": "TEA-SENCHA", "quantity": 2}],
            **changes,
        }
        headers = {"Idempotency-Key": key or str(uuid.uuid4())}
        return requests.post(f"{self.order.url}/orders", json=body, headers=headers, timeout=30)

    def close(self) -> None:
        """Stop all of them."""
        for service in self.services.values():
            service.close()

    def read_order(self, order: dict[str, Any]) -> dict[str, Any]:
        """The order as it is now."""
        found: dict[str, Any] = requests.get(f"{self.order.url}/orders/{order['id']}", timeout=60).json()
        return found

    def resume(self) -> None:
        """Make an attempt at every unfinished order due, and do what the recovery loop does."""
        with self.order.session() as session, session.begin():
            session.execute(update(Order).where(Order.next_attempt_at.is_not(None)).values(next_attempt_at=LONG_AGO))
        while self.recover_one():
            pass

    def recover_one(self) -> bool:
        """One run of the recovery of orders, or of notifications if there is no such order."""
        return self.recover_order() or self.recover_notification()

    def recover_order(self) -> bool:
        """One turn of the recovery of orders that are not settled."""
        with self.order.app.app_context():
            return recover_orders(write_session(), svcs.flask.get(Clients))

    def recover_notification(self) -> bool:
        """One turn of the recovery of notifications."""
        with self.order.app.app_context():
            return recover_notifications(write_session(), svcs.flask.get(Clients))

    def watch(self) -> None:
        """One turn of the watch over orders."""
        with self.order.app.app_context():
            watch_orders(write_session())

    def money_taken(self, order: dict[str, Any]) -> list[int]:
        """What the card processor's books say of an order: minor units captured (+) and refunded (-)."""
        query = select(ProcessorEntry).where(ProcessorEntry.idempotency_key == uuid.UUID(order["id"]))
        with self.payment.session() as session, session.begin():
            entries = session.scalars(query.order_by(ProcessorEntry.kind)).all()
        signs = {EntryKind.CAPTURE: 1, EntryKind.REFUND: -1, EntryKind.VOID: 0}
        return [signs[entry.kind] * entry.amount for entry in entries if signs[entry.kind]]

    def stock(self, sku: str = "TEA-SENCHA") -> int:
        """The pieces left of an item."""
        response = requests.get(f"{self.inventory.url}/items/{sku}", timeout=60)
        return int(response.json()["stock"])


def start_service(name: str, database_url: str, **environment: str) -> RunningService:
    """Migrate the database of a service and serve it, with further settings from `environment`."""
    if ALL[name].database:
        migrate(name, database_url)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", database_url)
        for variable, value in environment.items():
            patch.setenv(variable, value)
        app = import_module(f"services.{name}").create_app()
    service = RunningService(app, free_port())
    service.start()
    return service


def all_services_at(url: str) -> dict[str, str]:
    """Return the variables that tell a service that every other one is at this URL."""
    return {service.variable("URL"): url for service in ALL.values()}


@pytest.fixture(scope="module")
def shop(new_database: Callable[[str], str]) -> Iterator[Shop]:
    """The whole shop, with a card processor that answers at once; the tests of a module share it."""
    with running_shop(new_database) as shop:
        yield shop


@pytest.fixture(scope="session")
def traced_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator["TracedShop"]:
    """One run of the shop as real processes, for all the tests that look at its traces."""
    from tests.support.traced_shop import traced_shop_in  # which stands on this file

    with traced_shop_in(tmp_path_factory.mktemp("shop")) as shop:
        yield shop


@contextmanager
def running_shop(new_database: Callable[[str], str], names: tuple[str, ...] = SERVICES) -> Iterator[Shop]:
    """Run these services, each after those that it calls and with their URLs, and a cache."""
    with valkey_server() as cache_url:
        shop = open_shop(new_database, cache_url, names)
        yield shop
        shop.close()


def open_shop(new_database: Callable[[str], str], cache_url: str, names: tuple[str, ...] = SERVICES) -> Shop:
    """Start these services, each after those that it calls and with their URLs."""
    services: dict[str, RunningService] = {}
    for name in names:
        urls = {ALL[called].variable("URL"): services[called].url for called in ALL[name].calls}
        services[name] = start_service(name, new_database(name), CACHE_URL=cache_url, PROCESSOR_LATENCY_MS="0", **urls)
    return Shop(services)
