"""`/healthz`: the process responds. `/readyz`: what it cannot work without does, too. Neither is traced or logged."""

import logging
from collections.abc import Callable

from flask import Flask
from werkzeug.exceptions import ServiceUnavailable

from .blueprints import QuietBlueprint
from .telemetry import untraced

logger = logging.getLogger(__name__)

Check = Callable[[], None]
"""Raises an error that says why the service cannot work."""


def init_app(app: Flask, checks: dict[str, Check]) -> None:
    """Add both endpoints; `checks` are what `/readyz` runs, by name."""
    health = QuietBlueprint("health", __name__)

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
                    # The cause can name hosts, users and tables: it is for the log, not for any caller.
                    logger.warning("%s is not ready: %s", name, error)
                    raise ServiceUnavailable(f"{name} is not ready. The log has the cause.") from error
        return {"status": "ready"}

    app.register_blueprint(health)
