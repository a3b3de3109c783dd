"""notification-service: tells customers what became of their orders."""

from flask import Flask

from app.config import load_settings
from app.factory import create_service
from services import VERSION
from services.notification.channels import Channel, LogChannel
from services.notification.models import Base
from services.notification.routes import blueprint
from services.notification.settings import Settings


def create_app() -> Flask:
    """Return the WSGI application. Settings come from the environment."""
    settings = load_settings(Settings)
    return create_service(
        "notification-service",
        settings,
        blueprint,
        version=VERSION,
        metadata=Base.metadata,
        dependencies={Channel: LogChannel()},
    )
