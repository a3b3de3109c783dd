"""Rate limiting: a client that sends too many requests gets 429 with Retry-After."""

import logging
import math
import time
from typing import Annotated, Any

from flask import Flask, request
from flask_openapi3 import APIBlueprint
from limits import parse
from limits.errors import StorageError
from limits.storage import MemoryStorage, storage_from_string
from limits.strategies import MovingWindowRateLimiter
from pydantic import AfterValidator, SecretStr
from werkzeug.exceptions import TooManyRequests

from app.config import ServiceSettings, load_settings
from app.errors import problem_responses
from app.factory import create_service

logger = logging.getLogger(__name__)

PAUSE = 5.0
"""Seconds the shared storage is left alone after it failed, so that an outage does not slow every request."""


class RateLimit:
    """At most `limit` requests of a client, such as `60/minute`, over all processes that share a storage.

    While the storage is unavailable, each process counts for itself.
    """

    def __init__(self, limit: str, storage_url: str) -> None:
        options = {} if storage_url.startswith("memory:") else {"socket_connect_timeout": 0.2, "socket_timeout": 0.2}
        self._limit = parse(limit)
        self._shared = MovingWindowRateLimiter(storage_from_string(storage_url, wrap_exceptions=True, **options))
        self._own = MovingWindowRateLimiter(MemoryStorage())
        self._paused_until = 0.0

    def check(self) -> None:
        """Raise TooManyRequests for a client that is over the limit; for create_service's `before_request`."""
        client = request.remote_addr or ""
        seconds = self._seconds_to_wait(client)
        if seconds:
            # Werkzeug sets Retry-After, and the kit keeps it on the problem.
            detail = f"More than {self._limit} from this client. Send the request again after {seconds} s."
            raise TooManyRequests(detail, retry_after=seconds)

    def _seconds_to_wait(self, client: str) -> int:
        if time.monotonic() >= self._paused_until:
            try:
                return self._hit(self._shared, client)
            except StorageError as error:
                self._paused_until = time.monotonic() + PAUSE
                logger.warning("rate limits are counted per process for %s s: %s", PAUSE, error)
        return self._hit(self._own, client)

    def _hit(self, limiter: MovingWindowRateLimiter, client: str) -> int:
        if limiter.hit(self._limit, client):
            return 0
        return max(1, math.ceil(limiter.get_window_stats(self._limit, client).reset_time - time.time()))


def _limit(value: str) -> str:
    parse(value)
    return value


class Settings(ServiceSettings):
    """The kit's settings and the limit."""

    rate_limit: Annotated[str, AfterValidator(_limit)] = "60/minute"
    rate_limit_storage: SecretStr = SecretStr("memory://")
    """`memory://`: each process counts for itself. `redis://host:6379/1`: all processes count together."""


blueprint = APIBlueprint("quotes", __name__)


@blueprint.get("/quote", responses=problem_responses(429))
def read_quote() -> dict[str, Any]:
    """Return something that is expensive to make."""
    return {"quote": "A parcel is only as lost as its last scan."}


def create_app() -> Flask:
    """Return the service. Settings come from the environment."""
    settings = load_settings(Settings)
    limit = RateLimit(settings.rate_limit, settings.rate_limit_storage.get_secret_value())
    return create_service("quote-service", settings, blueprint, version="1.0.0", before_request=[limit.check])
