"""The lean hooks for redis-py: its single commands; pipelines and asyncio have the official hooks."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import opentelemetry.instrumentation.redis as official
import redis
from opentelemetry.context import attach, detach, get_current
from opentelemetry.instrumentation._semconv import (
    _OpenTelemetryStabilitySignalType,
    _set_db_statement,
    _StabilityMode,
)
from opentelemetry.instrumentation.redis.util import _extract_conn_attributes, _format_command_args
from opentelemetry.instrumentation.utils import unwrap
from opentelemetry.trace import SpanKind, Tracer
from wrapt import wrap_function_wrapper

from .base import LeanInstrumentor, instrumentation_enabled, record_error, with_span

_MODES = (_StabilityMode.DATABASE, _StabilityMode.HTTP)
_SEARCH = ("FT.SEARCH", "FT.CREATE")
"""The commands whose arguments the official hooks describe, too."""


@lru_cache(maxsize=1000)
def _describe(command: str, length: int, host: str, port: int) -> dict[str, Any]:
    """Return the attributes of a command with `length` words over TCP."""
    connection: dict[str, Any] = _extract_conn_attributes({"host": host, "port": port}, *_MODES)
    attributes: dict[str, Any] = {}
    _set_db_statement(attributes, _format_command_args([command] + [""] * (length - 1)), _StabilityMode.DATABASE)
    return attributes | {"db.redis.args_length": length} | connection


class Hooks:
    """The hooks of all clients."""

    def __init__(
        self,
        tracer: Tracer,
        request_hook: Callable[..., Any] | None,
        response_hook: Callable[..., Any] | None,
    ) -> None:
        self._tracer = tracer
        self._request_hook = request_hook if callable(request_hook) else None
        self._response_hook = response_hook if callable(response_hook) else None
        self._official = official._traced_execute_factory(tracer, request_hook, response_hook)

    def execute_command(self, func: Callable[..., Any], client: Any, args: Any, kwargs: Any) -> Any:
        """Execute a command in a span."""
        context = get_current()
        if not instrumentation_enabled(context):
            return func(*args, **kwargs)
        connection = _tcp_connection(client)
        if connection is None or not args or type(args[0]) is not str or not args[0] or args[0] in _SEARCH:
            return self._official(func, client, args, kwargs)
        span = self._tracer.start_span(args[0], kind=SpanKind.CLIENT)
        token = attach(with_span(span, context))
        try:
            if span.is_recording():
                span.set_attributes(_describe(args[0], len(args), *connection))
            if self._request_hook is not None:
                official._execute_hook(self._request_hook, span, client, args, kwargs)
            response = func(*args, **kwargs)
            if self._response_hook is not None:
                official._execute_hook(self._response_hook, span, client, response)
            return response
        except BaseException as error:
            record_error(span, error)
            raise
        finally:
            detach(token)
            span.end()


def _tcp_connection(client: Any) -> tuple[str, int] | None:
    """Return the host and port of a client that is connected over TCP in the usual way."""
    options = getattr(getattr(client, "connection_pool", None), "connection_kwargs", None)
    if type(options) is not dict or "path" in options:
        return None
    host, port = options.get("host", "localhost"), options.get("port", 6379)
    return (host, port) if type(host) is str and type(port) is int else None


class RedisInstrumentor(LeanInstrumentor, official.RedisInstrumentor):
    """The lean hooks for redis-py, in the place of the official instrumentor."""

    library = "redis"
    versions = ">=5,<9"
    signals = (_OpenTelemetryStabilitySignalType.DATABASE, _OpenTelemetryStabilitySignalType.HTTP)
    options = frozenset({"tracer_provider", "request_hook", "response_hook"})
    replaces = official.RedisInstrumentor

    def _instrument_lean(self, **kwargs: Any) -> None:
        self.replaces()._instrument(**kwargs)
        hooks = Hooks(self._get_tracer(**kwargs), kwargs.get("request_hook"), kwargs.get("response_hook"))  # type: ignore[no-untyped-call]
        for owner, name in (
            (redis.Redis, "execute_command"),
            (redis.client.Pipeline, "immediate_execute_command"),
        ):
            unwrap(owner, name)
            wrap_function_wrapper(owner, name, hooks.execute_command)
