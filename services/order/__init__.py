"""order-service: takes an order through inventory, payment and notification."""

from collections.abc import Callable, Iterator

from flask import Blueprint, Flask

from app.background import Task
from app.config import load_settings
from app.database import write_session
from app.factory import create_service
from app.page import serve_page
from app.telemetry import deployment_environment
from services import VERSION
from services.order.cli import dead_letters
from services.order.clients import Clients
from services.order.models import Base
from services.order.recovery import recover_notifications, recover_orders, watch_orders
from services.order.routes import blueprint
from services.order.settings import Settings


def create_app() -> Flask:
    """Return the WSGI application. Settings come from the environment."""
    settings = load_settings(Settings)
    clients = Clients(settings)
    background = (
        *_tasks("recover-orders", settings.recoveries, lambda: recover_orders(write_session(), clients)),
        *_tasks(
            "recover-notifications",
            settings.notification_recoveries,
            lambda: recover_notifications(write_session(), clients),
        ),
        Task("watch-orders", interval=2.0, run=lambda: watch_orders(write_session())),
    )
    app = create_service(
        "order-service",
        settings,
        blueprint,
        storefront(settings),
        version=VERSION,
        metadata=Base.metadata,
        dependencies={Clients: clients},
        background=background,
    )
    app.cli.add_command(dead_letters)
    return app


def _tasks(name: str, number: int, run: Callable[[], bool]) -> Iterator[Task]:
    return (Task(f"{name}-{n}", interval=1.0, run=run) for n in range(number))


def storefront(settings: Settings) -> Blueprint:
    """Return the page at `/`. Its configuration tells the browser where telemetry goes and where traces are shown."""
    endpoint = settings.page_otlp_endpoint
    config = {
        "version": VERSION,
        "deployment_environment": deployment_environment(),
        "otlp_endpoint": endpoint,
        "traces_url": settings.page_traces_url,
    }
    return serve_page(settings.page_folder, config, connect=(endpoint,) if endpoint else ())
