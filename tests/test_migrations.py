"""Migrations make what the models say, on both databases, and only when they are asked to."""

import os
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.engine import Engine
from sqlalchemy.exc import IntegrityError

from local.registry import DATABASES
from tests.conftest import ROOT, all_services_at, migrate, start_service
from tests.support.tested_services import WITH_DATABASE
from tests.support.waiting import CAP


@pytest.fixture(params=WITH_DATABASE)
def service(request: pytest.FixtureRequest) -> str:
    """Each service that has a database in turn."""
    name: str = request.param
    return name


@pytest.fixture
def database_url(service: str, new_database: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> str:
    """A database with nothing in it, named by the environment as on the command line."""
    url = new_database(service)
    monkeypatch.setenv("DATABASE_URL", url)
    return url


def config(service: str) -> Config:
    return Config(ROOT / "migrations" / "alembic.ini", ini_section=service)


def tables(url: str) -> set[str]:
    """The tables of a database, without Alembic's own."""
    engine = create_engine(url)
    found = set(inspect(engine).get_table_names()) - {"alembic_version"}
    engine.dispose()
    return found


def catalogue(engine: Engine) -> list[tuple[str, int, int]]:
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT sku, price, stock FROM items ORDER BY sku"))
        return [(row.sku, row.price, row.stock) for row in rows]


def test_the_urls_of_the_databases_can_be_files(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    for name in DATABASES:
        (secrets / f"{name}_database_url").write_text(f"sqlite:///{tmp_path}/{name}.db\n")
    command = [sys.executable, "-m", "migrations"]
    environment = {name: value for name, value in os.environ.items() if not name.endswith("DATABASE_URL")}
    subprocess.run(command, cwd=ROOT, env={**environment, "SECRETS_DIR": str(secrets)}, check=True)
    assert all(tables(f"sqlite:///{tmp_path}/{name}.db") for name in DATABASES)


def test_a_pod_waits_until_its_database_is_at_its_revision_or_at_a_later_one(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/order.db"
    wait = [sys.executable, "-m", "migrations.wait", "order"]
    environment = {**os.environ, "DATABASE_URL": url}
    with subprocess.Popen(wait, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as waiting:
        assert waiting.stdout
        head = ScriptDirectory.from_config(config("order")).get_current_head()
        assert waiting.stdout.readline() == f"waiting: the database is at revision None, the code needs {head}\n"
        migrate("order", url, f"{head}-1")
        assert waiting.stdout.readline().startswith("waiting: the database is at revision 0")
        migrate("order", url)
        assert waiting.wait(timeout=CAP) == 0
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9001'"))
    engine.dispose()
    subprocess.run(wait, cwd=ROOT, env=environment, check=True, timeout=CAP)


def test_each_service_has_one_line_of_revisions(service: str) -> None:
    assert len(ScriptDirectory.from_config(config(service)).get_heads()) == 1


def test_the_newest_revision_is_what_the_models_say(service: str, database_url: str) -> None:
    migrate(service, database_url)
    command.check(config(service))


def test_a_database_goes_down_to_nothing_and_up_again(service: str, database_url: str) -> None:
    migrate(service, database_url)
    before = tables(database_url)
    assert before
    command.downgrade(config(service), "base")
    assert tables(database_url) == set()
    migrate(service, database_url)
    assert tables(database_url) == before
    command.check(config(service))


def test_migrating_twice_changes_nothing(service: str, database_url: str) -> None:
    migrate(service, database_url)
    before = tables(database_url)
    migrate(service, database_url)
    assert tables(database_url) == before


def test_the_seed_is_a_dozen_items_and_leaves_alone_what_is_there(new_database: Callable[[str], str]) -> None:
    url = new_database("inventory")
    migrate("inventory", url, "0001")
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO items VALUES ('TEA-SENCHA', 'Ours', 1, 'EUR', 7)"))
    migrate("inventory", url)
    seeded = catalogue(engine)
    assert 12 <= len(seeded) <= 14
    assert ("TEA-SENCHA", 1, 7) in seeded
    assert ("CUP-RAKU", 12900, 5) in seeded
    with engine.begin() as connection:
        connection.execute(text("UPDATE items SET stock = 3 WHERE sku = 'CUP-RAKU'"))
    migrate("inventory", url)
    assert ("CUP-RAKU", 12900, 3) in catalogue(engine)
    engine.dispose()


def insert_order(engine: Engine, key: str, customer: str, status: str, created_at: str, due: bool) -> str:
    """An order of one line as revision 0001 has it; its id."""
    order_id = uuid.uuid4()
    columns = {
        "id": order_id.hex if engine.dialect.name == "sqlite" else order_id,
        "idempotency_key": key,
        "fingerprint": "f",
        "customer_id": customer,
        "region": "eu",
        "payment_token": "tok_approve",
        "status": status,
        "created_at": created_at,
        "updated_at": created_at,
        "drive_after": created_at if due else None,
        "attempts": 1,
    }
    with engine.begin() as connection:
        names = ", ".join(columns)
        values = ", ".join(f":{name}" for name in columns)
        connection.execute(text(f"INSERT INTO orders ({names}) VALUES ({values})"), columns)
        connection.execute(text("INSERT INTO order_lines VALUES (:id, 'TEA-SENCHA', 2, 1290)"), {"id": columns["id"]})
    return str(columns["id"])


def orders(engine: Engine) -> dict[str, Any]:
    """The orders by id, with the number of their lines."""
    query = "SELECT orders.*, (SELECT count(*) FROM order_lines WHERE order_id = orders.id) AS line_count FROM orders"
    with engine.connect() as connection:
        return {str(row.id): row for row in connection.execute(text(query))}


def test_orders_outlive_their_second_revision_there_and_back(
    new_database: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = new_database("order")
    monkeypatch.setenv("DATABASE_URL", url)
    migrate("order", url, "0001")
    engine = create_engine(url)
    first = insert_order(engine, "a-key", "cus_1", "CONFIRMED", "2026-11-01 12:00:00+00:00", due=False)
    waiting = insert_order(engine, "another", "cus_1", "PENDING", "2026-11-01 12:00:01+00:00", due=True)
    before = orders(engine)

    migrate("order", url, "0002")
    after = orders(engine)
    for order_id, row in before.items():
        assert after[order_id]._mapping.items() >= row._mapping.items()
    assert after[waiting].bad_answers == 0

    second = insert_order(engine, "a-key", "cus_2", "CONFIRMED", "2026-11-01 12:00:02+00:00", due=False)
    with pytest.raises(IntegrityError):
        insert_order(engine, "a-key", "cus_2", "CONFIRMED", "2026-11-01 12:00:03+00:00", due=False)
    with engine.begin() as connection:
        connection.execute(text("UPDATE orders SET dead_letter_step = 'send_notification' WHERE customer_id = 'cus_2'"))

    command.downgrade(config("order"), "0001")
    back = orders(engine)
    assert back.keys() == {first, waiting, second}
    assert back[first] == before[first]
    assert back[waiting] == before[waiting]
    assert back[second].idempotency_key not in ("a-key", "another")
    assert back[second].drive_after is not None, "a dead letter is tried again"
    assert {row.line_count for row in back.values()} == {1}
    migrate("order", url, "0002")
    assert orders(engine).keys() == back.keys()
    engine.dispose()


def test_orders_outlive_their_third_revision_there_and_back(
    new_database: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = new_database("order")
    monkeypatch.setenv("DATABASE_URL", url)
    migrate("order", url, "0002")
    engine = create_engine(url)
    order_id = insert_order(engine, "a-key", "cus_1", "PENDING", "2026-11-01 12:00:00+00:00", due=True)
    lease_owner = uuid.uuid4().hex if engine.dialect.name == "sqlite" else uuid.uuid4()
    with engine.begin() as connection:
        connection.execute(text("UPDATE orders SET driver = :id, bad_answers = 3"), {"id": lease_owner})
    before = orders(engine)[order_id]

    migrate("order", url, "0003")
    after = orders(engine)[order_id]
    assert after.lease_owner == before.driver
    assert after.next_attempt_at == before.drive_after
    assert after.invalid_responses == before.bad_answers == 3
    assert list(after) == list(before), "nothing but the names has changed"

    command.downgrade(config("order"), "0002")
    assert orders(engine)[order_id] == before
    engine.dispose()


def test_a_service_that_starts_migrates_nothing(
    service: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.conftest.migrate", lambda _service, _url: None)
    running = start_service(service, database_url, **all_services_at("http://127.0.0.1:9"))
    running.close()
    assert tables(database_url) == set()


def test_a_url_that_is_none_stops_the_migration_with_a_line_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "mysql://user:secret@host/name")
    with pytest.raises(SystemExit):
        command.upgrade(config("order"), "head")
    line = capsys.readouterr().err.strip()
    assert line.startswith("bad setting DATABASE_URL:")
    assert "secret" not in line


MIGRATE_ALL = [sys.executable, "-m", "migrations"]


def test_all_databases_are_migrated_by_one_command(new_database: Callable[[str], str]) -> None:
    urls = {f"{service.upper()}_DATABASE_URL": new_database(service) for service in DATABASES}
    subprocess.run(MIGRATE_ALL, cwd=ROOT, env={**os.environ, **urls}, check=True)
    assert all(tables(url) for url in urls.values())


def test_the_command_that_migrates_all_databases_names_the_variable_that_is_missing_or_wrong(
    new_sqlite: Callable[[str], str],
) -> None:
    urls = {f"{service.upper()}_DATABASE_URL": new_sqlite(service) for service in DATABASES}
    missing, its_url = urls.popitem()
    failed = subprocess.run(MIGRATE_ALL, cwd=ROOT, env={**os.environ, **urls}, capture_output=True, text=True)
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1].startswith(f"missing setting {missing}")
    bad = {**os.environ, **urls, missing: "mysql://user:secret@host/name"}
    refused = subprocess.run(MIGRATE_ALL, cwd=ROOT, env=bad, capture_output=True, text=True)
    assert refused.returncode == 1
    assert "'mysql' is not supported" in refused.stderr
    assert missing in refused.stderr
    subprocess.run(MIGRATE_ALL, cwd=ROOT, env={**os.environ, **urls, missing: its_url}, check=True)
    assert all(tables(url) for url in (*urls.values(), its_url))
