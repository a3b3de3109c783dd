"""Send statements that a database refuses, full of canaries, and let their errors go wherever errors go.

`python -m tests.app.failing_statements DATABASE_URL SERVICE...` makes the tables of these services and, for each
column, a row that breaks a rule of the table; it prints the causes, as they are recorded, as its last line.
"""

import json
import logging
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

from opentelemetry import trace
from sqlalchemy import Column, DateTime, Enum, Executable, Integer, MetaData, String, Table, Uuid, text
from sqlalchemy.types import TypeDecorator

from app import logs, telemetry
from app.database import Database

logger = logging.getLogger("failing")
tracer = trace.get_tracer("failing")

WORD = "canary"
NUMBER = 1_913_371_337
ID = uuid.UUID("cafe1337-cafe-4337-8337-cafe1337cafe")
YEAR = datetime(2913, 3, 7, tzinfo=UTC)
CANARIES = (WORD, str(NUMBER), str(ID), ID.hex, "2913-03-07")


def kind_of(column: Column[Any]) -> type:
    """The type as the database knows it."""
    kind = column.type.impl if isinstance(column.type, TypeDecorator) else column.type
    return next(base for base in (Enum, String, Integer, Uuid, DateTime) if isinstance(kind, base))


def canary(column: Column[Any]) -> Any:
    """A value that the column takes."""
    length = getattr(column.type, "length", None) or 100
    by_kind: dict[type, Any] = {Integer: NUMBER, Uuid: str(ID), DateTime: YEAR.isoformat()}
    return by_kind.get(kind_of(column), f"{WORD}-{column.name}"[:length])


def bad_rows(table: Table) -> list[dict[str, Any]]:
    """Rows that break a rule, one each, if the database has such a rule; the first is taken, the second its copy."""
    row = {column.name: canary(column) for column in table.columns}
    rows = [row, row]
    for column in table.columns:
        rows.append({**row, column.name: None})
        if kind_of(column) in (String, Enum):
            rows.append({**row, column.name: f"{WORD}-" * 100})
        else:
            rows.append({**row, column.name: f"{WORD}-{column.name}"})
        if kind_of(column) is Integer:
            rows.append({**row, column.name: -NUMBER})
        if column.foreign_keys:
            other = str(uuid.UUID(int=ID.int ^ 1)) if kind_of(column) is Uuid else f"{WORD}-other"
            rows.append({**row, column.name: other})
    return rows


def attempt(database: Database, statement: Executable, values: dict[str, Any]) -> str:
    """Send one statement; its error goes to spans, to the log with and without its stack, and is returned."""
    try:
        with tracer.start_as_current_span("attempt"), database.write() as session, session.begin():
            session.execute(statement, values)
    except Exception as error:
        logger.warning("cannot serve now: %s", error)
        logger.exception("unexpected error")
        return str(error).partition("\n")[0]
    return "taken"


def attempts(service: str, database: Database, metadata: MetaData) -> Iterator[str]:
    """Every bad row of every table, and a value that its column's type does not take."""
    metadata.create_all(database.engine)
    for table in metadata.sorted_tables:
        names = table.columns.keys()
        insert = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({', '.join(f':{name}' for name in names)})"
        for row in bad_rows(table):
            yield attempt(database, text(insert), row)
        for column in table.columns:
            if kind_of(column) in (Uuid, Enum, DateTime):
                yield attempt(database, table.select().where(column == f"{WORD}-{service}"), {})


def main(url: str, services: list[str]) -> None:
    """Do it for these services."""
    logs.configure("DEBUG", "json")
    telemetry.configure("failing", "1", "accept")
    telemetry.add_log_export()
    causes: set[str] = set()
    for service in services:
        metadata = import_module(f"services.{service}.models").Base.metadata
        database = Database(url, pool_size=2, metadata=metadata)
        causes.update(attempts(service, database, metadata))
        metadata.drop_all(database.engine)  # the next service may have a table of the same name
        database.engine.dispose()
    telemetry.shutdown(deadline=10)
    sys.stdout.write(json.dumps(sorted(causes)) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
