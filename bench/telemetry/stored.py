"""Databases as they are after many orders."""

import json
import random
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from sqlalchemy import (
    Column,
    Connection,
    DateTime,
    Engine,
    MetaData,
    Table,
    Uuid,
    cast,
    create_engine,
    delete,
    insert,
    select,
)

from bench.shop import BODY, Shop

OUTCOMES = (
    (95, BODY),
    (3, {**BODY, "payment_token": "tok_decline"}),
    (2, {**BODY, "lines": [{"sku": "NO-SUCH-ITEM", "quantity": 1}]}),
)
"""Percent, and what is ordered: most orders are confirmed; a card is declined; an item does not exist."""
ORDER_ID = ("id", "order_id", "idempotency_key")
"""The columns that hold an order's id. Each service has it as (the first part of) its primary keys."""
CHUNK = 20_000
"""Orders per transaction: a service waits five seconds for a lock."""
AGE = timedelta(days=365)

COPIES = Table(
    "copies",
    MetaData(),
    Column("original", Uuid, nullable=False),
    Column("id", Uuid, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    prefixes=["TEMPORARY"],
)


def store_orders(shop: Shop, databases: Mapping[str, str], number: int) -> None:
    """Place an order of each outcome, then copy its rows in each database under new ids until there are `number`."""
    originals = {uuid.UUID(_place(shop, body)): percent for percent, body in OUTCOMES}
    now = datetime.now(UTC)
    copies = [
        {"original": original, "id": uuid.uuid4(), "created_at": now - random.random() * AGE}
        for original in random.choices(list(originals), list(originals.values()), k=number)
    ]
    for url in databases.values():
        engine = create_engine(url)
        tables = _tables_of_orders(engine)
        with engine.connect() as connection:
            COPIES.create(connection)
            for first in range(0, number, CHUNK):
                connection.execute(delete(COPIES))
                connection.execute(insert(COPIES), copies[first : first + CHUNK])
                for table in tables:
                    _copy_rows(connection, table)
                connection.commit()
        _tidy(engine)
        engine.dispose()


def _place(shop: Shop, body: dict[str, object]) -> str:
    connection = shop.connect()
    order: dict[str, str] = json.loads(shop.body(shop.post_order(connection, body)))
    connection.close()
    return order["id"]


def _tables_of_orders(engine: Engine) -> list[Table]:
    """Return the tables with rows of orders, each after those that it refers to."""
    metadata = MetaData()
    metadata.reflect(engine)
    return [table for table in metadata.sorted_tables if _key(table) is not None]


def _key(table: Table) -> "Column[uuid.UUID] | None":
    """Return the column of the order's id."""
    first = next(iter(table.primary_key), None)
    return first if first is not None and first.name in ORDER_ID else None


def _copy_rows(connection: Connection, table: Table) -> None:
    key = _key(table)
    assert key is not None
    values = {
        column.name: cast(COPIES.c.id, column.type)
        if column.name in ORDER_ID
        else COPIES.c.created_at
        if column.name == "created_at"
        else column
        for column in table.columns
    }
    rows = select(*values.values()).join_from(COPIES, table, key == COPIES.c.original)
    connection.execute(insert(table).from_select(list(values), rows))


def _tidy(engine: Engine) -> None:
    """Do now what the database would otherwise do during the rounds."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        else:
            connection.exec_driver_sql("VACUUM ANALYZE")
            connection.exec_driver_sql("CHECKPOINT")
