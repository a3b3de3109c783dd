"""The JSON of inventory-service's API; OpenAPI and validation both come from it."""

from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field

from app.schemas import RequestBody, ResponseBody
from services.inventory.models import ReservationStatus

SKU_PATTERN = r"^[A-Z0-9][A-Z0-9-]{0,31}$"


class NewReservationLine(RequestBody):
    """How many of which item."""

    sku: str = Field(pattern=SKU_PATTERN, json_schema_extra={"example": "TEA-SENCHA"})
    quantity: int = Field(ge=1, le=1000)


def _each_sku_once(lines: list[NewReservationLine]) -> list[NewReservationLine]:
    if len({line.sku for line in lines}) < len(lines):
        raise ValueError("each sku may stand in one line only")
    return lines


class ReservationPath(BaseModel):
    """The reservation of a URL: an order has one."""

    order_id: UUID


class NewReservation(RequestBody):
    """What PUT /reservations/{order_id} takes."""

    lines: Annotated[list[NewReservationLine], AfterValidator(_each_sku_once)] = Field(min_length=1, max_length=20)


class NewRelease(RequestBody):
    """What PUT /reservations/{order_id}/release takes: an object without fields."""


class ReservationLineResponse(ResponseBody):
    """Pieces of one item; `unit_price` in minor units."""

    sku: str
    quantity: int
    unit_price: int


class ReservationResponse(ResponseBody):
    """The stock set aside for an order."""

    order_id: UUID
    status: ReservationStatus
    currency: str | None
    lines: list[ReservationLineResponse]


class ItemPath(BaseModel):
    """The item of a URL."""

    sku: str = Field(pattern=SKU_PATTERN, json_schema_extra={"example": "TEA-SENCHA"})


class ItemResponse(ResponseBody):
    """An item; `price` in minor units of `currency`, `stock` the pieces left."""

    sku: str
    name: str
    price: int
    currency: str
    stock: int


class ItemList(ResponseBody):
    """The whole catalogue, by sku."""

    items: list[ItemResponse]
