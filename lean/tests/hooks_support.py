"""What the tests of the hooks share; to be used in a fresh process."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

import flask
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from lean.tests.http_server import serving


def exporting() -> InMemorySpanExporter:
    """Set a tracer provider; the exporter that gets each span as it ends."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


def names(exporter: InMemorySpanExporter) -> list[str]:
    """Return the names of the spans so far, and forget these."""
    found = [span.name for span in exporter.get_finished_spans()]
    exporter.clear()
    return found


def make_app() -> flask.Flask:
    """Return an application with routes that answer and one that fails."""
    app = flask.Flask("tested")
    app.add_url_rule("/", view_func=lambda: "ok")
    app.add_url_rule("/<path:rest>", endpoint="rest", view_func=lambda rest: rest)
    app.add_url_rule("/fail", endpoint="fail", view_func=lambda: str(1 / 0))
    return app


class Lines(logging.Handler):
    """The log lines of one logger."""

    def __init__(self, logger: str) -> None:
        super().__init__()
        self.lines: list[str] = []
        logging.getLogger(logger).addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@contextmanager
def answering_server() -> Iterator[str]:
    """Run an HTTP server that answers 200; its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with serving(Handler) as url:
        yield url


def instrumentors() -> list[tuple[Any, Any]]:
    """Return (official, lean) for each library."""
    from opentelemetry.instrumentation.flask import FlaskInstrumentor
    from opentelemetry.instrumentation.redis import RedisInstrumentor
    from opentelemetry.instrumentation.requests import RequestsInstrumentor
    from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor

    from waybill_lean.hooks import flask, redis, requests, sqlalchemy

    return [
        (FlaskInstrumentor(), flask.FlaskInstrumentor()),
        (RequestsInstrumentor(), requests.RequestsInstrumentor()),
        (SQLAlchemyInstrumentor(), sqlalchemy.SQLAlchemyInstrumentor()),
        (RedisInstrumentor(), redis.RedisInstrumentor()),
    ]


def patched() -> list[int]:
    """Return the identities of what the instrumentors replace."""
    import redis
    import requests
    import sqlalchemy

    places: list[tuple[object, str]] = [
        *((flask, "Flask"), (requests.Session, "send"), (sqlalchemy, "create_engine")),
        *((sqlalchemy.engine, "create_engine"), (sqlalchemy.engine.create, "create_engine")),
        *((sqlalchemy.Engine, "connect"), (redis.Redis, "execute_command"), (redis.client.Pipeline, "execute")),
        (redis.client.Pipeline, "immediate_execute_command"),
    ]
    return [id(vars(owner)[name]) for owner, name in places]
