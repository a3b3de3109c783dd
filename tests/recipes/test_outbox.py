"""A message is sent at least once if its change is committed, never if it is not, and takes effect once."""

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from redis import Redis
from sqlalchemy import func, select, update

from app.database import Database
from docs.recipes import outbox, outbox_consumer
from docs.recipes.outbox import STREAM, Broker, OutboxMessage, Shipment, enqueue, send_next
from docs.recipes.outbox_consumer import DEAD_LETTERS, GROUP, MAX_DELIVERIES, Label, Subscription, process_next
from tests.recipes.conftest import Start, make_tables, sqlite_url
from tests.support.servers import valkey_server
from tests.support.service_process import ServiceProcess
from tests.support.telemetry_receiver import Receiver, matching
from tests.support.waiting import until

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture(scope="module")
def broker_url() -> Iterator[str]:
    """A stand-in for the broker."""
    with valkey_server() as url:
        yield url


@pytest.fixture
def stream(broker_url: str) -> Iterator[Redis]:
    """The broker itself, at the beginning of each test with an empty stream.

    It has the consumers' group, since the stand-in closes a connection after an error such as that there is none.
    """
    redis = Redis.from_url(broker_url, decode_responses=True)
    redis.flushall()
    redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
    yield redis
    redis.close()


@pytest.fixture(scope="module")
def producer(new_database: Callable[[str], str]) -> Iterator[Database]:
    """The producer's database."""
    url = make_tables(new_database("shipping"), outbox.Base.metadata)
    database = Database(url, pool_size=2, metadata=outbox.Base.metadata)
    yield database
    database.engine.dispose()


@pytest.fixture(scope="module")
def consumer(new_sqlite: Callable[[str], str]) -> Iterator[Database]:
    """The consumer's database."""
    url = make_tables(new_sqlite("labels"), outbox_consumer.Base.metadata)
    database = Database(url, pool_size=2, metadata=outbox_consumer.Base.metadata)
    yield database
    database.engine.dispose()


def create(database: Database) -> uuid.UUID:
    """Create a shipment and its message, as the route does."""
    shipment = Shipment(id=uuid.uuid4(), country="DE")
    with database.write() as session, session.begin():
        session.add(shipment)
        enqueue(session, {"shipment_id": str(shipment.id), "country": "DE"})
    return shipment.id


def send_all(database: Database, broker_url: str) -> None:
    """Send what is due."""
    with database.write() as session:
        while send_next(session, Broker(broker_url)):
            pass


def process_all(database: Database, subscription: Subscription) -> None:
    """Process what there is."""
    with database.write() as session:
        while process_next(session, subscription):
            pass


def waiting(database: Database) -> int:
    """How many messages are in the outbox."""
    with database.read() as session, session.begin():
        return session.scalars(select(func.count()).select_from(OutboxMessage)).one()


def expire_leases(database: Database) -> None:
    """Let the time pass after which a message is sent again."""
    with database.write() as session, session.begin():
        session.execute(update(OutboxMessage).values(next_attempt_at=LONG_AGO))


def labels_of(database: Database, shipment: uuid.UUID) -> int:
    """How often a shipment's message took effect."""
    with database.read() as session, session.begin():
        return len(session.scalars(select(Label).where(Label.shipment_id == shipment)).all())


def entries(redis: Redis, stream: str = STREAM) -> list[Any]:
    """What is in a stream: (id, fields)."""
    found: list[Any] = redis.xrange(stream)  # type: ignore[assignment]
    return found


def wait_until_left(redis: Redis) -> None:
    """Wait until a message was delivered a millisecond ago and not acknowledged."""
    until(lambda: redis.xpending_range(STREAM, GROUP, min="-", max="+", count=1, idle=1))


def test_a_message_is_sent_and_leaves_the_outbox(producer: Database, stream: Redis, broker_url: str) -> None:
    shipment = create(producer)
    assert waiting(producer) == 1
    send_all(producer, broker_url)
    ((_, fields),) = entries(stream)
    assert json.loads(fields["body"]) == {"shipment_id": str(shipment), "country": "DE"}
    assert waiting(producer) == 0


def test_a_change_that_is_rolled_back_sends_nothing(producer: Database) -> None:
    with producer.write() as session, suppress(RuntimeError), session.begin():
        enqueue(session, {"shipment_id": str(uuid.uuid4()), "country": "DE"})
        raise RuntimeError("the change failed")
    assert waiting(producer) == 0


def test_while_the_broker_is_unavailable_messages_wait(producer: Database, stream: Redis, broker_url: str) -> None:
    create(producer)
    send_all(producer, NOWHERE)
    assert waiting(producer) == 1
    send_all(producer, broker_url)
    assert entries(stream) == []  # the pause after the failed attempt is not over
    expire_leases(producer)
    send_all(producer, broker_url)
    assert (len(entries(stream)), waiting(producer)) == (1, 0)


def test_a_message_that_one_worker_holds_is_skipped_by_another(
    producer: Database, stream: Redis, broker_url: str
) -> None:
    create(producer)
    with producer.write() as dead:
        assert outbox._acquire(dead)
        send_all(producer, broker_url)
        assert entries(stream) == []
    expire_leases(producer)  # that worker died
    send_all(producer, broker_url)
    assert len(entries(stream)) == 1


