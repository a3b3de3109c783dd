"""The JSON of payment-service's API; OpenAPI and validation both come from it."""

from uuid import UUID

from pydantic import BaseModel, Field

from app.schemas import RequestBody, ResponseBody
from services.payment.models import ChargeStatus


class ChargePath(BaseModel):
    """The charge of a URL: an order has one."""

    order_id: UUID


class NewCharge(RequestBody):
    """What PUT /charges/{order_id} takes; `amount` in minor units of `currency`."""

    payment_token: str = Field(pattern=r"^tok_[a-z0-9_]{1,60}$", json_schema_extra={"example": "tok_approve"})
    amount: int = Field(ge=1, le=10**12)
    currency: str = Field(pattern=r"^[A-Z]{3}$", json_schema_extra={"example": "EUR"})


class NewRefund(RequestBody):
    """What PUT /charges/{order_id}/refund takes: an object without fields."""


class ChargeResponse(ResponseBody):
    """A charge; `amount` in minor units of `currency`, null if it was voided before it came."""

    order_id: UUID
    status: ChargeStatus
    amount: int | None
    currency: str | None
