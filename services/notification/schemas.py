"""The JSON of notification-service's API; OpenAPI and validation both come from it."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, Field

from app.schemas import RequestBody, ResponseBody
from services.notification.models import Template


class NotificationPath(BaseModel):
    """The notification of a URL: an order has one of each template."""

    order_id: UUID
    template: Template


class NewNotification(RequestBody):
    """What PUT /notifications/{order_id}/{template} takes."""

    customer_id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$", json_schema_extra={"example": "cus_42"})


class NotificationResponse(ResponseBody):
    """A notification and when it was sent."""

    order_id: UUID
    template: Template
    sent_at: datetime | None
