"""The lean hooks for redis-py: its commands and pipelines; clusters and asyncio have the official hooks."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import opentelemetry.instrumentation.redis as official
import redis
from opentelemetry.context import Context
from opentelemetry.instrumentation._semconv import (
    _OpenTelemetryStabilitySignalType,
    _set_db_statement,
    _StabilityMode,
)
from opentelemetry.instrumentation.redis.util import _extract_conn_attributes, _format_command_args
from opentelemetry.instrumentation.utils import unwrap
from opentelemetry.trace import SpanKind, Tracer
from wrapt import wrap_function_wrapper

from waybill_lean._context import attach, current_context, detach, with_span
from waybill_lean.attributes import fixed

from .base import LeanInstrumentor, instrumentation_enabled, record_error

_MODES = (_StabilityMode.DATABASE, _StabilityMode.HTTP)
_SEARCH = ("FT.SEARCH", "FT.CREATE")
"""The commands whose arguments the official hooks describe, too."""
_MAX_REMEMBERED = 20
"""Commands of a pipeline whose description is remembered."""

Command = tuple[str, int]
"""Its first word, and its number of words."""


@lru_cache(maxsize=1000)
def _describe(command: str, length: int, host: str, port: int) -> dict[str, Any]:
    """Return the attributes of a command with `length` words over TCP."""
    return fixed(_attributes(_statement((command, length)), "db.redis.args_length", length, host, port))


def _describe_commands(commands: tuple[Command, ...], host: str, port: int) -> tuple[str, dict[str, Any]]:
    """Return the span's name and the attributes of a pipeline over TCP."""
    name = " ".join([word for word, _ in commands]) or "redis"
    statement = "\n".join([_statement(command) for command in commands])
    return name, fixed(_attributes(statement, "db.redis.pipeline_length", len(commands), host, port))


_describe_few = lru_cache(maxsize=1000)(_describe_commands)


def _statement(command: Command) -> str:
    word, length = command
    return str(_format_command_args([word] + [""] * (length - 1)))


def _attributes(statement: str, counted: str, count: int, host: str, port: int) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    _set_db_statement(attributes, statement, _StabilityMode.DATABASE)
    attributes[counted] = count
    attributes |= _extract_conn_attributes({"host": host, "port": port}, *_MODES)
    return attributes


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
        self._execute_command = official._traced_execute_factory(tracer, request_hook, response_hook)
        self._execute_pipeline = official._traced_execute_pipeline_factory(tracer, request_hook, response_hook)

    def execute_command(self, func: Callable[..., Any], client: Any, args: Any, kwargs: Any) -> Any:
        """Execute a command in a span."""
        context = current_context()
        if not instrumentation_enabled(context):
            return func(*args, **kwargs)
        connection = _tcp_connection(client)
        if connection is None or not args or type(args[0]) is not str or not args[0] or args[0] in _SEARCH:
            return self._execute_command(func, client, args, kwargs)
        with _Execution(self._tracer, context, args[0], _describe(args[0], len(args), *connection)) as span:
            if self._request_hook is not None:
                official._execute_hook(self._request_hook, span, client, args, kwargs)
            response = func(*args, **kwargs)
            if self._response_hook is not None:
                official._execute_hook(self._response_hook, span, client, response)
            return response

    def execute_pipeline(self, func: Callable[..., Any], pipeline: Any, args: Any, kwargs: Any) -> Any:
        """Execute the commands of a pipeline in one span."""
        context = current_context()
        if not instrumentation_enabled(context):
            return func(*args, **kwargs)
        connection, commands = _tcp_connection(pipeline), _commands(pipeline)
        if connection is None or commands is None:
            return self._execute_pipeline(func, pipeline, args, kwargs)
        describe = _describe_few if len(commands) <= _MAX_REMEMBERED else _describe_commands
        response = conflict = None
        with _Execution(self._tracer, context, *describe(commands, *connection)) as span:
            try:
                response = func(*args, **kwargs)
            except redis.WatchError as error:  # no error: the caller is to try again
                conflict = error
            if self._response_hook is not None:
                official._execute_hook(self._response_hook, span, pipeline, response)
        if conflict is not None:
            raise conflict
        return response


class _Execution:
    """`with` a span of a command or a pipeline, which is the current one."""

    __slots__ = ("_span", "_token")

    def __init__(self, tracer: Tracer, context: Context, name: str, attributes: dict[str, Any]) -> None:
        self._span = span = tracer.start_span(name, kind=SpanKind.CLIENT)
        self._token = attach(with_span(span, context))
        if span.is_recording():
            span.set_attributes(attributes)

    def __enter__(self) -> Any:
        return self._span

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if error is not None:
            record_error(self._span, error)
        detach(self._token)
        self._span.end()


def _tcp_connection(client: Any) -> tuple[str, int] | None:
    """Return the host and port of a client that is connected over TCP in the usual way."""
    options = getattr(getattr(client, "connection_pool", None), "connection_kwargs", None)
    if type(options) is not dict or "path" in options:
        return None
    host, port = options.get("host", "localhost"), options.get("port", 6379)
    return (host, port) if type(host) is str and type(port) is int else None


def _commands(pipeline: Any) -> tuple[Command, ...] | None:
    """Return the commands of a pipeline, or None if one of them does not begin with a word."""
    try:
        commands = tuple([(args[0], len(args)) for args, _ in pipeline.command_stack])
    except Exception:
        return None
    return commands if all(type(word) is str for word, _ in commands) else None


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
        for owner, name, execute in (
            (redis.Redis, "execute_command", hooks.execute_command),
            (redis.client.Pipeline, "execute", hooks.execute_pipeline),
            (redis.client.Pipeline, "immediate_execute_command", hooks.execute_command),
        ):
            unwrap(owner, name)
            wrap_function_wrapper(owner, name, execute)
