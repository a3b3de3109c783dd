"""`python -m migrations.revision SERVICE "what changes"`: write what the models say and the revisions do not, numbered.

The models are compared with the database of DATABASE_URL or, without one, with an empty SQLite database that is brought
to the latest revision first.
"""

import argparse
import io
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.script import Script, ScriptDirectory
from alembic.util.exc import DatabaseNotAtHead

INI = Path(__file__).with_name("alembic.ini")


def main() -> None:
    """Print the path of the new revision; end with a line that says why there is none."""
    parser = argparse.ArgumentParser(prog="migrations.revision", description=__doc__.partition("\n")[0])
    parser.add_argument("service")
    parser.add_argument("message")
    parser.add_argument("--empty", action="store_true", help="compare nothing: what changes is written by hand")
    arguments = parser.parse_args()
    try:
        print(write(arguments.service, arguments.message, empty=arguments.empty))  # noqa: T201
    except ValueError as error:
        sys.exit(str(error))


def write(service: str, message: str, *, empty: bool = False) -> Path:
    """Write the next revision of a service and return its path.

    Raise ValueError if it has no database, if that is not at the latest revision, or if the models say nothing new.
    """
    if not (INI.parent / service).is_dir():
        raise ValueError(f"there is no folder migrations/{service}. Name a service that has a database.")
    # What Alembic reports on the way is of no use here.
    config = Config(INI, ini_section=service, stdout=io.StringIO(), cmd_opts=argparse.Namespace(quiet=True))
    number = 1 + len(list(ScriptDirectory.from_config(config).walk_revisions()))
    with _database(config), redirect_stdout(io.StringIO()):
        try:
            command.current(config, check_heads=True)
        except DatabaseNotAtHead:
            raise ValueError(
                f"the database of {service}-service is not at the latest revision. Run `waybill migrate` first."
            ) from None
        written = command.revision(
            config,
            message,
            rev_id=f"{number:04}",
            autogenerate=not empty,
            process_revision_directives=None if empty else _write_none_if_empty,
        )
    if not isinstance(written, Script):
        raise ValueError(
            f"{service}-service: its models have nothing that its revisions lack, so none was written. Change "
            f"services/{service}/models.py first, or use --empty to write what changes by hand."
        )
    return Path(written.path)


def _write_none_if_empty(_context: Any, _revision: Any, directives: list[Any]) -> None:
    if directives[0].upgrade_ops.is_empty():
        directives.clear()


@contextmanager
def _database(config: Config) -> Iterator[None]:
    if os.environ.get("DATABASE_URL"):
        yield
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DATABASE_URL"] = f"sqlite:///{folder}/latest.db"
        try:
            command.upgrade(config, "head")
            yield
        finally:
            os.environ["DATABASE_URL"] = ""


if __name__ == "__main__":
    main()
