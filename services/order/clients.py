"""The three services that order-service calls, each call idempotent under the order's id.

A response is compared with its request: one about another order, item, amount or state is an invalid response.
"""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from app.dependency_errors import InvalidResponse
from app.http_client import ServiceClient
from services.order.models import Order
from services.order.schemas import SKU_PATTERN
from services.order.settings import Settings

Sku = Annotated[str, Field(pattern=SKU_PATTERN)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
Count = Annotated[int, Field(ge=0, le=2**31 - 1)]
"""Fits an INTEGER column; minor units of a price, or pieces of an item."""


class ResponseBody(BaseModel):
    """The part of a response that is used; no type is guessed, and other fields are ignored."""

    model_config = ConfigDict(strict=True)


class ReservedLine(ResponseBody):
    """Reserved pieces of one item; `unit_price` in minor units."""

    sku: Sku
    quantity: Count
    unit_price: Count


class Reservation(ResponseBody):
    """What inventory-service returns for a reservation."""

    order_id: UUID
    status: Literal["HELD"]
    currency: Currency
    lines: list[ReservedLine] = Field(max_length=20)


class Release(ResponseBody):
    """What inventory-service returns for a release."""

    order_id: UUID
    status: Literal["RELEASED"]


class Item(ResponseBody):
    """An item of the catalogue; `price` in minor units of `currency`, `stock` the pieces left."""

    sku: Sku
    name: str = Field(max_length=100)
    price: Count
    currency: Currency
    stock: Count


class Catalogue(ResponseBody):
    """What inventory-service has to sell."""

    items: list[Item] = Field(max_length=10_000)


class Charge(ResponseBody):
    """What payment-service returns for a charge that was made; `amount` in minor units of `currency`."""

    order_id: UUID
    status: Literal["APPROVED"]
    amount: int
    currency: Currency


class Refund(ResponseBody):
    """What payment-service returns for a refund: no money of the order is held, for one reason or another."""

    order_id: UUID
    status: Literal["REFUNDED", "VOIDED", "DECLINED"]


class Notification(ResponseBody):
    """What notification-service returns once the notification was sent."""

    order_id: UUID
    template: str = Field(max_length=64)
    sent_at: AwareDatetime


class Clients:
    """Calls raise the DependencyUnavailable, DependencyRefused or InvalidResponse of app.dependency_errors."""

    def __init__(self, settings: Settings) -> None:
        def client(name: str, url: str, background: int) -> ServiceClient:
            return ServiceClient(name, url, pool_size=settings.threads + background)

        self._inventory = client("inventory-service", settings.inventory_url, settings.recoveries)
        self._payment = client("payment-service", settings.payment_url, settings.recoveries)
        self._notification = client("notification-service", settings.notification_url, settings.notification_recoveries)

    def catalogue(self) -> Catalogue:
        """All items, by sku."""
        return self._inventory.call("GET", "/items", Catalogue)

    def reserve(self, order: Order) -> Reservation:
        """Set the stock of all lines aside, or none."""
        quantities = {line.sku: line.quantity for line in order.lines}
        lines = [{"sku": sku, "quantity": quantity} for sku, quantity in quantities.items()]
        reservation = self._inventory.call("PUT", f"/reservations/{order.id}", Reservation, json={"lines": lines})
        reserved = [(line.sku, line.quantity) for line in reservation.lines]
        _compare(
            self._inventory,
            order_id=(reservation.order_id, order.id),
            lines=(sorted(reserved), sorted(quantities.items())),
        )
        return reservation

    def release(self, order_id: UUID) -> None:
        """Release reserved stock. A reservation that arrives later is void."""
        release = self._inventory.call("PUT", f"/reservations/{order_id}/release", Release, json={})
        _compare(self._inventory, order_id=(release.order_id, order_id))

    def charge(self, order: Order) -> None:
        """Charge the order's total to its payment token."""
        body = {"payment_token": order.payment_token, "amount": order.total, "currency": order.currency}
        charge = self._payment.call("PUT", f"/charges/{order.id}", Charge, json=body)
        _compare(
            self._payment,
            order_id=(charge.order_id, order.id),
            amount=(charge.amount, order.total),
            currency=(charge.currency, order.currency),
        )

    def refund(self, order_id: UUID) -> None:
        """Refund the payment. A charge that arrives later is void."""
        refund = self._payment.call("PUT", f"/charges/{order_id}/refund", Refund, json={})
        _compare(self._payment, order_id=(refund.order_id, order_id))

    def notify(self, order: Order) -> None:
        """Have the customer told that the order is confirmed."""
        template = "order_confirmed"
        path = f"/notifications/{order.id}/{template}"
        notification = self._notification.call("PUT", path, Notification, json={"customer_id": order.customer_id})
        _compare(
            self._notification,
            order_id=(notification.order_id, order.id),
            template=(notification.template, template),
        )


def _compare(client: ServiceClient, **fields: tuple[object, object]) -> None:
    """Raise InvalidResponse unless each field has the same value in the response as in the request."""
    for name, (received, sent) in fields.items():
        if received != sent:
            raise InvalidResponse(client.name, f"{name} is {received} in the response, but {sent} in the request")
