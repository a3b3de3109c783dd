"""Alembic's environment, the same for every service: the section of alembic.ini names the service."""

from importlib import import_module
from typing import Literal

from alembic import context
from sqlalchemy import create_engine

from app.config import load_settings
from app.database import UtcDateTime

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
    engine = create_engine(load_settings(settings).database_url.get_secret_value())
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
