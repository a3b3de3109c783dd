"""A service without a business, that does on request what the tests of the kit look at."""

import logging
import time
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, current_app, jsonify
from flask_openapi3 import APIBlueprint
from opentelemetry import trace
from pydantic import BaseModel, Field
from sqlalchemy import MetaData, String, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from app.background import Task
from app.cache import Cache
from app.config import Settings as ServiceSettings
from app.config import load_settings
from app.database import UtcDateTime, read_session, write_session
from app.factory import create_service
from app.http_client import Peer, PeerUnavailable
from app.problems import ProblemError
from app.schemas import Request

logger = logging.getLogger("probe")
tracer = trace.get_tracer("probe")
blueprint = APIBlueprint("probe", __name__)


class Settings(ServiceSettings):
    """The kit's settings, a cache, a peer, and whether a background task runs."""

    cache_url: str = "redis://127.0.0.1:1/0"
    peer_url: str = "http://127.0.0.1:1"
    tick: float = Field(default=0, ge=0)
    """Seconds between two ticks of the background task; 0 for none."""


class Base(DeclarativeBase):
    """The table of the probe."""

    metadata = MetaData()


class Thing(Base):
    """Something with a name that is nobody's business."""

    __tablename__ = "things"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50))
    made_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Ok(BaseModel):
    """An answer of which only the arrival matters."""


class ThingPath(BaseModel):
    """The thing of a URL."""

    thing_id: int


class NewThing(Request):
    """What POST /things takes."""

    name: str = Field(max_length=50)


class LogQuery(BaseModel):
    """What is to be logged."""

    message: str


class SleepQuery(BaseModel):
    """How long to take for the answer."""

    seconds: float


class Taken(ProblemError):
    """Somebody has it."""

    name, status, title = "taken", HTTPStatus.CONFLICT, "Taken"


@blueprint.post("/things")
def post_thing(body: NewThing) -> dict[str, Any]:
    """Write a row."""
    thing = Thing(name=body.name, made_at=datetime.now(UTC))
    with write_session() as session, session.begin():
        session.add(thing)
    return {"id": thing.id}


@blueprint.get("/things/<int:thing_id>")
def get_thing(path: ThingPath) -> dict[str, Any]:
    """Read a row through the cache, and log that twice: as a message, and with arguments and an extra field."""
    session = read_session()

    def load() -> Any:
        with session.begin():
            return session.scalar(select(Thing.name).where(Thing.id == path.thing_id))

    name = current_app.extensions["cache"].get_or_load(f"thing:{path.thing_id}", load)
    logger.info("looked for thing %d", path.thing_id, extra={"probe.found": name is not None})
    return {"name": name}


@blueprint.get("/log")
def log(query: LogQuery) -> dict[str, Any]:
    """Log a message as it comes."""
    logger.info(query.message)
    return {}


@blueprint.get("/awkward-logs")
def awkward_logs() -> dict[str, Any]:
    """Log what nobody should, between two good lines."""
    logger.info("before the awkward")
    for message, *arguments in AWKWARD_CALLS:
        logger.info(message, *arguments)
    for extra in AWKWARD_EXTRAS:
        logger.info("awkward extra", extra=extra)
    logger.info("after the awkward")
    return {}


class Unprintable:
    """Something whose text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


RECURSIVE: list[Any] = []
RECURSIVE.append(RECURSIVE)
DEEP: list[Any] = []
for _ in range(100_000):
    DEEP = [DEEP]
NOW = datetime(2026, 11, 25, tzinfo=UTC)
AWKWARD_CALLS: list[tuple[Any, ...]] = [
    ("two\nlines and a \"quote\" and a 'quote'",),
    ("NUL \0 and escape \x1b[31m",),
    ("a lone surrogate \udcff",),
    ("100 % sure",),
    ("%d pieces", "many"),
    ("%s", "one", "too many"),
    ("%s", Unprintable()),
    ("%d", 10**5000),
    (b"\xff\xfe",),
    ("huge " + "x" * 1_000_000,),
    ({"level": "forged", "trace_id": "forged", "timestamp": "forged"},),
    (Unprintable(),),
    (Unprintable(), 1),
    ({"nested": Unprintable(), "message": DEEP},),
]
AWKWARD_EXTRAS: list[dict[str, Any]] = [
    {"unprintable": Unprintable()},
    {"recursive": RECURSIVE},
    {"surrogate": "\udcff"},
    {"trace_id": "forged", "level": "forged", "timestamp": "forged", "logger": "forged"},
    {"deep": DEEP},
    {"huge": 10**5000, "beyond": 2**64, "nan": float("nan"), "inf": float("inf")},
    {"event.name": Unprintable(), "bytes": b"\xff", "time": NOW, "set": {1}, "mapping": {1: {"\udcff": Unprintable()}}},
]


@blueprint.get("/boom")
def boom() -> dict[str, Any]:
    """Fail in a way that nobody foresaw."""
    raise RuntimeError("boom with\ntwo lines")


@blueprint.get("/bad-sql")
def bad_sql() -> dict[str, Any]:
    """Send a statement that the database refuses, with a parameter."""
    with write_session() as session, session.begin():
        session.execute(text("SELECT * FROM nowhere WHERE secret = :secret"), {"secret": "-".join(("s3", "cret"))})
    return {}


@blueprint.get("/away")
def away() -> dict[str, Any]:
    """Need a peer that is away."""
    raise PeerUnavailable("peer", "GET /: ConnectTimeout")


@blueprint.get("/taken")
def taken() -> dict[str, Any]:
    """Refuse."""
    raise Taken("Somebody has it.")


@blueprint.get("/call-peer")
def call_peer() -> dict[str, Any]:
    """Call the peer."""
    current_app.extensions["peer"].call("GET", "/hello?token=s3cret", Ok)
    return {}


@blueprint.get("/call-breaking-peer")
def call_breaking_peer() -> dict[str, Any]:
    """Call the peer for a response that breaks off."""
    current_app.extensions["peer"].call("POST", "/half-a-body", Ok)
    return {}


@blueprint.get("/call-absent-peer")
def call_absent_peer() -> dict[str, Any]:
    """Call a peer that is unavailable."""
    current_app.extensions["absent_peer"].call("GET", "/hello", Ok)
    return {}


@blueprint.get("/busy")
def busy() -> dict[str, Any]:
    """Leave many large spans and log records."""
    for n in range(20):
        with tracer.start_as_current_span("work", attributes={"probe.padding": f"{n:3000}"}):
            logger.info("working on %3000d", n)
    return {}


@blueprint.get("/sleep")
def sleep(query: SleepQuery) -> dict[str, Any]:
    """Take a while."""
    time.sleep(query.seconds)
    return {}


class LargeQuery(BaseModel):
    """How much to answer."""

    size: int


@blueprint.get("/large")
def large(query: LargeQuery) -> Response:
    """Answer with a long string."""
    return jsonify("x" * query.size)


def tick() -> bool:
    """What the background task does."""
    logger.info("tick")
    return False


def create_app() -> Flask:
    """The WSGI application; settings come from the environment."""
    settings = load_settings(Settings)
    return create_service(
        "probe",
        blueprint,
        settings,
        Base.metadata,
        version="1.2.3",
        background=(Task("tick", settings.tick, tick),) if settings.tick else (),
        cache=Cache(settings.cache_url, ttl=60, pool_size=settings.threads),
        peer=Peer("peer", settings.peer_url, pool_size=settings.threads),
        absent_peer=Peer("absent-peer", "http://127.0.0.1:1", pool_size=settings.threads),
    )
