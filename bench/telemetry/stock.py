"""The services without the kit's telemetry, for gunicorn under `opentelemetry-instrument`.

OTEL_SDK_DISABLED would turn off the SDK of `opentelemetry-instrument` as well.
"""

from importlib import import_module

from flask import Flask

from app import telemetry


def create_app(service: str) -> Flask:
    """Return the application of a service, which leaves its telemetry to what has started it."""
    telemetry.disabled = lambda: True
    app: Flask = import_module(f"services.{service}").create_app()
    return app
