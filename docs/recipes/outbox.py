"""Transactional outbox: a message is written in the transaction of the change that it reports, and sent afterwards."""

import json
import logging
import uuid
from datetime import datetime, timedelta
from typing import Any

from flask import Flask
from flask_openapi3 import APIBlueprint
from opentelemetry import metrics, trace
from opentelemetry.trace import Link, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from pydantic import Field
from redis import Redis, RedisError
from sqlalchemy import MetaData, String, Text, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from app.background import Task
from app.config import DatabaseSettings, RedisUrl, ServiceSettings, load_settings
from app.database import NAMING_CONVENTION, DatabaseTime, UtcDateTime, write_session
from app.errors import problem_responses
from app.factory import create_service
from app.schemas import RequestBody, ResponseBody
from app.telemetry import untraced

STREAM = "shipments"
LEASE = timedelta(seconds=10)
"""How long a worker has to send a message. It doubles with each attempt, so it is also the pause after a failure."""
MAX_LEASE = timedelta(minutes=1)

logger = logging.getLogger(__name__)
tracer = trace.get_tracer(__name__)
oldest_message = metrics.get_meter(__name__).create_gauge(
    "outbox.oldest_message.age", unit="s", description="Age of the oldest message that was not sent yet; 0 without any."
)
trace_context = TraceContextTextMapPropagator()


class Base(DeclarativeBase):
    """The tables of the producer."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class Shipment(Base):
    """The change that others must learn of."""

    __tablename__ = "shipments"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    country: Mapped[str] = mapped_column(String(2))


class OutboxMessage(Base):
    """A message that waits to be sent; it is deleted once the broker has it."""

    __tablename__ = "outbox"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    body: Mapped[str] = mapped_column(Text)
    traceparent: Mapped[str | None] = mapped_column(String(55))
    attempts: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=DatabaseTime())
    next_attempt_at: Mapped[datetime] = mapped_column(UtcDateTime, default=DatabaseTime(), index=True)


class Broker:
    """A Valkey or Redis stream. It needs `appendonly yes` and `maxmemory-policy noeviction`: not the cache's server."""

    def __init__(self, url: str) -> None:
        self._redis = Redis.from_url(url, socket_connect_timeout=1, socket_timeout=2, driver_info=None)

    def send(self, message: OutboxMessage) -> None:
        """Append `message` to the stream; raises RedisError. It may have been appended all the same."""
        fields: dict[Any, Any] = {
            "id": str(message.id),
            "body": message.body,
            "traceparent": message.traceparent or "",
        }
        self._redis.xadd(STREAM, fields)


def enqueue(session: Session, body: dict[str, Any]) -> None:
    """Write a message in the caller's transaction. Its PRODUCER span is the message's creation context."""
    message_id, carrier = uuid.uuid4(), dict[str, str]()
    with tracer.start_as_current_span(
        f"create {STREAM}", kind=SpanKind.PRODUCER, attributes=attributes_of("create", message_id)
    ):
        trace_context.inject(carrier)
    session.add(OutboxMessage(id=message_id, body=json.dumps(body), traceparent=carrier.get("traceparent")))


def send_next(session: Session, broker: Broker) -> bool:
    """Send the message that is due first. Return whether there may be another.

    A worker that dies between sending and deleting leaves a message that is sent again when its lease has expired:
    at least once, and in no certain order.
    """
    with untraced():
        message = _acquire(session)
    if message is None:
        return False
    creation = trace.get_current_span(trace_context.extract({"traceparent": message.traceparent or ""}))
    try:
        with tracer.start_as_current_span(
            f"send {STREAM}",
            kind=SpanKind.CLIENT,
            attributes=attributes_of("send", message.id),
            links=[Link(creation.get_span_context())],
        ):
            broker.send(message)
    except RedisError as error:
        logger.warning("message %s was not sent; it is tried again later: %s", message.id, error)
        return False
    with untraced(), session.begin():
        session.delete(message)
    return True


def _acquire(session: Session) -> OutboxMessage | None:
    """Lease the message that is due first: in PostgreSQL other workers skip its row, in SQLite they wait."""
    query = (
        select(OutboxMessage, DatabaseTime())
        .where(OutboxMessage.next_attempt_at <= DatabaseTime())
        .order_by(OutboxMessage.next_attempt_at)
        .limit(1)
        .with_for_update(skip_locked=True, of=OutboxMessage)
    )
    with session.begin():
        found = session.execute(query).one_or_none()
        if found is None:
            return None
        message: OutboxMessage = found[0]
        # 2**attempts overflows timedelta after 1,000 attempts, so the exponent is capped.
        message.next_attempt_at = found[1] + min(LEASE * 2 ** min(message.attempts, 10), MAX_LEASE)
        message.attempts += 1
    return message


def watch(session: Session) -> bool:
    """Report the age of the oldest message: it grows while the broker is unavailable or no worker runs."""
    with untraced(), session.begin():
        oldest, now = session.execute(select(func.min(OutboxMessage.created_at), DatabaseTime())).one()
    oldest_message.set((now - oldest).total_seconds() if oldest else 0)
    return False


def attributes_of(operation: str, message_id: uuid.UUID) -> dict[str, str]:
    """Return the attributes of a messaging span: opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/."""
    return {
        "messaging.system": "redis",
        "messaging.destination.name": STREAM,
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.message.id": str(message_id),
    }


class NewShipment(RequestBody):
    """What POST /shipments takes."""

    country: str = Field(pattern=r"^[A-Z]{2}$", json_schema_extra={"example": "DE"})


class ShipmentResponse(ResponseBody):
    """A shipment."""

    id: uuid.UUID
    country: str


blueprint = APIBlueprint("shipments", __name__)


@blueprint.post("/shipments", responses={201: ShipmentResponse, **problem_responses(400, 413, 415, 422, 503)})
def post_shipment(body: NewShipment) -> tuple[dict[str, Any], int]:
    """Create a shipment. The response does not wait for the broker."""
    shipment = Shipment(id=uuid.uuid4(), country=body.country)
    session = write_session()
    with session.begin():
        session.add(shipment)
        enqueue(session, {"shipment_id": str(shipment.id), "country": shipment.country})
    return ShipmentResponse.of(shipment), 201


class Settings(DatabaseSettings, ServiceSettings):
    """The kit's settings and the broker."""

    broker_url: RedisUrl


def create_app() -> Flask:
    """Return the producer. Settings come from the environment."""
    settings = load_settings(Settings)
    broker = Broker(settings.broker_url.get_secret_value())
    return create_service(
        "shipping-service",
        settings,
        blueprint,
        version="1.0.0",
        metadata=Base.metadata,
        background=(
            Task("send-outbox", interval=0.5, run=lambda: send_next(write_session(), broker)),
            Task("watch-outbox", interval=2.0, run=lambda: watch(write_session())),
        ),
    )
