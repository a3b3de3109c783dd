"""The official propagators of trace context and baggage, with less work for the usual headers."""

from __future__ import annotations

from typing import Any

from opentelemetry.baggage import _BAGGAGE_KEY
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import default_getter, default_setter
from opentelemetry.trace import INVALID_SPAN_CONTEXT, NonRecordingSpan, SpanContext, TraceFlags, get_current_span
from opentelemetry.trace.propagation import _SPAN_KEY
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.trace.span import DEFAULT_TRACE_STATE

from ._context import current_context, with_span

_search = TraceContextTextMapPropagator._TRACEPARENT_HEADER_FORMAT_RE.search
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16


class TraceContext(TraceContextTextMapPropagator):
    """W3C trace context; a `tracestate`, which is seldom there, is handled by the official propagator."""

    def extract(self, carrier: Any, context: Context | None = None, getter: Any = default_getter) -> Context:
        if context is None:
            context = Context()
        header = getter.get(carrier, "traceparent")
        match = _search(header[0]) if header else None
        if match is None:
            return context
        version, trace_id, span_id, flags, more = match.groups()
        if trace_id == _NO_TRACE or span_id == _NO_SPAN or version == "ff" or (version == "00" and more):
            return context
        if getter.get(carrier, "tracestate") is not None:
            return super().extract(carrier, context, getter)
        remote = SpanContext(int(trace_id, 16), int(span_id, 16), True, TraceFlags(int(flags, 16)))
        return with_span(NonRecordingSpan(remote), context)

    def inject(self, carrier: Any, context: Context | None = None, setter: Any = default_setter) -> None:
        if context is None:
            context = current_context()
        if context.get(_SPAN_KEY) is None:
            return
        span_context = get_current_span(context).get_span_context()
        if span_context == INVALID_SPAN_CONTEXT:
            return
        setter.set(carrier, "traceparent", traceparent(span_context))
        state = span_context[4]
        if state is not DEFAULT_TRACE_STATE and state:
            setter.set(carrier, "tracestate", state.to_header())


class Baggage(W3CBaggagePropagator):
    """W3C baggage; where there is none, there is nothing to do."""

    def extract(self, carrier: Any, context: Context | None = None, getter: Any = default_getter) -> Context:
        if context is not None and getter.get(carrier, "baggage") is None:
            return context
        return super().extract(carrier, context, getter)

    def inject(self, carrier: Any, context: Context | None = None, setter: Any = default_setter) -> None:
        if (current_context() if context is None else context).get(_BAGGAGE_KEY):
            super().inject(carrier, context, setter)


_LEAN = {TraceContextTextMapPropagator: TraceContext, W3CBaggagePropagator: Baggage}


def traceparent(span_context: SpanContext) -> str:
    """Return the header of a span."""
    return f"00-{span_context[0]:032x}-{span_context[1]:016x}-{span_context[3]:02x}"


def propagate_lean(propagator: Any) -> None:
    """Make the official propagators in a propagator lean; neither has fields, so only their class changes."""
    if type(propagator) is CompositePropagator:
        for part in propagator._propagators:
            propagate_lean(part)
    elif type(propagator) in _LEAN:
        propagator.__class__ = _LEAN[type(propagator)]
