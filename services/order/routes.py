"""HTTP <-> Python for orders, nothing else."""

import hashlib
from http import HTTPStatus
from typing import Any

import svcs
from flask_openapi3 import APIBlueprint
from werkzeug.exceptions import NotFound

from app.database import read_session, write_session
from app.errors import problem_responses
from services.order.clients import Clients
from services.order.models import Order, OrderLine, Status
from services.order.schemas import (
    CatalogueResponse,
    IdempotencyHeader,
    NewOrder,
    OrderPage,
    OrderPath,
    OrderQuery,
    OrderResponse,
)
from services.order.use_cases import get_order, list_items, list_orders, place_order

blueprint = APIBlueprint("orders", __name__)


@blueprint.post(
    "/orders",
    responses={201: OrderResponse, 202: OrderResponse, **problem_responses(400, 413, 415, 422, 503)},
)
def post_order(header: IdempotencyHeader, body: NewOrder) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Place an order.

    201 when it is settled, CONFIRMED or CANCELLED with a reason; 202 while it is still being processed.
    """
    order = place_order(write_session(), svcs.flask.get(Clients), order_from_json(body, header.key))
    status = HTTPStatus.CREATED if order.settled else HTTPStatus.ACCEPTED
    return OrderResponse.of(order), status, {"Location": f"/orders/{order.id}"}


@blueprint.get("/orders/<uuid:order_id>", responses={200: OrderResponse, **problem_responses(404, 422, 503)})
def read_order(path: OrderPath) -> dict[str, Any]:
    """Return one order."""
    order = get_order(read_session(), path.order_id)
    if order is None:
        raise NotFound(f"There is no order {path.order_id}.")
    return OrderResponse.of(order)


@blueprint.get("/orders", responses={200: OrderPage, **problem_responses(422, 503)})
def read_orders(query: OrderQuery) -> dict[str, Any]:
    """Orders, newest first, a page at a time."""
    orders = list_orders(read_session(), query.limit + 1, query.cursor)
    page = orders[: query.limit]
    more = len(orders) > query.limit
    return OrderPage.of({"orders": page, "next_cursor": page[-1].id if more else None})


@blueprint.get("/items", responses={200: CatalogueResponse, **problem_responses(502, 503)})
def read_items() -> dict[str, Any]:
    """Return the current catalog of inventory-service, so that the storefront needs only this service."""
    return CatalogueResponse.of(list_items(svcs.flask.get(Clients)))


def order_from_json(body: NewOrder, idempotency_key: str) -> Order:
    """Return the new order, PENDING, that the request describes."""
    return Order(
        status=Status.PENDING,
        idempotency_key=idempotency_key,
        fingerprint=hashlib.sha256(body.model_dump_json().encode()).hexdigest(),
        customer_id=body.customer_id,
        region=body.region,
        payment_token=body.payment_token,
        lines=[OrderLine(sku=line.sku, quantity=line.quantity) for line in body.lines],
    )