def test_a_message_that_is_sent_twice_takes_effect_once(
    producer: Database, consumer: Database, stream: Redis, broker_url: str
) -> None:
    shipment = create(producer)
    send_all(producer, broker_url)
    ((_, fields),) = entries(stream)
    stream.xadd(STREAM, fields)  # the worker died between sending and deleting
    process_all(consumer, Subscription(broker_url))
    assert labels_of(consumer, shipment) == 1
    assert entries(stream) == []


def test_a_message_that_a_dead_consumer_left_is_processed_by_another(
    producer: Database, consumer: Database, stream: Redis, broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipment = create(producer)
    send_all(producer, broker_url)
    dead = Subscription(broker_url)
    assert until(dead.receive)
    process_all(consumer, Subscription(broker_url))
    assert labels_of(consumer, shipment) == 0
    monkeypatch.setattr(outbox_consumer, "CLAIM_AFTER", 1)
    wait_until_left(stream)
    process_all(consumer, Subscription(broker_url))
    assert labels_of(consumer, shipment) == 1


def test_a_poisonous_message_becomes_a_dead_letter_and_stops_no_other(
    producer: Database,
    consumer: Database,
    stream: Redis,
    broker_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream.xadd(STREAM, {"id": str(uuid.uuid4()), "body": '{"country": "secret"}', "traceparent": ""})
    subscription = Subscription(broker_url)
    with consumer.write() as session:
        with pytest.raises(ValueError, match="shipment_id") as error:
            process_next(session, subscription)
        assert "secret" not in str(error.value)
    shipment = create(producer)
    send_all(producer, broker_url)
    process_all(consumer, subscription)
    assert labels_of(consumer, shipment) == 1
    monkeypatch.setattr(outbox_consumer, "CLAIM_AFTER", 1)
    for _ in range(MAX_DELIVERIES - 1):
        wait_until_left(stream)
        with consumer.write() as session, pytest.raises(ValueError, match="shipment_id"):
            process_next(session, subscription)
    wait_until_left(stream)
    process_all(consumer, subscription)
    assert (entries(stream), len(entries(stream, DEAD_LETTERS))) == ([], 1)


@pytest.fixture(scope="module")
def services(
    start: Start, tmp_path_factory: pytest.TempPathFactory, broker_url: str
) -> Iterator[tuple[ServiceProcess, ServiceProcess]]:
    """Producer and consumer, as two services."""
    folder = tmp_path_factory.mktemp("outbox")
    Redis.from_url(broker_url).flushall()  # the consumer makes its group itself
    with ExitStack() as stack:
        pair = tuple(
            stack.enter_context(
                start(
                    module.__name__.rpartition(".")[2],
                    DATABASE_URL=make_tables(sqlite_url(folder, module.__name__), module.Base.metadata),
                    BROKER_URL=broker_url,
                )
            )
            for module in (outbox, outbox_consumer)
        )
        for service in pair:
            until(service.ready)
        yield pair  # type: ignore[misc]


def test_the_trace_of_the_request_goes_on_in_the_consumer_and_the_worker_links_to_it(
    services: tuple[ServiceProcess, ServiceProcess], receiver: Receiver
) -> None:
    producer, consumer = services
    response = requests.post(f"{producer.url}/shipments", json={"country": "DE"}, timeout=60)
    assert response.status_code == 201
    shipment = response.json()["id"]
    until(lambda: consumer.get(f"/labels/{shipment}").status_code == 200)

    process = receiver.span(name="process shipments", kind="CONSUMER")
    create = receiver.span(name="create shipments", kind="PRODUCER")
    send = receiver.span(name="send shipments", kind="CLIENT")
    (server,) = matching(receiver.spans, name="POST /shipments", kind="SERVER")
    assert create.trace_id == process.trace_id == server.trace_id
    assert (create.parent_id, process.parent_id) == (server.span_id, create.span_id)
    assert send.trace_id != create.trace_id
    assert send.links == process.links == [(create.trace_id, create.span_id)]
    for span, operation in ((create, "create"), (send, "send"), (process, "process")):
        messaging = {name: text for name, text in span.attributes.items() if name.startswith("messaging.")}
        assert messaging == {
            "messaging.system": "redis",
            "messaging.destination.name": STREAM,
            "messaging.operation.name": operation,
            "messaging.operation.type": operation,
            "messaging.message.id": create.attributes["messaging.message.id"],
            **({"messaging.consumer.group.name": "labels"} if operation == "process" else {}),
        }


@pytest.mark.usefixtures("services")
def test_polling_leaves_no_spans_and_the_age_of_the_oldest_message_is_reported(receiver: Receiver) -> None:
    until(lambda: matching(receiver.points, name="outbox.oldest_message.age", value=0))
    roots = {span.name for span in receiver.spans if not span.parent_id}
    assert roots <= {"POST /shipments", "GET /labels/<uuid:shipment_id>", "send shipments"}
