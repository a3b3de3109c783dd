"""Notifications and whether they went out."""

import uuid
from datetime import datetime
from enum import StrEnum
from http import HTTPStatus

from sqlalchemy import MetaData, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from app.database import NAMING_CONVENTION, UtcDateTime, string_enum
from app.problems import ProblemError


class Template(StrEnum):
    """What there is to tell."""

    ORDER_CONFIRMED = "order_confirmed"


class NotificationDiffers(
    ProblemError, name="notification-differs", status=HTTPStatus.CONFLICT, title="Notification differs"
):
    """The order already has this notification, for another customer."""


class Base(DeclarativeBase):
    """The tables of notification-service."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class Notification(Base):
    """One message about one order; a template is sent once for each order."""

    __tablename__ = "notifications"

    order_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    template: Mapped[Template] = mapped_column(string_enum(Template), primary_key=True)
    customer_id: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
