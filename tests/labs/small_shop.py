"""A small real stack for the labs: the explorer, inventory-service and order-service, as processes on free ports."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from explorer.tests.conftest import Backend, start
from labs.path.workspace import Workspace
from tests.conftest import all_services_at, migrate
from tests.support.servers import valkey_server
from tests.support.service_process import starting_service
from tests.support.waiting import until

QUICK = "100"
"""Milliseconds between exports: nothing in these tests is about batches."""


@contextmanager
def small_shop(folder: Path, incoming_trace_context: str = "accept") -> Iterator[Workspace]:
    """Run the stack, and yield a learner's folder that is not there yet; order-service trusts contexts as given."""
    (folder / "explorer").mkdir()
    explorer = start(folder / "explorer")
    common = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{explorer.grpc_port}",
        "OTEL_BSP_SCHEDULE_DELAY": QUICK,
        "OTEL_BLRP_SCHEDULE_DELAY": QUICK,
    }
    databases = {name: f"sqlite:///{folder}/{name}.db" for name in ("inventory", "order")}
    for name, url in databases.items():
        migrate(name, url)
    try:
        with (
            valkey_server() as cache,
            starting_service(
                "services.inventory:create_app()",
                folder / "inventory",
                DATABASE_URL=databases["inventory"],
                CACHE_URL=cache,
                **common,
            ) as inventory,
            starting_service(
                "services.order:create_app()",
                folder / "order",
                DATABASE_URL=databases["order"],
                **{**all_services_at("http://127.0.0.1:9"), "INVENTORY_URL": inventory.url},
                INCOMING_TRACE_CONTEXT=incoming_trace_context,
                **common,
            ) as order,
        ):
            until(inventory.ready)
            until(order.ready)
            yield _workspace(folder, order.url, explorer)
    finally:
        explorer.stop()


def _workspace(folder: Path, shop: str, explorer: Backend) -> Workspace:
    return Workspace(
        folder=folder / "work" / "gift",
        shop=shop,
        explorer=f"http://127.0.0.1:{explorer.traces_port}",
        otlp=f"127.0.0.1:{explorer.grpc_port}",
    )
