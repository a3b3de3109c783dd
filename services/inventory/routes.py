"""HTTP <-> Python for items and reservations, nothing else."""

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
    ReservationResponse,
)

blueprint = APIBlueprint("inventory", __name__)


@blueprint.post(
    "/reservations", responses={200: ReservationResponse, **problem_responses(400, 409, 413, 415, 422, 503)}
)
def post_reservation(body: NewReservation) -> dict[str, Any]:
    """Set stock aside for an order, all lines or none; the same call again changes nothing."""
    quantities = {line.sku: line.quantity for line in body.lines}
    reservation = use_cases.reserve(write_session(), svcs.flask.get(Cache), body.order_id, quantities)
    return ReservationResponse.of(reservation)


@blueprint.post("/releases", responses={200: ReservationResponse, **problem_responses(400, 413, 415, 422, 503)})
def post_release(body: NewRelease) -> dict[str, Any]:
    """Put an order's stock back; the same call again changes nothing."""
    reservation = use_cases.release(write_session(), svcs.flask.get(Cache), body.order_id)
    return ReservationResponse.of(reservation)


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
