"""The three peers that order-service calls, each call idempotent under the order's id."""

from uuid import UUID

from pydantic import BaseModel

from app.http_client import Peer
from services.order.models import Order
from services.order.settings import Settings


class ReservedLine(BaseModel):
    """The price of one reserved item, in minor units."""

    sku: str
    unit_price: int


class Reservation(BaseModel):
    """What inventory-service answers to a reservation."""

    currency: str
    lines: list[ReservedLine]


class Item(BaseModel):
    """An item of the catalogue; `price` in minor units of `currency`, `stock` the pieces left."""

    sku: str
    name: str
    price: int
    currency: str
    stock: int


class Catalogue(BaseModel):
    """What inventory-service has to sell."""

    items: list[Item]


class Done(BaseModel):
    """An answer of which only the arrival matters."""


class Peers:
    """Calls raise app.http_client's PeerUnavailable, PeerRefused or BadAnswer."""

    def __init__(self, settings: Settings) -> None:
        def peer(name: str, url: str) -> Peer:
            return Peer(name, url, pool_size=settings.threads + settings.recoveries)

        self._inventory = peer("inventory-service", settings.inventory_url)
        self._payment = peer("payment-service", settings.payment_url)
        self._notification = peer("notification-service", settings.notification_url)

    def catalogue(self) -> Catalogue:
        """All items, by sku."""
        return self._inventory.call("GET", "/items", Catalogue)

    def reserve(self, order: Order) -> Reservation:
        """Set the stock of all lines aside, or none."""
        lines = [{"sku": line.sku, "quantity": line.quantity} for line in order.lines]
        body = {"order_id": str(order.id), "lines": lines}
        return self._inventory.call("POST", "/reservations", Reservation, json=body, idempotent=True)

    def release(self, order_id: UUID) -> None:
        """Give reserved stock back; a reservation still on its way is barred."""
        self._inventory.call("POST", "/releases", Done, json={"order_id": str(order_id)}, idempotent=True)

    def charge(self, order: Order) -> None:
        """Charge the order's total to its payment token."""
        body = {
            "order_id": str(order.id),
            "payment_token": order.payment_token,
            "amount": order.total,
            "currency": order.currency,
        }
        self._payment.call("POST", "/charges", Done, json=body, idempotent=True)

    def refund(self, order_id: UUID) -> None:
        """Give the money back; a charge still on its way is barred."""
        self._payment.call("POST", "/refunds", Done, json={"order_id": str(order_id)}, idempotent=True)

    def notify(self, order: Order) -> None:
        """Have the customer told that the order is confirmed."""
        body = {"order_id": str(order.id), "customer_id": order.customer_id, "template": "order_confirmed"}
        self._notification.call("POST", "/notifications", Done, json=body, idempotent=True)
