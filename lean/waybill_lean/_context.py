"""The current context, read and set as directly as its implementation allows."""

from collections.abc import Callable
from typing import Any

from opentelemetry import context as api
from opentelemetry.context import Context
from opentelemetry.context.contextvars_context import ContextVarsRuntimeContext

current_context: Callable[[], Context]
attach: Callable[[Context], Any]

if type(api._RUNTIME_CONTEXT) is ContextVarsRuntimeContext:
    current_context = api._RUNTIME_CONTEXT._current_context.get
    attach = api._RUNTIME_CONTEXT._current_context.set
else:  # OTEL_PYTHON_CONTEXT names another one
    current_context = api.get_current
    attach = api.attach
