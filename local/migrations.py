"""`python -m local.migrations`: the four services' databases, each brought to its newest revision.

The same as `alembic -c migrations/alembic.ini -n <service> upgrade head` for each, in one process: it is the imports
that take the time.
"""

import os
import sys

from alembic import command
from alembic.config import Config
from sqlalchemy.exc import DBAPIError

from local.processes import SERVICES
from local.settings import ROOT, LocalSettings


def main() -> None:
    """Migrate one service after the other; ends with one clear line when a database refuses."""
    settings = LocalSettings()
    for service in SERVICES:
        os.environ["DATABASE_URL"] = settings.database_url(service)
        try:
            command.upgrade(Config(ROOT / "migrations" / "alembic.ini", ini_section=service), "head")
        except DBAPIError as error:
            sys.exit(f"The database of {service}-service ({service.upper()}_DATABASE_URL): {error.orig}")


if __name__ == "__main__":
    main()
