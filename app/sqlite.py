"""What only SQLite needs: one file as a database of many connections, with transactions that wait for each other."""

from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import URL, Connection, Dialect, Engine, QueuePool, event


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
    # between, busy timeout or not. Sent through SQLAlchemy, so that the wait for the one write lock is a span.
    readonly = bool(connection.get_execution_options().get("postgresql_readonly"))
    cursor = connection.connection.cursor()
    cursor.execute(f"PRAGMA query_only={readonly:d}")
    if readonly:
        cursor.execute("BEGIN")
    else:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
