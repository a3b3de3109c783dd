"""Sessions, transactions and times, on SQLite and PostgreSQL alike."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import create_engine, select, text
from sqlalchemy.exc import IntegrityError, InternalError, InvalidRequestError, OperationalError, StatementError
from sqlalchemy.orm import Session

from app import database as database_module
from app.config import load_settings
from app.database import Database, insert_once
from tests.app.probe import Base, Settings, Thing

NOW = datetime(2026, 11, 22, 12, 30, tzinfo=UTC)


@pytest.fixture
def url(new_database: Callable[[str], str]) -> str:
    return new_database("things")


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    database = Database(url, pool_size=4, metadata=Base.metadata)
    Base.metadata.create_all(database.engine)
    yield database
    database.engine.dispose()


def thing(name: str = "a") -> Thing:
    return Thing(name=name, made_at=NOW)


def names(session: Session) -> list[str]:
    return sorted(session.scalars(select(Thing.name)))


def test_a_session_does_nothing_outside_a_transaction(database: Database) -> None:
    with database.write() as session, pytest.raises(InvalidRequestError):
        session.scalar(select(Thing))


def test_a_transaction_is_committed_whole_or_not_at_all(database: Database) -> None:
    with database.write() as session:
        with session.begin():
            session.add(thing("kept"))
        session.begin()
        session.add(thing("lost"))
        session.flush()
        session.rollback()
    with database.read() as reading, reading.begin():
        assert names(reading) == ["kept"]


def test_a_row_is_inserted_once_and_then_no_more(database: Database) -> None:
    with database.write() as session, session.begin():
        first, again = (Thing(id=1, name=name, made_at=NOW) for name in ("first", "again"))
        assert insert_once(session, first)
        assert not insert_once(session, again)
        assert session.get_one(Thing, 1) is first
        first.name = "changed"
    with database.read() as reading, reading.begin():
        assert names(reading) == ["changed"]


def test_what_the_database_gives_an_inserted_row_is_known(database: Database) -> None:
    with database.write() as session, session.begin():
        first, second = thing("a"), thing("b")
        assert insert_once(session, first)
        assert insert_once(session, second)
    assert (first.id, second.id, first.made_at) == (1, 2, NOW)


def test_a_row_that_breaks_another_constraint_is_an_error(database: Database) -> None:
    with database.write() as session, pytest.raises(IntegrityError), session.begin():
        insert_once(session, Thing(id=1, made_at=NOW))


def test_of_many_that_insert_one_key_at_the_same_moment_one_does_and_the_others_see_its_row(database: Database) -> None:
    together = threading.Barrier(4)

    def insert(name: str) -> tuple[bool, str]:
        together.wait(60)
        with database.write() as session, session.begin():
            inserted = insert_once(session, Thing(id=1, name=name, made_at=NOW))
            time.sleep(0.01)
            return inserted, session.get_one(Thing, 1).name

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(insert, "abcd"))
    assert sorted(inserted for inserted, _ in results) == [False, False, False, True]
    assert {name for _, name in results} == {
        name for name, (inserted, _) in zip("abcd", results, strict=True) if inserted
    }


def test_two_that_read_and_then_write_take_turns_instead_of_failing(database: Database) -> None:
    """On SQLite a deferred transaction would fail at once with "database is locked"."""
    with database.write() as session, session.begin():
        session.add(thing("0"))
    errors: list[Exception] = []
    together = threading.Barrier(4)

    def increment() -> None:
        try:
            for _ in range(10):
                together.wait(60)
                with database.write() as session, session.begin():
                    counter = session.scalars(select(Thing).with_for_update()).one()
                    time.sleep(0.001)
                    counter.name = str(int(counter.name) + 1)
        except Exception as error:
            errors.append(error)
            together.abort()

    threads = [threading.Thread(target=increment) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with database.read() as reading, reading.begin():
        assert names(reading) == ["40"]


def test_a_reader_does_not_hold_up_a_writer_and_keeps_its_own_view(database: Database) -> None:
    with database.read() as reader, reader.begin():
        assert names(reader) == []
        with database.write() as writer, writer.begin():
            writer.add(thing("new"))
    with database.read() as reader, reader.begin():
        assert names(reader) == ["new"]


def test_a_writer_does_not_hold_up_a_reader(database: Database) -> None:
    with database.write() as writer, writer.begin():
        writer.add(thing("uncommitted"))
        writer.flush()
        with database.read() as reader, reader.begin():
            assert names(reader) == []


def test_a_writer_gives_up_waiting_for_another_in_the_end(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "LOCK_WAIT", 0.2 if url.startswith("sqlite") else 1)
    database = Database(url, pool_size=2, metadata=Base.metadata)
    Base.metadata.create_all(database.engine)
    with database.write() as session, session.begin():
        session.add(thing())
    with database.write() as first, first.begin():
        first.scalars(select(Thing).with_for_update()).all()
        with database.write() as second, pytest.raises(OperationalError), second.begin():
            second.scalars(select(Thing).with_for_update()).all()
    database.engine.dispose()


def test_a_write_through_the_read_session_is_refused(database: Database) -> None:
    with database.read() as session, pytest.raises((InternalError, OperationalError)), session.begin():
        session.add(thing())


def test_the_write_session_still_writes_after_its_connection_was_used_for_reading(url: str) -> None:
    database = Database(url, pool_size=1, metadata=Base.metadata)
    Base.metadata.create_all(database.engine)
    with database.read() as reading, reading.begin():
        assert names(reading) == []
    with database.write() as session, session.begin():
        session.add(thing("written"))
    database.engine.dispose()


def test_a_time_comes_back_in_utc_whatever_zone_it_had(database: Database) -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    with database.write() as session, session.begin():
        session.add(Thing(name="a", made_at=elsewhere))
    with database.read() as reading, reading.begin():
        found = reading.scalars(select(Thing)).one()
        assert (found.made_at, found.made_at.tzinfo) == (NOW, UTC)
        assert reading.scalars(select(Thing).where(Thing.made_at <= elsewhere)).all() == [found]


def test_a_time_without_a_zone_is_refused(database: Database) -> None:
    with database.write() as session, pytest.raises(StatementError, match="ValueError"), session.begin():
        session.add(Thing(name="a", made_at=datetime(2026, 1, 1)))  # noqa: DTZ001


def test_a_database_that_was_not_migrated_is_not_ready_until_it_is(url: str) -> None:
    database = Database(url, pool_size=1, metadata=Base.metadata)
    with pytest.raises(RuntimeError, match="no table things: apply the migrations first"):
        database.check_ready()
    Base.metadata.create_all(database.engine)
    database.check_ready()
    database.engine.dispose()


def test_a_database_that_is_away_is_not_ready(tmp_path: object) -> None:
    for url in (f"sqlite:///{tmp_path}/no/such/folder.db", "postgresql+psycopg://me@127.0.0.1:1/api"):
        database = Database(url, pool_size=1, metadata=Base.metadata)
        with pytest.raises(OperationalError):
            database.check_ready()
        database.engine.dispose()


def test_an_error_does_not_carry_the_values_of_its_statement(database: Database) -> None:
    with database.write() as session, pytest.raises(Exception, match="nowhere") as failed, session.begin():
        session.execute(text("SELECT * FROM nowhere WHERE secret = :secret"), {"secret": "s3cret"})
    assert "s3cret" not in str(failed.value)


def test_a_url_as_most_hosters_print_it_works(postgresql: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", postgresql.replace("postgresql+psycopg", "postgres") + "/postgres")
    engine = create_engine(load_settings(Settings).database_url.get_secret_value())
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
    engine.dispose()
