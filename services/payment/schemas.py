"""The JSON of payment-service's API; OpenAPI and validation both come from it."""

from uuid import UUID

from pydantic import Field

from app.schemas import JsonUUID, RequestBody, ResponseBody
from services.payment.models import ChargeStatus


class NewCharge(RequestBody):
    """What POST /charges takes; `amount` in minor units of `currency`."""

    order_id: JsonUUID
    payment_token: str = Field(pattern=r"^tok_[a-z0-9_]{1,60}$", json_schema_extra={"example": "tok_approve"})
    amount: int = Field(ge=1, le=10**12)
    currency: str = Field(pattern=r"^[A-Z]{3}$", json_schema_extra={"example": "EUR"})


class NewRefund(RequestBody):
    """What POST /refunds takes."""

    order_id: JsonUUID


class ChargeResponse(ResponseBody):
    """A charge; `amount` in minor units of `currency`, null if it was voided before it came."""

    order_id: UUID
    status: ChargeStatus
    amount: int | None
    currency: str | None
