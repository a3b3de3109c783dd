"""An idempotent consumer: a message that is delivered twice takes effect once, and a poisonous one stops no other."""

import logging
import os
import socket
import uuid
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Flask
from flask_openapi3 import APIBlueprint
from opentelemetry import trace
from opentelemetry.trace import Link, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from pydantic import BaseModel, ConfigDict
from redis import Redis, ResponseError
from sqlalchemy import MetaData, String, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from werkzeug.exceptions import NotFound

from app.background import Task
from app.config import DatabaseSettings, RedisUrl, ServiceSettings, load_settings
from app.database import NAMING_CONVENTION, DatabaseTime, UtcDateTime, insert_once, read_session, write_session
from app.errors import problem_responses
from app.factory import create_service
from app.schemas import ResponseBody
from app.telemetry import untraced

STREAM, DEAD_LETTERS = "shipments", "shipments.dead-letters"
GROUP = "labels"
CLAIM_AFTER = 60_000
"""Milliseconds after which a message that was delivered and not acknowledged is delivered again, to any consumer."""
MAX_DELIVERIES = 5

logger = logging.getLogger(__name__)
tracer = trace.get_tracer(__name__)
trace_context = TraceContextTextMapPropagator()


class Base(DeclarativeBase):
    """The tables of the consumer."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class ProcessedMessage(Base):
    """A message whose effect is committed. Delete rows that are older than a message can be, such as a week."""

    __tablename__ = "processed_messages"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    processed_at: Mapped[datetime] = mapped_column(UtcDateTime, default=DatabaseTime(), index=True)


class Label(Base):
    """The effect of a message."""

    __tablename__ = "labels"

    id: Mapped[int] = mapped_column(primary_key=True)
    shipment_id: Mapped[uuid.UUID] = mapped_column(index=True)
    country: Mapped[str] = mapped_column(String(2))


class ShipmentCreated(BaseModel):
    """The body of a message. Its values stay out of the text of an error, and so out of telemetry."""

    model_config = ConfigDict(hide_input_in_errors=True)

    shipment_id: uuid.UUID
    country: str


@dataclass(frozen=True)
class Delivery:
    """A message of the stream: the id of its entry, its fields, and how often it was delivered."""

    entry: str
    fields: dict[str, str]
    count: int = 1


class Subscription:
    """This process as a consumer of the group: each message goes to one consumer of the group at a time."""

    def __init__(self, url: str) -> None:
        self._name = f"{socket.gethostname()}-{os.getpid()}"
        self._redis = Redis.from_url(
            url, socket_connect_timeout=1, socket_timeout=2, decode_responses=True, driver_info=None
        )

    def receive(self) -> Delivery | None:
        """Return a message that a consumer left, or else the next new one, or None."""
        try:
            return self._claim() or self._read()
        except ResponseError:  # there is no group yet, or the server lost it
            with suppress(ResponseError):  # another consumer was first
                self._redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
            return None

    def acknowledge(self, delivery: Delivery) -> None:
        """Have the message delivered no more. It is deleted too, since this group is the only one."""
        self._redis.xack(STREAM, GROUP, delivery.entry)
        self._redis.xdel(STREAM, delivery.entry)

    def reject(self, delivery: Delivery) -> None:
        """Move the message to the dead letters, where it waits for a person."""
        fields: dict[Any, Any] = delivery.fields
        self._redis.xadd(DEAD_LETTERS, fields)
        self.acknowledge(delivery)

    def _claim(self) -> Delivery | None:
        pending: Any = self._redis.xpending_range(STREAM, GROUP, min="-", max="+", count=1, idle=CLAIM_AFTER)
        for left in pending:
            claimed: Any = self._redis.xclaim(STREAM, GROUP, self._name, CLAIM_AFTER, [left["message_id"]])
            for entry, fields in claimed:
                return Delivery(entry, fields, left["times_delivered"] + 1)
        return None

    def _read(self) -> Delivery | None:
        # redis-py returns a list of streams, or with RESP3 a dict of them whose entries are nested once more.
        streams: Any = self._redis.xreadgroup(GROUP, self._name, {STREAM: ">"}, count=1)
        for _, entries in streams.items() if isinstance(streams, dict) else streams:
            for entry, fields in entries:
                return Delivery(entry, fields)
        return None


def process_next(session: Session, subscription: Subscription) -> bool:
    """Process one message. Return whether there may be another.

    An exception leaves the message unacknowledged: it is delivered again after CLAIM_AFTER, and after MAX_DELIVERIES
    it becomes a dead letter.
    """
    with untraced():
        delivery = subscription.receive()
    if delivery is None:
        return False
    if delivery.count > MAX_DELIVERIES:
        logger.error("message %s is a dead letter: it failed %d times", delivery.fields.get("id"), MAX_DELIVERIES)
        with untraced():
            subscription.reject(delivery)
        return True
    creation = trace_context.extract(delivery.fields)
    attributes = {
        "messaging.system": "redis",
        "messaging.destination.name": STREAM,
        "messaging.consumer.group.name": GROUP,
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.message.id": delivery.fields.get("id", ""),
    }
    with tracer.start_as_current_span(
        f"process {STREAM}",
        context=creation,
        kind=SpanKind.CONSUMER,
        attributes=attributes,
        links=[Link(trace.get_current_span(creation).get_span_context())],
    ):
        message_id = uuid.UUID(delivery.fields["id"])
        if not print_label(session, message_id, ShipmentCreated.model_validate_json(delivery.fields["body"])):
            logger.info("message %s was delivered again and changed nothing", message_id)
    with untraced():
        subscription.acknowledge(delivery)
    return True


def print_label(session: Session, message_id: uuid.UUID, shipment: ShipmentCreated) -> bool:
    """Record a label, and in the same transaction that the message was processed. Return False if it was before."""
    with session.begin():
        if not insert_once(session, ProcessedMessage(id=message_id)):
            return False
        session.add(Label(shipment_id=shipment.shipment_id, country=shipment.country))
    return True


class LabelPath(BaseModel):
    """The shipment of a URL."""

    shipment_id: uuid.UUID


class LabelResponse(ResponseBody):
    """A label."""

    shipment_id: uuid.UUID
    country: str


blueprint = APIBlueprint("labels", __name__)


@blueprint.get("/labels/<uuid:shipment_id>", responses={200: LabelResponse, **problem_responses(404, 422, 503)})
def read_label(path: LabelPath) -> dict[str, Any]:
    """Return the label of a shipment."""
    session = read_session()
    with session.begin():
        label = session.scalar(select(Label).where(Label.shipment_id == path.shipment_id))
    if label is None:
        raise NotFound(f"There is no label of shipment {path.shipment_id}.")
    return LabelResponse.of(label)


class Settings(DatabaseSettings, ServiceSettings):
    """The kit's settings and the broker."""

    broker_url: RedisUrl


def create_app() -> Flask:
    """Return the consumer. Settings come from the environment."""
    settings = load_settings(Settings)
    subscription = Subscription(settings.broker_url.get_secret_value())
    return create_service(
        "label-service",
        settings,
        blueprint,
        version="1.0.0",
        metadata=Base.metadata,
        background=(Task("process-messages", interval=0.5, run=lambda: process_next(write_session(), subscription)),),
    )
