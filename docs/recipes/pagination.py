"""Pagination by keyset: a page begins after the last row of the one before, whatever was inserted meanwhile."""

import base64
import binascii
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from flask import Flask
from flask_openapi3 import APIBlueprint
from pydantic import BaseModel, Field
from sqlalchemy import Index, MetaData, String, select, tuple_
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from app.config import DatabaseSettings, ServiceSettings, load_settings
from app.database import NAMING_CONVENTION, UtcDateTime, read_session
from app.errors import InvalidRequest, problem_responses
from app.factory import create_service
from app.problems import InvalidField
from app.schemas import ResponseBody


class Base(DeclarativeBase):
    """The tables of the service."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class Event(Base):
    """Something that happened. The id makes the order total: two events can have the same time."""

    __tablename__ = "events"
    __table_args__ = (Index("ix_events_page", "happened_at", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str] = mapped_column(String(50))
    happened_at: Mapped[datetime] = mapped_column(UtcDateTime, default=lambda: datetime.now(UTC))


def cursor_of(event: Event) -> str:
    """Return the cursor of the page after `event`. It is opaque, so that its content can change."""
    return base64.urlsafe_b64encode(f"{event.happened_at.isoformat()} {event.id}".encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> tuple[datetime, UUID]:
    """Return what `cursor_of` wrote; raises InvalidRequest for anything else."""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        time, event_id = text.split(" ")
        return datetime.fromisoformat(time).astimezone(UTC), UUID(event_id)
    except (ValueError, binascii.Error, OverflowError):
        reason = "no page ended with this cursor"
        raise InvalidRequest(f"cursor: {reason}", [InvalidField(field="cursor", reason=reason)]) from None


def list_events(session: Session, limit: int, cursor: str | None) -> tuple[list[Event], str | None]:
    """Return at most `limit` events, newest first, and the cursor of the next page if there is one."""
    # One row more than the page has shows whether another page follows, without a count of all rows.
    query = select(Event).order_by(Event.happened_at.desc(), Event.id.desc()).limit(limit + 1)
    if cursor is not None:
        query = query.where(tuple_(Event.happened_at, Event.id) < read_cursor(cursor))
    with session.begin():
        events = list(session.scalars(query))
    page = events[:limit]
    return page, cursor_of(page[-1]) if len(events) > limit else None


class PageQuery(BaseModel):
    """Which page."""

    limit: int = Field(default=50, ge=1, le=200)
    cursor: str | None = Field(default=None, max_length=200)


class EventResponse(ResponseBody):
    """An event."""

    id: UUID
    name: str
    happened_at: datetime


class EventPage(ResponseBody):
    """A page; `next_cursor` is null on the last."""

    events: list[EventResponse]
    next_cursor: str | None


blueprint = APIBlueprint("events", __name__)


@blueprint.get("/events", responses={200: EventPage, **problem_responses(422, 503)})
def read_events(query: PageQuery) -> dict[str, Any]:
    """Events, newest first, a page at a time."""
    events, next_cursor = list_events(read_session(), query.limit, query.cursor)
    return EventPage.of({"events": events, "next_cursor": next_cursor})


class Settings(DatabaseSettings, ServiceSettings):
    """The kit's settings."""


def create_app() -> Flask:
    """Return the service. Settings come from the environment."""
    return create_service("event-service", load_settings(Settings), blueprint, version="1.0.0", metadata=Base.metadata)
