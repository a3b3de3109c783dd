"""skeleton-service: keeps notes."""

from flask import Flask

from app.config import load_settings
from app.factory import create_service
from services import VERSION
from services.skeleton.clients import Clients
from services.skeleton.models import Base
from services.skeleton.routes import blueprint
from services.skeleton.settings import Settings


def create_app() -> Flask:
    """Return the WSGI application. Settings come from the environment."""
    settings = load_settings(Settings)
    return create_service(
        "skeleton-service",
        settings,
        blueprint,
        version=VERSION,
        metadata=Base.metadata,
        dependencies={Clients: Clients(settings)},
    )
