"""The JSON of notification-service's API; OpenAPI and validation both come from it."""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from app.schemas import JsonUUID, RequestBody, ResponseBody
from services.notification.models import Template


class NewNotification(RequestBody):
    """What POST /notifications takes."""

    order_id: JsonUUID
    customer_id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$", json_schema_extra={"example": "cus_42"})
    template: Template = Field(strict=False)  # as JsonUUID


class NotificationResponse(ResponseBody):
    """A notification and when it was sent."""

    order_id: UUID
    template: Template
    sent_at: datetime | None
