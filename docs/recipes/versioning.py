"""API versioning: two versions of a resource side by side, the older one announced to end."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from flask import Flask, Response
from flask_openapi3 import APIBlueprint
from pydantic import BaseModel
from werkzeug.http import http_date

from app.config import ServiceSettings, load_settings
from app.factory import create_service
from app.schemas import ResponseBody

DEPRECATED_SINCE = datetime(2026, 11, 1, tzinfo=UTC)
SUNSET = datetime(2027, 5, 1, tzinfo=UTC)


class Parcel(BaseModel):
    """The domain has one form, whatever versions the API has."""

    id: UUID
    grams: int


class ParcelPath(BaseModel):
    """The parcel of a URL."""

    parcel_id: UUID


class ParcelV1(ResponseBody):
    """The first form: kilograms, as a fraction."""

    id: UUID
    weight: float


class ParcelV2(ResponseBody):
    """The form of today: grams, as an integer."""

    id: UUID
    grams: int


def get_parcel(parcel_id: UUID) -> Parcel:
    """Return a parcel: the use case, which both versions share."""
    return Parcel(id=parcel_id, grams=1250)


v1 = APIBlueprint("parcels-v1", __name__, url_prefix="/v1")
v2 = APIBlueprint("parcels-v2", __name__, url_prefix="/v2")


@v1.get("/parcels/<uuid:parcel_id>", responses={200: ParcelV1}, deprecated=True)
def read_parcel_v1(path: ParcelPath) -> dict[str, Any]:
    """Return a parcel."""
    parcel = get_parcel(path.parcel_id)
    return ParcelV1.of({"id": parcel.id, "weight": parcel.grams / 1000})


@v2.get("/parcels/<uuid:parcel_id>", responses={200: ParcelV2})
def read_parcel_v2(path: ParcelPath) -> dict[str, Any]:
    """Return a parcel."""
    return ParcelV2.of(get_parcel(path.parcel_id))


@v1.after_request
def announce_end(response: Response) -> Response:
    """Announce when the version ends (Deprecation: RFC 9745, Sunset: RFC 8594)."""
    response.headers["Deprecation"] = f"@{DEPRECATED_SINCE.timestamp():.0f}"
    response.headers["Sunset"] = http_date(SUNSET)
    return response


def create_app() -> Flask:
    """Return the service. Settings come from the environment."""
    return create_service("parcel-service", load_settings(ServiceSettings), v1, v2, version="2.0.0")
