"""stock-report: another team's service, which reads the stock of all items every few seconds, in one transaction."""

import logging
import time

from flask import Flask
from opentelemetry import trace
from pydantic import Field
from sqlalchemy import MetaData, column, select, table

from app.background import Task
from app.config import DatabaseSettings, ServiceSettings, load_settings
from app.database import Database
from app.factory import create_service

logger = logging.getLogger(__name__)
tracer = trace.get_tracer("stock_report")

ITEMS = table("items", column("sku"), column("stock"))


class Settings(DatabaseSettings, ServiceSettings):
    """The kit's settings, and how the report works."""

    report_seconds: float = Field(gt=0)
    """How long one report takes: it is rendered item by item."""
    report_every: float = Field(gt=0)
    """Seconds from the beginning of a report to the next."""


def create_app() -> Flask:
    """Return the WSGI application, which has no route but those of health."""
    settings = load_settings(Settings)
    return create_service("stock-report", settings, version="1.4.0", background=(_task(settings),))


def _task(settings: Settings) -> Task:
    # Made by the first report: by then the database is instrumented.
    opened: list[Database] = []

    def run() -> bool:
        if not opened:
            opened.append(Database(settings.database_url.get_secret_value(), pool_size=1, metadata=MetaData()))
        write_report(opened[0], settings.report_seconds)
        return False

    return Task("stock-report", interval=max(0.01, settings.report_every - settings.report_seconds), run=run)


def write_report(database: Database, seconds: float) -> None:
    """Write one report. All items are locked until it is done, so that its numbers are of one moment."""
    with tracer.start_as_current_span("stock_report") as span, database.write() as session, session.begin():
        items = session.execute(select(ITEMS).order_by(ITEMS.c.sku).with_for_update()).all()
        for _item in items:
            time.sleep(seconds / len(items))
        span.set_attributes({"report.items": len(items), "report.pieces": sum(item.stock for item in items)})
    logger.info("stock report written", extra={"report.items": len(items)})
