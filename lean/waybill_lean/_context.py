"""The current context, read and set as directly as its implementation allows."""

from collections.abc import Callable
from typing import Any

from opentelemetry import context as api
from opentelemetry.context import Context
from opentelemetry.context.contextvars_context import ContextVarsRuntimeContext
from opentelemetry.trace.propagation import _SPAN_KEY

current_context: Callable[[], Context]
attach: Callable[[Context], Any]
_reset: Callable[[Any], None]

if type(api._RUNTIME_CONTEXT) is ContextVarsRuntimeContext:
    current_context = api._RUNTIME_CONTEXT._current_context.get
    attach = api._RUNTIME_CONTEXT._current_context.set
    _reset = api._RUNTIME_CONTEXT._current_context.reset
else:  # OTEL_PYTHON_CONTEXT names another one
    current_context = api.get_current
    attach = api.attach
    _reset = api._RUNTIME_CONTEXT.detach

_set_item = dict.__setitem__


def detach(token: Any) -> None:
    """Make the context current that was so before `attach` returned the token; log it if that fails."""
    try:
        _reset(token)
    except Exception:
        api.logger.exception("Failed to detach context")


def with_value(key: str, value: object, context: Context) -> Context:
    """Return a copy of `context` with a value."""
    copy = Context(context)
    _set_item(copy, key, value)
    return copy


def with_span(span: Any, context: Context) -> Context:
    """Return a copy of `context` with a current span."""
    copy = Context(context)
    _set_item(copy, _SPAN_KEY, span)
    return copy
