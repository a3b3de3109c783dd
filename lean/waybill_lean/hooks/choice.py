"""The instrumentors under `opentelemetry-instrument`: both an official and a lean one are entry points there.

The lean one is chosen by OTEL_PYTHON_TRACER_PROVIDER=lean, so that the hooks go along with the lean SDK, or by naming
the official one in OTEL_PYTHON_DISABLED_INSTRUMENTATIONS. Otherwise the installed distribution changes nothing.
"""

import os
from importlib import import_module
from typing import Any

from opentelemetry.environment_variables import OTEL_PYTHON_TRACER_PROVIDER
from opentelemetry.instrumentation.environment_variables import OTEL_PYTHON_DISABLED_INSTRUMENTATIONS
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]


class NotChosen(BaseInstrumentor):  # type: ignore[misc]
    """An instrumentor that leaves the library to the official one."""

    def instrumentation_dependencies(self) -> tuple[str, ...]:
        return ()

    def instrument(self, **_: Any) -> None:
        """Do nothing."""

    def _uninstrument(self, **_: Any) -> None:
        """Do nothing."""


def flask() -> Any:
    """Return the instrumentor of the entry point `lean_flask`."""
    return _chosen("flask", "FlaskInstrumentor")


def requests() -> Any:
    """Return the instrumentor of the entry point `lean_requests`."""
    return _chosen("requests", "RequestsInstrumentor")


def sqlalchemy() -> Any:
    """Return the instrumentor of the entry point `lean_sqlalchemy`."""
    return _chosen("sqlalchemy", "SQLAlchemyInstrumentor")


def redis() -> Any:
    """Return the instrumentor of the entry point `lean_redis`."""
    return _chosen("redis", "RedisInstrumentor")


def _chosen(library: str, name: str) -> Any:
    disabled = {name.strip() for name in os.environ.get(OTEL_PYTHON_DISABLED_INSTRUMENTATIONS, "").split(",")}
    if os.environ.get(OTEL_PYTHON_TRACER_PROVIDER) != "lean" and library not in disabled:
        return NotChosen()
    instrumentor = getattr(import_module(f".{library}", __package__), name)()
    # Entry points are loaded in no promised order: the official one may have been first.
    if instrumentor.is_instrumented_by_opentelemetry and not instrumentor.is_lean:
        instrumentor.uninstrument()
    return instrumentor
