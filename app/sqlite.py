"""What only SQLite needs: one file as a database of many connections, with transactions that wait for each other."""

import sqlite3
import time
from pathlib import Path
from typing import Any

import sqlalchemy
from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode
from sqlalchemy import URL, Connection, Dialect, Engine, QueuePool, event
from sqlalchemy.exc import OperationalError

BEGIN = "BEGIN IMMEDIATE"
LONG_WAIT = 0.005
"""Seconds. A wait for the write lock that is as long is a span; a shorter one explains nothing."""

tracer = trace.get_tracer(__name__)


def create_engine(url: URL, *, lock_wait: float, **options: Any) -> Engine:
    """Return an engine for a file; `lock_wait` is the number of seconds that a transaction waits for another."""
    # The instrumentor names each span after url.database, for SQLite a path; the file's stem is its name here.
    file = Path(url.database or "")
    engine = sqlalchemy.create_engine(
        url.set(database=file.stem), poolclass=QueuePool, connect_args={"timeout": lock_wait}, **options
    )

    @event.listens_for(engine, "do_connect")
    def open_file(_dialect: Dialect, _record: object, arguments: list[Any], _options: dict[str, Any]) -> None:
        arguments[0] = str(file)

    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    return engine


def _configure(connection: Any, _record: object) -> None:
    # The driver's own, late BEGIN is switched off: https://docs.sqlalchemy.org/en/20/dialects/sqlite.html
    connection.isolation_level = None
    # synchronous=NORMAL outlives a killed process but not a power cut: for real money, take PostgreSQL.
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    # A deferred transaction that reads and then writes fails with "database is locked" when another wrote in
    # between, busy timeout or not.
    readonly = bool(connection.get_execution_options().get("postgresql_readonly"))
    cursor = connection.connection.cursor()
    cursor.execute(f"PRAGMA query_only={readonly:d}")
    if readonly:
        cursor.execute("BEGIN")
    else:
        _begin_immediate(cursor, connection.engine.url.database)


def _begin_immediate(cursor: Any, database: str | None) -> None:
    """Acquire the one write lock. Leave a span only if that took long: most transactions get it immediately."""
    started = time.time_ns()
    failure = None
    try:
        cursor.execute(BEGIN)
    except sqlite3.OperationalError as error:
        failure = Status(StatusCode.ERROR, str(error))
        raise OperationalError(BEGIN, None, error) from None
    finally:
        if time.time_ns() - started >= LONG_WAIT * 1e9:
            _trace_wait(started, database, failure)


def _trace_wait(started: int, database: str | None, failure: Status | None) -> None:
    """Leave the span that the instrumentor makes of a statement, from `started` (ns since the epoch) until now."""
    attributes = {
        "db.system.name": "sqlite",
        "db.namespace": database or "",
        "db.operation.name": "BEGIN",
        "db.query.text": BEGIN,
        "db.sqlite.waited_for": "write lock",
    }
    span = tracer.start_span(f"BEGIN {database}", kind=SpanKind.CLIENT, start_time=started, attributes=attributes)
    if failure:
        span.set_status(failure)
    span.end()
