"""Notes, and the rule that a note never changes."""

import uuid
from datetime import datetime
from http import HTTPStatus

from sqlalchemy import MetaData, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from app.database import NAMING_CONVENTION, UtcDateTime
from app.problems import ProblemError


class NoteDiffers(ProblemError, name="note-differs", status=HTTPStatus.CONFLICT, title="Note differs"):
    """There is a note of this id with another label."""


class Base(DeclarativeBase):
    """The tables of skeleton-service."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class Note(Base):
    """A note; its client chooses the id."""

    __tablename__ = "notes"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    label: Mapped[str] = mapped_column(String(64))
    notification_version: Mapped[str] = mapped_column(String(32))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
