"""`/healthz`: the process answers. `/readyz`: so does what it cannot work without. Neither is traced."""

from collections.abc import Callable

from flask import Blueprint, Flask
from werkzeug.exceptions import ServiceUnavailable

from app.telemetry import untraced

Check = Callable[[], None]
"""Raises, saying why, when the service cannot work."""


def init_app(app: Flask, checks: dict[str, Check]) -> None:
    """Add both endpoints; `checks` are what `/readyz` runs, by name."""
    health = Blueprint("health", __name__)

    @health.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @health.get("/readyz")
    def readyz() -> dict[str, str]:
        with untraced():
            for name, check in checks.items():
                try:
                    check()
                except Exception as error:
                    raise ServiceUnavailable(f"{name} is not ready: {error}") from error
        return {"status": "ready"}

    app.register_blueprint(health)
