"""Alembic's environment, the same for every service: the section of alembic.ini names the service."""

from importlib import import_module
from typing import Literal

from alembic import context
from sqlalchemy import create_engine, make_url

from app.config import load_settings
from app.database import LOCK_WAIT, UtcDateTime

service = context.config.config_ini_section
metadata = import_module(f"services.{service}.models").Base.metadata
# Of the service's settings only these: migrating must not ask where its dependencies are.
settings = import_module(f"services.{service}.settings").DatabaseSettings


def render_item(kind: str, item: object, _context: object) -> str | Literal[False]:
    """Write the kit's own column type into a revision as the plain type that the database sees."""
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    return False


def run() -> None:
    """Apply the revisions in one transaction each."""
    url = make_url(load_settings(settings).database_url.get_secret_value())
    # All statements on a table wait behind one that waits to change it, so a migration gives up instead; run it again.
    options = {"options": f"-c lock_timeout={int(LOCK_WAIT * 1000)}"} if url.get_backend_name() == "postgresql" else {}
    engine = create_engine(url, connect_args=options)
    with engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=metadata,
            render_item=render_item,
            render_as_batch=connection.dialect.name == "sqlite",
            transaction_per_migration=True,
        )
        with context.begin_transaction():
            context.run_migrations()
    engine.dispose()


run()
