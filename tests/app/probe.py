"""A service without a business, that does on request what the tests of the kit look at."""

import logging
import time
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import svcs
from flask import Flask, Response, jsonify
from flask_openapi3 import APIBlueprint
from opentelemetry import trace
from pydantic import BaseModel, Field, SecretStr
from sqlalchemy import MetaData, String, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from app.background import Task
from app.blueprints import QuietBlueprint
from app.cache import Cache
from app.config import DatabaseSettings, RedisUrl, ServiceSettings, load_settings
from app.database import UtcDateTime, read_session, write_session
from app.dependency_errors import DependencyRefused, DependencyUnavailable, InvalidResponse
from app.factory import create_service
from app.http_client import ServiceClient
from app.problems import ProblemError
from app.schemas import RequestBody

logger = logging.getLogger("probe")
tracer = trace.get_tracer("probe")
blueprint = APIBlueprint("probe", __name__)
files = QuietBlueprint("files", __name__)


class Settings(DatabaseSettings, ServiceSettings):
    """The kit's settings, a cache, a peer, and whether a background task runs."""

    cache_url: RedisUrl = SecretStr("redis://127.0.0.1:1/0")
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


class NewThing(RequestBody):
    """What POST /things takes."""

    name: str = Field(max_length=50)


class ThingName(BaseModel):
    """The part of a thing that is cached."""

    name: str


class LogQuery(BaseModel):
    """What is to be logged."""

    message: str


class SleepQuery(BaseModel):
    """How long to take for the answer."""

    seconds: float


class AbsentPeer(ServiceClient):
    """A peer that is unavailable."""


class Taken(ProblemError, name="taken", status=HTTPStatus.CONFLICT, title="Taken"):
    """Somebody has it."""


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

    def load() -> ThingName | None:
        with session.begin():
            name = session.scalar(select(Thing.name).where(Thing.id == path.thing_id))
        return None if name is None else ThingName(name=name)

    found = svcs.flask.get(Cache).get_or_load(f"thing:{path.thing_id}", ThingName, load)
    logger.info("looked for thing %d", path.thing_id, extra={"probe.found": found is not None})
    return {"name": found and found.name}


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
    raise DependencyUnavailable("peer", "GET /: ConnectTimeout")


@blueprint.get("/refused")
def refused() -> dict[str, Any]:
    """Be refused by a dependency."""
    raise DependencyRefused("peer", 409, "taken", "kept for the log")


@blueprint.get("/misunderstood")
def misunderstood() -> dict[str, Any]:
    """Get a response from a dependency that breaks the contract."""
    raise InvalidResponse("peer", "GET /: kept for the log")


@blueprint.get("/taken")
def taken() -> dict[str, Any]:
    """Refuse."""
    raise Taken("Somebody has it.")


@blueprint.get("/call-peer")
def call_peer() -> dict[str, Any]:
    """Call the peer."""
    svcs.flask.get(ServiceClient).call("GET", "/hello?token=s3cret", Ok)
    return {}


@blueprint.get("/call-breaking-peer")
def call_breaking_peer() -> dict[str, Any]:
    """Call the peer for a response that breaks off."""
    svcs.flask.get(ServiceClient).call("POST", "/half-a-body", Ok)
    return {}


@blueprint.get("/call-absent-peer")
def call_absent_peer() -> dict[str, Any]:
    """Call a peer that is unavailable."""
    svcs.flask.get(AbsentPeer).call("GET", "/hello", Ok)
    return {}


@files.get("/files/<path:name>")
def read_file(name: str) -> Response:
    """Answer without a trace of it."""
    return Response(name, mimetype="text/plain")


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
        settings,
        blueprint,
        files,
        version="1.2.3",
        metadata=Base.metadata,
        background=(Task("tick", settings.tick, tick),) if settings.tick else (),
        dependencies={
            Cache: Cache(settings.cache_url.get_secret_value(), ttl=60, pool_size=settings.threads),
            ServiceClient: ServiceClient("peer", settings.peer_url, pool_size=settings.threads),
            AbsentPeer: AbsentPeer("absent-peer", "http://127.0.0.1:1", pool_size=settings.threads),
        },
    )
