"""HTTP <-> Python for items and reservations, nothing else."""

from http import HTTPStatus
from typing import Any

import svcs
from flask_openapi3 import APIBlueprint
from werkzeug.exceptions import NotFound

from app.cache import Cache
from app.database import read_session, write_session
from app.errors import problem_responses
from services.inventory import use_cases
from services.inventory.schemas import (
    ItemList,
    ItemPath,
    ItemResponse,
    NewRelease,
    NewReservation,
    ReservationPath,
    ReservationResponse,
)

blueprint = APIBlueprint("inventory", __name__)


@blueprint.put(
    "/reservations/<uuid:order_id>",
    responses={
        200: ReservationResponse,
        201: ReservationResponse,
        **problem_responses(400, 404, 409, 413, 415, 422, 503),
    },
)
def put_reservation(path: ReservationPath, body: NewReservation) -> tuple[dict[str, Any], int]:
    """Reserve stock for an order, all lines or none.

    201 if this request reserved it, 200 if it was reserved before.
    """
    quantities = {line.sku: line.quantity for line in body.lines}
    reservation, created = use_cases.reserve(write_session(), svcs.flask.get(Cache), path.order_id, quantities)
    return ReservationResponse.of(reservation), HTTPStatus.CREATED if created else HTTPStatus.OK


@blueprint.put(
    "/reservations/<uuid:order_id>/release",
    responses={200: ReservationResponse, 201: ReservationResponse, **problem_responses(400, 404, 413, 415, 422, 503)},
)
def put_release(path: ReservationPath, body: NewRelease) -> tuple[dict[str, Any], int]:  # noqa: ARG001 - is checked
    """Release an order's stock.

    201 if this request released it, or voided in advance a reservation that has not arrived; 200 if it was released
    before.
    """
    reservation, created = use_cases.release(write_session(), svcs.flask.get(Cache), path.order_id)
    return ReservationResponse.of(reservation), HTTPStatus.CREATED if created else HTTPStatus.OK


@blueprint.get("/items/<string:sku>", responses={200: ItemResponse, **problem_responses(404, 422, 503)})
def read_item(path: ItemPath) -> dict[str, Any]:
    """One item."""
    item = use_cases.get_item(read_session(), svcs.flask.get(Cache), path.sku)
    if item is None:
        raise NotFound(f"There is no item {path.sku}.")
    return ItemResponse.of(item)


@blueprint.get("/items", responses={200: ItemList, **problem_responses(503)})
def read_items() -> dict[str, Any]:
    """Return the whole catalog."""
    return ItemList.of(use_cases.list_items(read_session(), svcs.flask.get(Cache)))
