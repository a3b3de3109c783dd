"""payment-service: charges and refunds of orders, against a simulated card processor."""

from flask import Flask

from app.config import load_settings
from app.factory import create_service
from services import VERSION
from services.payment.models import Base
from services.payment.processor import Processor, SimulatedProcessor
from services.payment.routes import blueprint
from services.payment.settings import Settings


def create_app() -> Flask:
    """Return the WSGI application. Settings come from the environment."""
    settings = load_settings(Settings)
    processor = SimulatedProcessor(settings.processor_latency_ms / 1000)
    return create_service(
        "payment-service",
        settings,
        blueprint,
        version=VERSION,
        metadata=Base.metadata,
        dependencies={Processor: processor},
    )
