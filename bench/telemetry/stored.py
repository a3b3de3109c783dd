"""Databases as they are after many orders."""

import json
import random
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
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
"""The columns that hold an order's id. In tables with rows of orders, one of them begins the primary key."""
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


def store_orders(shop: Shop, databases: Iterable[str], number: int) -> None:
    """Place an order of each outcome, then copy them in each database until there are about `number`."""
    originals = {uuid.UUID(_place(shop, body)): percent for percent, body in OUTCOMES}
    seed = random.random()
    for url in databases:
        copy_orders(url, originals, number, random.Random(seed))


def copy_orders(url: str, originals: Mapping[uuid.UUID, float], number: int, choose: random.Random) -> None:
    """Copy all rows of the `originals`, by their weights, under `number` new ids and with other times of creation."""
    engine = create_engine(url)
    metadata = MetaData()
    metadata.reflect(engine)
    now = datetime.now(UTC)
    with engine.connect() as connection:
        COPIES.create(connection)
        for first in range(0, number, CHUNK):
            copies = [
                {"original": original, "id": uuid.UUID(int=choose.getrandbits(128), version=4), "created_at": now - age}
                for original in choose.choices(list(originals), list(originals.values()), k=min(CHUNK, number - first))
                for age in [choose.random() * AGE]
            ]
            connection.execute(delete(COPIES))
            connection.execute(insert(COPIES), copies)
            for table in metadata.sorted_tables:
                _copy_rows(connection, table)
            connection.commit()
    _tidy(engine)
    engine.dispose()


def _place(shop: Shop, body: dict[str, object]) -> str:
    connection = shop.connect()
    order: dict[str, str] = json.loads(shop.body(shop.post_order(connection, body)))
    connection.close()
    return order["id"]


def _copy_rows(connection: Connection, table: Table) -> None:
    """Insert a copy of each row of an original; a table that has no order's id in its primary key stays as it is."""
    key = next(iter(table.primary_key), None)
    if key is None or key.name not in ORDER_ID:
        return
    values: dict[str, ColumnElement[Any]] = {column.name: column for column in table.columns}
    values |= {name: cast(COPIES.c.id, table.c[name].type) for name in ORDER_ID if name in values}
    if "created_at" in values:
        values["created_at"] = COPIES.c.created_at
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
