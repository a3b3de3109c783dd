"""When the lean SDK steps aside for the official one, and how it says so."""

import logging

from opentelemetry.sdk.version import __version__ as sdk_version

logger = logging.getLogger("waybill_lean")

TESTED_SDK = "1.45.1"
"""The version whose internals the lean classes were compared with, item by item."""


def untested_sdk() -> str | None:
    """Return why nothing of this distribution may be used with the installed SDK, or None."""
    if sdk_version != TESTED_SDK:
        return f"opentelemetry-sdk {sdk_version} is installed and {TESTED_SDK} is what it was compared with"
    return None


class StepAside:
    """Says once for each reason that the official SDK does a signal's work."""

    def __init__(self, signal: str) -> None:
        self._signal = signal
        self._told: set[str] = set()

    def __call__(self, reason: str) -> None:
        if reason not in self._told:
            self._told.add(reason)
            logger.warning("the lean SDK steps aside for %s, which the official SDK handles: %s", self._signal, reason)


def name_of(thing: object) -> str:
    """Return the qualified name of a thing's class."""
    return f"{type(thing).__module__}.{type(thing).__qualname__}"
