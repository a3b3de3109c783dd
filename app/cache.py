"""Cache-aside over Valkey or Redis that a service survives the absence of."""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from opentelemetry import metrics
from pydantic import BaseModel, ValidationError
from redis import Redis, RedisError, ResponseError
from redis.backoff import NoBackoff
from redis.retry import Retry

logger = logging.getLogger(__name__)

PAUSE = 5.0
"""Seconds the cache is left alone after it failed, so that an outage does not slow every request."""

_meter = metrics.get_meter(__name__)
operations = _meter.create_counter("cache.operations", unit="1", description="Operations of the cache by their result.")
duration = _meter.create_histogram(
    "cache.operation.duration", unit="s", description="How long operations of the cache took."
)


ModelT = TypeVar("ModelT", bound=BaseModel)
LoadedT = TypeVar("LoadedT", bound=BaseModel | None)
ResultT = TypeVar("ResultT")


class CacheUnavailable(Exception):
    """The cache failed, or failed less than PAUSE seconds ago and was not called."""


class _QuietRedis(Redis):
    """Reduces the text of a server's error to its class: `unknown command` quotes keys and values, into telemetry."""

    def parse_response(self, connection: Any, command_name: Any, **options: Any) -> Any:
        try:
            return super().parse_response(connection, command_name, **options)  # type: ignore[no-untyped-call]
        except ResponseError as error:
            raise type(error)(type(error).__name__) from None


class Cache:
    """Pydantic models as JSON under string keys, each for at most `ttl` seconds."""

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

    def get_or_load(self, key: str, model: type[ModelT], load: Callable[[], LoadedT]) -> ModelT | LoadedT:
        """Return the cached `model`, or what `load` returns, which is then cached unless it is None."""
        try:
            found = self._execute("get", lambda: _decoded(self._redis.get(key), model), _hit_or_miss)
        except CacheUnavailable:
            return load()
        if found is not None:
            return found
        loaded = load()
        if loaded is not None:
            json = loaded.model_dump_json()
            with suppress(CacheUnavailable):
                self._execute("set", lambda: self._redis.set(key, json, ex=self._ttl))
        return loaded

    def delete(self, *keys: str) -> None:
        """Delete `keys`; call it after the transaction that changed them was committed."""
        with suppress(CacheUnavailable):
            self._execute("delete", lambda: self._redis.delete(*keys))

    def _execute(
        self, operation: str, command: Callable[[], ResultT], result: Callable[[ResultT], str] = lambda _: "done"
    ) -> ResultT:
        """Return what `command` returns. Count it by its `result`, unavailable ones too, whatever the operation."""
        started = time.perf_counter()
        attributes = {"cache.operation": operation, "cache.result": "unavailable"}
        try:
            answer = self._call(command)
            attributes["cache.result"] = result(answer)
            return answer
        finally:
            operations.add(1, attributes)
            duration.record(time.perf_counter() - started, attributes)

    def _call(self, command: Callable[[], ResultT]) -> ResultT:
        if time.monotonic() < self._paused_until:
            raise CacheUnavailable
        try:
            return command()
        except RedisError as error:
            self._paused_until = time.monotonic() + PAUSE
            logger.warning("cache unavailable, going without it for %s s: %s", PAUSE, error)
            raise CacheUnavailable from error


def _decoded(cached: Any, model: type[ModelT]) -> ModelT | None:
    """Return a cached value. Another program's, or an earlier release's, is as good as none."""
    if cached is not None:
        with suppress(ValidationError):
            return model.model_validate_json(cached)
    return None


def _hit_or_miss(found: BaseModel | None) -> str:
    return "miss" if found is None else "hit"
