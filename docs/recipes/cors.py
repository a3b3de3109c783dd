"""CORS: pages of other origins may call this service."""

from typing import Any

from flask import Flask
from flask_cors import CORS
from flask_openapi3 import APIBlueprint

from app.config import ServiceSettings, load_settings
from app.factory import create_service


class Settings(ServiceSettings):
    """The kit's settings and the origins of the pages."""

    page_origins: tuple[str, ...] = ()
    """As JSON: `["https://shop.example"]`. Never `*` together with cookies."""


blueprint = APIBlueprint("quotes", __name__)


@blueprint.get("/quote")
def read_quote() -> dict[str, Any]:
    """Return something for any page of PAGE_ORIGINS."""
    return {"quote": "A parcel is only as lost as its last scan."}


def create_app() -> Flask:
    """Return the service. Settings come from the environment."""
    settings = load_settings(Settings)
    app = create_service("quote-service", settings, blueprint, version="1.0.0")
    CORS(
        app,
        origins=list(settings.page_origins),
        # traceparent: the page's trace goes on here. traceresponse: the page can link to it.
        allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "traceparent"],
        expose_headers=["traceresponse", "Retry-After"],
        max_age=600,
    )
    return app
