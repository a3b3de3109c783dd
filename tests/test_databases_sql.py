"""`postgres/databases.sql`, run on every start of the container stack: it creates what is missing and nothing twice."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from local.generate import database_names
from local.registry import DATABASES, REGISTRY, Service
from tests.conftest import ROOT
from tests.support.servers import postgresql_binaries, postgresql_server

SQL = ROOT / "postgres" / "databases.sql"
FIFTH = Service(name="fifth", port=8084)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A PostgreSQL server of its own, since roles are for a whole server: its URL without a database."""
    try:
        with postgresql_server() as url:
            yield url.replace("+psycopg", "")
    except FileNotFoundError as error:
        pytest.skip(str(error))


def run(server: str, sql: Path = SQL) -> None:
    """Run the file as the container stack does; fail with what psql says."""
    psql = str(postgresql_binaries() / "psql")
    options = ["--no-psqlrc", "--quiet", "-v", "ON_ERROR_STOP=1", "-f", str(sql)]
    result = subprocess.run([psql, *options, f"{server}/postgres"], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")


def owners(server: str) -> dict[str, str]:
    """Return the owner of each database that a service has."""
    query = "SELECT datname, pg_get_userbyid(datdba) FROM pg_database WHERE datname = ANY(%s)"
    with psycopg.connect(f"{server}/postgres") as connection:
        return dict(connection.execute(query, [[*DATABASES, FIFTH.name]]).fetchall())


def as_user(server: str, user: str, database: str) -> psycopg.Connection:
    """Connect to a database as a service does."""
    return psycopg.connect(f"{server}/{database}", user=user, password=user)


def test_each_database_belongs_to_its_service_and_a_second_run_keeps_what_is_in_it(server: str) -> None:
    run(server)
    assert owners(server) == {name: name for name in DATABASES}
    with as_user(server, "order", "order") as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS number")
    run(server)
    assert owners(server) == {name: name for name in DATABASES}
    with as_user(server, "order", "order") as connection:
        assert connection.execute("SELECT number FROM kept").fetchall() == [(1,)]


def test_a_database_that_was_added_later_is_created_beside_the_others(server: str, tmp_path: Path) -> None:
    run(server)
    grown = tmp_path / "databases.sql"
    listed = database_names(REGISTRY)
    assert listed in SQL.read_text()
    grown.write_text(SQL.read_text().replace(listed, database_names({**REGISTRY, FIFTH.name: FIFTH})))
    run(server, grown)
    assert owners(server) == {name: name for name in (*DATABASES, FIFTH.name)}


def test_a_database_whose_creation_was_cut_short_is_created_by_the_next_run(server: str) -> None:
    run(server)
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute("DROP DATABASE payment")
        connection.execute("GRANT CONNECT ON DATABASE inventory TO PUBLIC")
    run(server)
    assert owners(server)["payment"] == "payment"
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        as_user(server, "payment", "inventory")


def test_a_service_can_connect_to_no_database_but_its_own(server: str) -> None:
    run(server)
    for user in DATABASES:
        for database in DATABASES:
            if user == database:
                as_user(server, user, database).close()
            else:
                with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
                    as_user(server, user, database)
