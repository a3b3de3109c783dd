"""`python -m migrations.wait SERVICE`: ends when the database of a service has the tables that its code works with.

That is when it is at the latest revision of this folder, or at one that this folder does not have: then it was migrated
by a later version, whose migrations leave what this version needs (docs/kubernetes.md).
"""

import signal
import sys
import time

from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import DBAPIError

from app.config import DatabaseSettings, load_settings
from migrations.__main__ import INI

INTERVAL_SECONDS = 1.0


def main() -> None:
    """Wait for the service that is named, and print why whenever that changes."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m migrations.wait SERVICE")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    script = ScriptDirectory.from_config(Config(INI, ini_section=sys.argv[1]))
    engine = create_engine(load_settings(DatabaseSettings).database_url.get_secret_value())
    printed = None
    while reason := missing(engine, script):
        if reason != printed:
            print(f"waiting: {reason}", flush=True)  # noqa: T201
            printed = reason
        time.sleep(INTERVAL_SECONDS)


def missing(engine: Engine, script: ScriptDirectory) -> str | None:
    """Return why the code cannot work with the database yet, or None."""
    try:
        with engine.connect() as connection:
            current = MigrationContext.configure(connection).get_current_revision()
    except DBAPIError as error:
        return str(error.orig).strip().partition("\n")[0]
    known = [revision.revision for revision in script.walk_revisions()]
    if current == script.get_current_head() or (current is not None and current not in known):
        return None
    return f"the database is at revision {current}, the code needs {script.get_current_head()}"


if __name__ == "__main__":
    main()
