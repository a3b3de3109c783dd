"""Configuration: one program for every environment, which reads what differs, and its secrets, when it starts."""

from typing import Any, Literal

from flask import Flask
from flask_openapi3 import APIBlueprint
from pydantic import Field, SecretStr

from app.config import ServiceSettings, load_settings
from app.factory import create_service


class Settings(ServiceSettings):
    """What differs between environments. There is no default where a forgotten value would do harm."""

    carrier_mode: Literal["sandbox", "live"]
    carrier_api_key: SecretStr
    carrier_timeout: float = Field(default=2.0, gt=0, le=10)
    """Seconds."""


def create_app() -> Flask:
    """Return the service. Settings come from the environment, secrets from files in SECRETS_DIR."""
    settings = load_settings(Settings)
    blueprint = APIBlueprint("carrier", __name__)

    @blueprint.get("/carrier")
    def read_carrier() -> dict[str, Any]:
        """Return how the carrier is called; the key is opened only where it is sent."""
        key = settings.carrier_api_key.get_secret_value()
        return {"mode": settings.carrier_mode, "key_length": len(key)}

    return create_service("carrier-service", settings, blueprint, version="1.0.0")
