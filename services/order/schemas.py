"""The JSON of order-service's API; OpenAPI and validation both come from it."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.schemas import RequestBody, ResponseBody
from services.order.models import Reason, Status

SKU_PATTERN = r"^[A-Z0-9][A-Z0-9-]{0,31}$"


class NewOrderLine(RequestBody):
    """How many of which item."""

    sku: str = Field(pattern=SKU_PATTERN, json_schema_extra={"example": "TEA-SENCHA"})
    quantity: int = Field(ge=1, le=1000)


def _each_sku_once(lines: list[NewOrderLine]) -> list[NewOrderLine]:
    if len({line.sku for line in lines}) < len(lines):
        raise ValueError("each sku may stand in one line only")
    return lines


class NewOrder(RequestBody):
    """What POST /orders takes."""

    customer_id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$", json_schema_extra={"example": "cus_42"})
    region: Literal["eu", "us", "ap"]
    payment_token: str = Field(pattern=r"^tok_[a-z0-9_]{1,60}$", json_schema_extra={"example": "tok_approve"})
    lines: Annotated[list[NewOrderLine], AfterValidator(_each_sku_once)] = Field(min_length=1, max_length=20)


class IdempotencyHeader(BaseModel):
    """The customer's own name for this order, so that the request can be sent again without ordering twice."""

    key: str = Field(alias="Idempotency-Key", pattern=r"^[\x21-\x7E]{1,128}$")


class ItemResponse(ResponseBody):
    """An item that can be ordered; `price` in minor units of `currency`, `stock` the pieces left."""

    sku: str
    name: str
    price: int
    currency: str
    stock: int


class CatalogueResponse(ResponseBody):
    """All items, by sku."""

    items: list[ItemResponse]


class OrderPath(BaseModel):
    """The order of a URL."""

    order_id: UUID


class OrderQuery(BaseModel):
    """Which page of the orders."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=20, ge=1, le=100)
    cursor: UUID | None = Field(default=None, description="the `next_cursor` of the page before")


class OrderLineResponse(ResponseBody):
    """One line; `unit_price` in minor units, known once the stock is reserved."""

    sku: str
    quantity: int
    unit_price: int | None


class OrderResponse(ResponseBody):
    """An order as its customer sees it; `total` in minor units of `currency`."""

    id: UUID
    status: Status
    reason: Reason | None
    customer_id: str
    region: str
    currency: str | None
    total: int | None
    lines: list[OrderLineResponse]
    created_at: datetime
    updated_at: datetime


class OrderPage(ResponseBody):
    """Orders, newest first; `next_cursor` is null on the last page."""

    orders: list[OrderResponse]
    next_cursor: UUID | None
