"""One engine per process, one session per request, and a probe of readiness; SQLite and PostgreSQL alike."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import flask
import sqlalchemy
import svcs
from sqlalchemy import (
    URL,
    Connection,
    DateTime,
    Dialect,
    Engine,
    Enum,
    ExceptionContext,
    Float,
    MetaData,
    QueuePool,
    event,
    inspect,
    literal,
    make_url,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

NAMING_CONVENTION = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
"""Constraint names that a migration can refer to: https://alembic.sqlalchemy.org/en/latest/naming.html"""

LOCK_WAIT = 5.0
"""Seconds a statement waits for another transaction before it gives up."""


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime, kept in UTC; SQLite would hand it back without its zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """Refuse a naive datetime: nobody knows which instant it means."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """Read what the database kept as UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class DatabaseTime(FunctionElement[datetime]):
    """Now by the database's clock, or `ahead` of it: one clock for all the processes that share a database.

    It is the time at which the statement began, to the microsecond (SQLite: millisecond). Constant within a
    statement, so an index on a compared column is used; PostgreSQL's clock_timestamp() would read every row.
    """

    name = "database_time"
    type = UtcDateTime()
    inherit_cache = True

    def __init__(self, ahead: timedelta = timedelta()) -> None:
        super().__init__(literal(ahead.total_seconds(), Float))


@compiles(DatabaseTime, "postgresql")
def _postgresql_time(element: DatabaseTime, compiler: SQLCompiler, **options: Any) -> str:
    return f"(statement_timestamp() + make_interval(secs => {compiler.process(element.clauses, **options)}))"


@compiles(DatabaseTime, "sqlite")
def _sqlite_time(element: DatabaseTime, compiler: SQLCompiler, **options: Any) -> str:
    # SQLAlchemy reads the digits behind the point as a number of microseconds, and SQLite writes three of them.
    ahead = compiler.process(element.clauses, **options)
    return f"(strftime('%Y-%m-%d %H:%M:%f', 'now', {ahead} || ' seconds') || '000')"


def string_enum(kind: type[StrEnum]) -> Enum:
    """A column type that keeps the values of `kind` as plain strings, the same in SQLite and PostgreSQL."""
    return Enum(kind, native_enum=False, length=32, values_callable=lambda members: [str(m) for m in members])


class WriteSession(Session):
    """A session for changes."""


class ReadSession(Session):
    """A session for queries; its transactions are read-only."""


class Database:
    """The database of one service: `write()` and `read()` open sessions.

    A session does nothing outside `with session.begin():`, so no transaction is held by accident.
    """

    def __init__(self, url: str, *, pool_size: int, metadata: MetaData) -> None:
        self._metadata = metadata
        self._migrated = False
        self.engine = _create_engine(make_url(url), pool_size)
        readonly = self.engine.execution_options(postgresql_readonly=True)
        self.write = sessionmaker(self.engine, class_=WriteSession, expire_on_commit=False, autobegin=False)
        self.read = sessionmaker(readonly, class_=ReadSession, expire_on_commit=False, autobegin=False)

    def check_ready(self) -> None:
        """Raise if the database does not answer or was not migrated."""
        with self.read() as session, session.begin():
            connection = session.connection()
            connection.exec_driver_sql("SELECT 1")
            if not self._migrated:
                missing = self._metadata.tables.keys() - set(inspect(connection).get_table_names())
                if missing:
                    raise RuntimeError(f"no table {', '.join(sorted(missing))}: apply the migrations first")
                self._migrated = True


def init_app(app: flask.Flask, database: Database) -> None:
    """Register `database` and its sessions: one of each kind per request or app context, closed when that ends."""
    svcs.flask.register_value(app, Database, database)
    svcs.flask.register_factory(app, WriteSession, lambda: database.write())
    svcs.flask.register_factory(app, ReadSession, lambda: database.read())


def write_session() -> Session:
    """Return the request's session for changes. Keep each `with session.begin():` short and free of HTTP calls."""
    return svcs.flask.get(WriteSession)


def read_session() -> Session:
    """Return the request's session for queries."""
    return svcs.flask.get(ReadSession)


def _create_engine(url: URL, pool_size: int) -> Engine:
    options: dict[str, Any] = {
        "pool_size": pool_size,
        "max_overflow": 0,
        "pool_timeout": LOCK_WAIT,
        "hide_parameters": True,
    }
    # sqlalchemy.create_engine by its full name: the instrumentor replaces it there, after this file was read.
    if url.get_backend_name() != "sqlite":
        connect_args = {"connect_timeout": int(LOCK_WAIT), "options": f"-c lock_timeout={int(LOCK_WAIT * 1000)}"}
        return sqlalchemy.create_engine(url, pool_pre_ping=True, connect_args=connect_args, **options)
    # The instrumentor names each span after url.database, for SQLite a path; the file's stem is its name here.
    file = Path(url.database or "")
    engine = sqlalchemy.create_engine(
        url.set(database=file.stem), poolclass=QueuePool, connect_args={"timeout": LOCK_WAIT}, **options
    )

    @event.listens_for(engine, "do_connect")
    def open_file(_dialect: Dialect, _record: object, arguments: list[Any], _options: dict[str, Any]) -> None:
        arguments[0] = str(file)

    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


# Of all engines, since these listeners are called before those of one engine, such as the instrumentor's, which
# copies the error's text into the status of the span; `insert=True` has no effect on this event.
@event.listens_for(Engine, "handle_error")
def _hide_values(context: ExceptionContext) -> None:
    """Reduce the text of an error to its class and its SQLSTATE, or the name of SQLite's error code.

    The text goes to logs, span statuses and exception events, and it holds values: PostgreSQL says
    `DETAIL: Key (email)=(ada@example.com) already exists`, which `hide_parameters` does not touch. Type converters
    quote a bad value, too. Failures to connect keep their text: no statement was sent.
    """
    if context.connection is None or context.sqlalchemy_exception is None:
        return
    error = context.original_exception
    code = getattr(getattr(error, "diag", None), "sqlstate", None) or getattr(error, "sqlite_errorname", None)
    text = f"{type(error).__name__} ({code})" if code else type(error).__name__
    error.args = (text,)
    error.__cause__ = None  # tracebacks end here: what led to this error may quote the value again
    # Its text was composed before this listener was called.
    context.sqlalchemy_exception.args = (f"({type(error).__module__}.{type(error).__qualname__}) {text}",)


def _configure_sqlite(connection: Any, _record: object) -> None:
    # The driver's own, late BEGIN is switched off: https://docs.sqlalchemy.org/en/20/dialects/sqlite.html
    connection.isolation_level = None
    # synchronous=NORMAL outlives a killed process but not a power cut: for real money, take PostgreSQL.
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # A deferred transaction that reads and then writes fails with "database is locked" when another wrote in
    # between, busy timeout or not. Sent through SQLAlchemy, so that the wait for the one write lock is a span.
    readonly = bool(connection.get_execution_options().get("postgresql_readonly"))
    cursor = connection.connection.cursor()
    cursor.execute(f"PRAGMA query_only={readonly:d}")
    if readonly:
        cursor.execute("BEGIN")
    else:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
