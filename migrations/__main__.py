"""`python -m migrations`: the database of each service, from <SERVICE>_DATABASE_URL, brought to its newest revision.

The same as `alembic -c migrations/alembic.ini -n <service> upgrade head` for each, in one process: it is the imports
that take the time.
"""

import os
import sys
from configparser import ConfigParser
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy.exc import DBAPIError

INI = Path(__file__).with_name("alembic.ini")


def main() -> None:
    """Migrate one service after the other; ends with one clear line when a database is not named, or refuses."""
    for service in services():
        variable = f"{service.upper()}_DATABASE_URL"
        if not os.environ.get(variable):
            sys.exit(f"missing setting {variable}: where is the database of {service}-service?")
        os.environ["DATABASE_URL"] = os.environ[variable]
        try:
            command.upgrade(Config(INI, ini_section=service), "head")
        except SystemExit:  # env.py has said what is wrong with DATABASE_URL
            sys.exit(f"DATABASE_URL was taken from {variable}.")
        except DBAPIError as error:
            sys.exit(f"The database of {service}-service ({variable}): {error.orig}")


def services() -> list[str]:
    """Return the services of the stacks, each of which has a section in alembic.ini."""
    ini = ConfigParser()
    ini.read(INI)
    return [name for name in ini.sections() if ini.getboolean(name, "stacks", fallback=True)]


if __name__ == "__main__":
    main()
