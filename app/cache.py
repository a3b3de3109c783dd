"""Cache-aside over Valkey or Redis that a service survives the absence of."""

import json
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from opentelemetry import metrics
from redis import Redis, RedisError, ResponseError
from redis.backoff import NoBackoff
from redis.retry import Retry

logger = logging.getLogger(__name__)

PAUSE = 5.0
"""Seconds the cache is left alone after it failed, so that an outage does not slow every request."""

operations = metrics.get_meter(__name__).create_counter(
    "cache.operations", unit="1", description="Reads by cache.result: hit, miss, unavailable"
)


class _QuietRedis(Redis):
    """Reduces the text of a server's error to its class: `unknown command` quotes keys and values, into telemetry."""

    def parse_response(self, connection: Any, command_name: Any, **options: Any) -> Any:
        try:
            return super().parse_response(connection, command_name, **options)  # type: ignore[no-untyped-call]
        except ResponseError as error:
            raise type(error)(type(error).__name__) from None


class Cache:
    """JSON values under string keys, each for `ttl` seconds at most: the bound on how stale an answer can be."""

    def __init__(self, url: str, *, ttl: int, pool_size: int) -> None:
        self._ttl = ttl
        self._paused_until = 0.0
        self._redis = _QuietRedis.from_url(
            url,
            socket_connect_timeout=0.2,
            socket_timeout=0.2,
            retry=Retry(NoBackoff(), 0),
            max_connections=pool_size,
            driver_info=None,
        )

    def get_or_load(self, key: str, load: Callable[[], Any]) -> Any:
        """Return the cached value, or what `load` returns, which is cached unless it is None."""
        cached = self._try(lambda: self._redis.get(key), unavailable=self)
        if cached is self:
            operations.add(1, {"cache.result": "unavailable"})
            return load()
        if cached is not None:
            with suppress(ValueError):  # another program's value under our key is a miss
                value = json.loads(cached)
                operations.add(1, {"cache.result": "hit"})
                return value
        operations.add(1, {"cache.result": "miss"})
        value = load()
        if value is not None:
            self._try(lambda: self._redis.set(key, json.dumps(value), ex=self._ttl))
        return value

    def delete(self, *keys: str) -> None:
        """Forget `keys`; call it after the transaction that changed them was committed."""
        self._try(lambda: self._redis.delete(*keys))

    def _try(self, command: Callable[[], Any], unavailable: Any = None) -> Any:
        if time.monotonic() < self._paused_until:
            return unavailable
        try:
            return command()
        except RedisError as error:
            self._paused_until = time.monotonic() + PAUSE
            logger.warning("cache unavailable, going without it for %s s: %s", PAUSE, error)
            return unavailable
