"""`python -m migrations`: the database of each service, from <SERVICE>_DATABASE_URL, brought to its newest revision.

Like every secret, a URL can be a file in the folder SECRETS_DIR instead: order_database_url.

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
        url = os.environ.get(variable) or _secret(variable)
        if not url:
            sys.exit(f"missing setting {variable}: where is the database of {service}-service?")
        os.environ["DATABASE_URL"] = url
        try:
            command.upgrade(Config(INI, ini_section=service), "head")
        except SystemExit:  # env.py has said what is wrong with DATABASE_URL
            sys.exit(f"DATABASE_URL was taken from {variable}.")
        except DBAPIError as error:
            sys.exit(f"The database of {service}-service ({variable}): {error.orig}")


def _secret(variable: str) -> str | None:
    folder = os.environ.get("SECRETS_DIR")
    file = Path(folder, variable.lower()) if folder else None
    return file.read_text().strip() if file and file.is_file() else None


def services() -> list[str]:
    """Return the services of the stacks, each of which has a section in alembic.ini."""
    ini = ConfigParser()
    ini.read(INI)
    sections = (name for name in ini.sections() if ini.has_option(name, "version_locations"))
    return [name for name in sections if ini.getboolean(name, "stacks", fallback=True)]


if __name__ == "__main__":
    main()
