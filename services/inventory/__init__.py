"""inventory-service: items with price and stock, and the reservations that set stock aside for an order."""

from flask import Flask

from app.cache import Cache
from app.config import load_settings
from app.factory import create_service
from services import VERSION
from services.inventory.models import Base
from services.inventory.routes import blueprint
from services.inventory.settings import Settings

CACHE_TTL = 30
"""Seconds; an item read may be this old when a change and a read cross each other."""


def create_app() -> Flask:
    """Return the WSGI application. Settings come from the environment."""
    settings = load_settings(Settings)
    cache = Cache(settings.cache_url.get_secret_value(), ttl=CACHE_TTL, pool_size=settings.threads)
    return create_service(
        "inventory-service",
        settings,
        blueprint,
        version=VERSION,
        metadata=Base.metadata,
        dependencies={Cache: cache},
    )
