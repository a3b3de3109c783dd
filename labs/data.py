"""Changes in the database of a service, each with its undo, which is stored before the change is made."""

import json
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from labs.faults import Data, folder
from local import data_folder
from local.settings import LocalSettings, read_settings
from waybill_explorer.client import ClientError

PYTHON = sys.executable
LOCK_WAIT = 600
"""Seconds to wait for the service's own transactions: what is not undone would stay."""


def change(
    settings: LocalSettings, service: str, statements: Sequence[str], undo: Sequence[str], name: str = ""
) -> Data:
    """Run SQL statements in one transaction. Raise a ClientError, after which nothing has changed."""
    path = folder(settings) / f"undo-{name or uuid.uuid4().hex[:8]}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    data_folder.write(path, json.dumps({"service": service, "statements": list(undo)}, indent=2) + "\n")
    try:
        execute(settings, service, statements)
    except ClientError:
        path.unlink()
        raise
    return Data(service=service, change="; ".join(statements), file=path)


def restore(settings: LocalSettings, path: Path) -> None:
    """Undo a change once: its file is removed when that is done. Raise a ClientError."""
    if path.exists():
        stored = json.loads(path.read_text())
        execute(settings, stored["service"], stored["statements"])
        path.unlink()


def execute(settings: LocalSettings, service: str, statements: Sequence[str]) -> None:
    """Run SQL statements in one transaction. Raise a ClientError."""
    url = make_url(settings.database_url(service))
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    waiting = {"timeout": LOCK_WAIT} if url.drivername == "sqlite" else {}
    engine = create_engine(url, connect_args=waiting)
    try:
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))
    except SQLAlchemyError as error:
        raise ClientError(f"the database of {service} refuses it: {getattr(error, 'orig', None) or error}") from error
    finally:
        engine.dispose()


if __name__ == "__main__":
    restore(read_settings(LocalSettings), Path(sys.argv[1]))
