"""One engine per process, one session per request, and a probe of readiness; SQLite and PostgreSQL alike."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from weakref import WeakSet

import flask
import sqlalchemy
import svcs
from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation
from sqlalchemy import (
    URL,
    DateTime,
    Dialect,
    Engine,
    Enum,
    ExceptionContext,
    Float,
    MetaData,
    Table,
    event,
    inspect,
    literal,
    make_url,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects import sqlite as sqlite_dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Session, make_transient_to_detached, sessionmaker
from sqlalchemy.orm.attributes import set_committed_value
from sqlalchemy.pool import QueuePool
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

from . import sqlite

NAMING_CONVENTION = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
"""Constraint names that a migration can refer to: https://alembic.sqlalchemy.org/en/latest/naming.html"""

_engines: WeakSet[Engine] = WeakSet()

LOCK_WAIT = 5.0
"""Seconds a statement waits for another transaction before it gives up."""


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime, kept in UTC; SQLite would hand it back without its zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """Refuse a naive datetime: its instant is unknown."""
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
        self._ahead = ahead
        super().__init__(literal(ahead.total_seconds(), Float))

    def __add__(self, later: timedelta) -> "DatabaseTime":
        """Return the time that is `later` than this one."""
        return DatabaseTime(self._ahead + later)


@compiles(DatabaseTime, "postgresql")
def _postgresql_time(element: DatabaseTime, compiler: SQLCompiler, **options: Any) -> str:
    return f"(statement_timestamp() + make_interval(secs => {compiler.process(element.clauses, **options)}))"


@compiles(DatabaseTime, "sqlite")
def _sqlite_time(element: DatabaseTime, compiler: SQLCompiler, **options: Any) -> str:
    # SQLAlchemy reads the digits behind the point as a number of microseconds, and SQLite writes three of them.
    ahead = compiler.process(element.clauses, **options)
    return f"(strftime('%Y-%m-%d %H:%M:%f', 'now', {ahead} || ' seconds') || '000')"


def string_enum(kind: type[StrEnum]) -> Enum:
    """Return a column type that stores the values of `kind` as plain strings, the same in SQLite and PostgreSQL."""
    return Enum(kind, native_enum=False, length=32, values_callable=lambda members: [str(m) for m in members])


_INSERT: dict[str, Callable[[Table], postgresql.Insert | sqlite_dialect.Insert]] = {
    "postgresql": postgresql.insert,
    "sqlite": sqlite_dialect.insert,
}


def insert_once(session: Session, row: DeclarativeBase) -> bool:
    """Insert `row` unless the database has a row with one of its unique keys. Return whether it was inserted.

    Of two calls for one key at the same moment, the second waits for the first to commit and then returns False. To
    look for the row first would take one more statement, and both could find nothing.
    """
    table, values = row.metadata.tables[row.__tablename__], vars(row)
    insert = _INSERT[session.get_bind().dialect.name](table)
    insert = insert.values({column: values[column.key] for column in table.c if column.key in values})
    inserted = session.execute(insert.on_conflict_do_nothing().returning(*table.c)).one_or_none()
    if inserted is None:
        return False
    _attach(session, row, dict(inserted._mapping))
    return True


def _attach(session: Session, row: DeclarativeBase, columns: dict[str, Any]) -> None:
    """Make `row` an object of the session that is in the database; what it is related to, such as lines, is not yet."""
    names = inspect(type(row)).relationships.keys()
    related = {name: vars(row).pop(name) for name in names if name in vars(row)}
    for name, value in columns.items():
        set_committed_value(row, name, value)
    make_transient_to_detached(row)
    session.add(row)
    for name, rows in related.items():
        set_committed_value(row, name, [])
        setattr(row, name, rows)


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
        _engines.add(self.engine)
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


def _count_connections(_options: CallbackOptions) -> Iterator[Observation]:
    for engine in _engines:
        if isinstance(engine.pool, QueuePool):
            name = engine.url.set(username=None, password=None, query={}).render_as_string()
            for state, count in (("idle", engine.pool.checkedin()), ("used", max(0, engine.pool.checkedout()))):
                attributes = {"db.client.connection.pool.name": name, "db.client.connection.state": state}
                yield Observation(count, attributes)


metrics.get_meter(__name__).create_observable_up_down_counter(
    "db.client.connection.count",
    [_count_connections],
    unit="{connection}",
    description="Connections of the pool, by state: idle or used",
)


def _create_engine(url: URL, pool_size: int) -> Engine:
    options: dict[str, Any] = {
        "pool_size": pool_size,
        "max_overflow": 0,
        "pool_timeout": LOCK_WAIT,
        "hide_parameters": True,
    }
    if url.get_backend_name() == "sqlite":
        return sqlite.create_engine(url, lock_wait=LOCK_WAIT, **options)
    connect_args = {"connect_timeout": int(LOCK_WAIT), "options": f"-c lock_timeout={int(LOCK_WAIT * 1000)}"}
    # By its full name: the instrumentor replaces it there, after this file was read.
    return sqlalchemy.create_engine(url, pool_pre_ping=True, connect_args=connect_args, **options)


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
