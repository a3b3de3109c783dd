"""A tracer provider whose spans cost less and are otherwise the SDK's own.

A lean span is an SDK `Span`: what reads one, such as a processor, an exporter or an instrumentor, reads the same
properties. Its attributes are a plain dict under the lock that every SDK span has; its events and links are made when
the first one comes. What the fast path does not know, such as a processor of an unknown type, makes the tracer step
aside: it then starts the SDK's spans, and says so once.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from os import getpid
from random import getrandbits
from threading import Lock
from time import time_ns
from types import MappingProxyType, TracebackType
from typing import Any

from opentelemetry import trace as trace_api
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.attributes import _logger as attributes_logger
from opentelemetry.context import Context
from opentelemetry.propagate import get_global_textmap
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.trace._tracer_metrics import NoOpTracerMetrics
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision, SamplingResult
from opentelemetry.sdk.util import BoundedList
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.propagation import _SPAN_KEY
from opentelemetry.trace.span import DEFAULT_TRACE_STATE, TraceState
from opentelemetry.util.types import AnyValue, Attributes

from ._aside import StepAside, logger, name_of, untested_sdk
from ._context import attach, current_context, detach, with_span
from .attributes import PLAIN, FixedAttributes, add_all, clean, clean_all, keep_newest
from .exporters import send_encoded
from .otlp import UNSET
from .propagation import propagate_lean
from .sampling import Rule, rule_of

_FLAGS = tuple(TraceFlags(flags) for flags in range(4))
_KNOWN_PROCESSORS = ("opentelemetry.processor.baggage.processor.BaggageSpanProcessor",)
"""Processors that use nothing but the public methods of a span."""

_new_span = object.__new__
_new_context = tuple.__new__


class _Origin:
    """What the spans of one tracer have in common, worked out once for its sampler, resource and processors."""

    __slots__ = (
        "aside",
        "batches",
        "ending",
        "finish",
        "finish_sampled",
        "id_generator",
        "info",
        "length",
        "limits",
        "multi",
        "processors",
        "random_ids",
        "resource",
        "room",
        "rule",
        "sampler",
        "scope",
        "shares",
        "starting",
    )

    def __init__(self, tracer: Tracer) -> None:
        self.sampler = tracer.sampler
        self.resource = tracer.resource
        self.multi = tracer.span_processor
        self.processors: tuple[sdk.SpanProcessor, ...] = self.multi._span_processors
        self.id_generator = tracer.id_generator
        self.info = tracer.instrumentation_info
        self.scope = tracer._instrumentation_scope
        self.limits = tracer._span_limits
        self.room = sys.maxsize if self.limits.max_span_attributes is None else self.limits.max_span_attributes
        self.length: int | None = self.limits.max_span_attribute_length
        self.random_ids = type(self.id_generator) is RandomIdGenerator
        self.rule: Rule | None = rule_of(self.sampler)
        self.batches: list[Any] = []
        self.starting: list[sdk.SpanProcessor] = []
        self.ending: list[sdk.SpanProcessor] = []
        self.finish: list[Callable[[sdk.Span], None]] = []
        self.finish_sampled: list[Callable[[sdk.Span], None]] = []
        self.aside = self._reason(tracer)
        if self.aside is None:
            for processor in self.processors:
                self._add(processor)
        # No processor reads the attributes of a span before they are set, and none is cut.
        self.shares = self.length is None and not self.starting

    def _reason(self, tracer: Tracer) -> str | None:
        """Return why the tracer must start the SDK's spans, or None."""
        if reason := untested_sdk():
            return reason
        if type(self.multi) is not GuardedProcessors:
            return f"the processors are called by {name_of(self.multi)}"
        if type(tracer._tracer_metrics) is not NoOpTracerMetrics:
            return "OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED counts its spans"
        for processor in self.processors:
            if not _is_known(processor):
                return f"the processor {name_of(processor)} may read what only the SDK's spans have"
        return None

    def _add(self, processor: sdk.SpanProcessor) -> None:
        if type(processor) is BatchSpanProcessor:
            self.batches.append(processor._batch_processor)
            self.finish_sampled.append(_enqueuing(processor._batch_processor))
        elif type(processor) is SimpleSpanProcessor:
            self.finish_sampled.append(processor.on_end)
        else:
            self.starting.append(processor)
            self.ending.append(processor)
            finish = functools.partial(guarded, processor.on_end)
            self.finish.append(finish)
            self.finish_sampled.append(finish)


def _enqueuing(batch: Any) -> Callable[[sdk.Span], None]:
    """Return what `batch.emit` does, without its check for a fork, for which _restart_after_fork is called.

    A queue that is far from full neither drops a span nor wakes the thread that exports.
    """
    queue, fullest = batch._queue, batch._max_export_batch_size - 1

    def enqueue(span: sdk.Span) -> None:
        if batch._shutdown or len(queue) >= fullest:
            batch.emit(span)
        else:
            queue.appendleft(span)

    return enqueue


def _restart_after_fork(batches: Sequence[Any]) -> None:
    """Do what `emit` does in a process that was forked without Python's hooks, such as a worker of uWSGI.

    Called when the first span of a trace starts in this process, so that none is in the queue, which is emptied.
    """
    for batch in batches:
        if batch._pid != getpid():
            batch._bsp_reset_once.do_once(batch._at_fork_reinit)


def _is_known(processor: sdk.SpanProcessor) -> bool:
    return (
        type(processor) in (BatchSpanProcessor, SimpleSpanProcessor)
        or name_of(processor) in _KNOWN_PROCESSORS
        or bool(getattr(type(processor), "lean_spans", False))
    )


def guarded(method: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Call code from outside the SDK; its exception is logged and does not reach the application."""
    try:
        method(*args, **kwargs)
    except Exception:
        logger.exception("%s failed.", getattr(method, "__qualname__", method))


class GuardedProcessors(sdk.SynchronousMultiSpanProcessor):
    """The SDK's list of processors, none of which can fail the application or the other ones."""

    def on_start(self, span: sdk.Span, parent_context: Context | None = None) -> None:
        for processor in self._span_processors:
            guarded(processor.on_start, span, parent_context=parent_context)

    def _on_ending(self, span: sdk.Span) -> None:
        for processor in self._span_processors:
            guarded(processor._on_ending, span)

    def on_end(self, span: sdk.ReadableSpan) -> None:
        for processor in self._span_processors:
            guarded(processor.on_end, span)


class Span(sdk.Span):
    """An SDK span whose fields are slots, and whose attributes are a plain dict.

    Made by Tracer.start_span alone, which sets the slots. They have the names of the SDK's fields, so that its methods
    work on them. The lock is for what it is for in the SDK: a span that has ended does not change, and no two threads
    end it. Values are cleaned outside of it, as cleaning may run code of the application.
    """

    __slots__ = (
        "_attributes",
        "_context",
        "_dropped",
        "_end_time",
        "_event_list",
        "_kind",
        "_link_list",
        "_lock",
        "_name",
        "_origin",
        "_parent",
        "_record_exception",
        "_set_status_on_exception",
        "_start_time",
        "_status",
    )

    _attributes: dict[str, AnyValue]
    _context: SpanContext
    _dropped: int
    _event_list: Any
    _link_list: Any
    _origin: _Origin

    # What the SDK's span has as a field and a lean one has with all spans of its tracer.
    _resource = property(lambda self: self._origin.resource)
    _instrumentation_scope = property(lambda self: self._origin.scope)
    _instrumentation_info = property(lambda self: self._origin.info)
    _limits = property(lambda self: self._origin.limits)
    _sampler = property(lambda self: self._origin.sampler)
    _span_processor = property(lambda self: self._origin.multi)
    _trace_config = None
    _record_end_metrics = None

    def _made_events(self) -> Any:
        if self._event_list is None:
            # setdefault is atomic: threads that come at the same time get the same list.
            self._event_list = vars(self).setdefault("events", BoundedList(self._limits.max_events))
        return self._event_list

    def _made_links(self) -> Any:
        if self._link_list is None:
            self._link_list = vars(self).setdefault("links", BoundedList(self._limits.max_links))
        return self._link_list

    # Made when the first event or link comes, or when a reader looks.
    _events = property(_made_events)
    _links = property(_made_links)

    def _set_links(self, links: Sequence[trace_api.Link]) -> None:
        self._link_list = self._new_links(links)

    @property
    def dropped_attributes(self) -> int:
        """The number of attributes that were over the limits, or had no valid key."""
        return self._dropped

    @property
    def dropped_events(self) -> int:
        return 0 if self._event_list is None else self._event_list.dropped

    @property
    def dropped_links(self) -> int:
        return 0 if self._link_list is None else self._link_list.dropped

    @property
    def attributes(self) -> Attributes:
        if type(self._attributes) is FixedAttributes:
            with self._lock:
                self._own_attributes()
        return MappingProxyType(self._attributes)

    def _own_attributes(self) -> dict[str, AnyValue]:
        """Return the attributes to change or to watch; those that are shared are copied first. With the lock."""
        if type(self._attributes) is FixedAttributes:
            self._attributes = self._attributes.copy()
        return self._attributes

    def get_span_context(self) -> SpanContext:
        return self._context

    def set_attribute(self, key: str, value: AnyValue) -> None:
        origin = self._origin
        valid = (type(key) is str or isinstance(key, str)) and bool(key)
        if not valid:
            attributes_logger.warning("invalid key `%s`. must be non-empty string. Dropping key from attributes.", key)
        elif type(value) not in PLAIN or origin.length is not None:
            value = clean(value, origin.length)
        lock = self._lock
        lock.acquire()
        try:
            ended = self._end_time is not None
            if not ended:
                if valid:
                    attributes = self._attributes
                    if type(attributes) is FixedAttributes:
                        attributes = self._own_attributes()
                    # A value that is set again becomes the newest, as in BoundedAttributes.
                    if key in attributes:
                        del attributes[key]
                    attributes[key] = value
                    if len(attributes) > origin.room:
                        self._dropped += keep_newest(attributes, origin.room)
                else:
                    self._dropped += 1
        finally:
            lock.release()
        if ended:
            sdk.logger.warning("Setting attribute on ended span.")

    def set_attributes(self, attributes: Mapping[str, AnyValue]) -> None:
        origin = self._origin
        cleaned: dict[str, Any]
        if type(attributes) is FixedAttributes and origin.shares and len(attributes) <= origin.room:
            cleaned, invalid = attributes, 0
        else:
            cleaned, invalid = clean_all(attributes, origin.length)
        with self._lock:
            ended = self._end_time is not None
            if ended:
                pass
            elif cleaned is attributes and not self._attributes:
                self._attributes = cleaned
            else:
                self._dropped += invalid + add_all(self._own_attributes(), cleaned, origin.room)
        if ended:
            sdk.logger.warning("Setting attribute on ended span.")

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """Add an event with the exception's type, message and stack trace, whatever its `__str__` does."""
        try:
            super().record_exception(exception, attributes, timestamp, escaped)
        except Exception:
            kind = type(exception)
            named = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
            self.add_event("exception", {"exception.type": named, "exception.escaped": str(escaped)}, timestamp)

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        try:
            super().add_event(name, attributes, timestamp)
        except Exception:
            logger.exception("The attributes of an event could not be read.")
            super().add_event(name, clean_all(attributes or {}, self._limits.max_attribute_length)[0], timestamp)

    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        try:
            super().add_link(context, attributes)
        except Exception:
            logger.exception("The attributes of a link could not be read.")
            super().add_link(context, clean_all(attributes or {}, self._limits.max_attribute_length)[0])

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        described = isinstance(status, Status) and description is not None
        if isinstance(status, StatusCode):
            status = UNSET if status is StatusCode.UNSET else Status(status, description)
        elif not isinstance(status, Status):
            return
        with self._lock:
            ended = self._end_time is not None
            ignored = status.status_code is StatusCode.UNSET or self._status.status_code is StatusCode.OK
            if not ended and not ignored:
                self._status = status
        if ended:
            sdk.logger.warning("Tried calling %s on an ended span.", "set_status")
        elif described and not ignored:
            sdk.logger.warning(
                "Description %s ignored. Use either `Status` or `(StatusCode, Description)`", description
            )

    def end(self, end_time: int | None = None) -> None:
        with self._lock:
            ended = self._end_time is not None
            if not ended:
                self._end_time = time_ns() if end_time is None else end_time
        if ended:
            sdk.logger.warning("Calling end() on an ended span.")
            return
        origin = self._origin
        if origin.processors is not origin.multi._span_processors:  # one came after the start
            origin.multi._on_ending(self)
            origin.multi.on_end(self._readable_span())
            return
        for processor in origin.ending:
            guarded(processor._on_ending, self)
        for finish in origin.finish_sampled if self._context[3] & 1 else origin.finish:
            finish(self)

    def _readable_span(self) -> sdk.ReadableSpan:
        """Return the SDK's copy, for a processor that may read the fields."""
        span = super()._readable_span()
        span._attributes = BoundedAttributes(
            self._limits.max_span_attributes, self._attributes, True, self._limits.max_span_attribute_length
        )
        span._attributes.dropped = self._dropped
        return span

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        if exc_val is not None and self.is_recording():
            if self._record_exception:
                self.record_exception(exc_val, escaped=True)
            if self._set_status_on_exception:
                self.set_status(Status(StatusCode.ERROR, describe(exc_val)))
        self.end()


def describe(exception: BaseException) -> str:
    """Return the description of a status that an exception leaves."""
    try:
        return f"{type(exception).__name__}: {exception}"
    except Exception:
        return type(exception).__name__


class _CurrentSpan:
    """`with tracer.start_as_current_span(...)`, or a decorator of a function or coroutine function."""

    __slots__ = ("_arguments", "_end", "_record", "_set_status", "_span", "_token", "_tracer")

    def __init__(self, tracer: Tracer, arguments: tuple[Any, ...], record: bool, set_status: bool, end: bool) -> None:
        self._tracer = tracer
        self._arguments = arguments
        self._record = record
        self._set_status = set_status
        self._end = end

    def __enter__(self) -> trace_api.Span:
        span = self._span = self._tracer.start_span(*self._arguments)
        self._token = attach(with_span(span, current_context()))
        return span

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        detach(self._token)
        span = self._span
        # As in use_span: what is no Exception, such as GeneratorExit, is no error.
        if isinstance(exc_val, Exception) and span.is_recording():
            if self._record:
                span.record_exception(exc_val)
            if self._set_status:
                span.set_status(Status(StatusCode.ERROR, describe(exc_val)))
        if self._end:
            span.end()

    def __call__(self, function: Any) -> Any:
        def again() -> _CurrentSpan:
            return _CurrentSpan(self._tracer, self._arguments, self._record, self._set_status, self._end)

        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def traced_coroutine(*args: Any, **kwargs: Any) -> Any:
                with again():
                    return await function(*args, **kwargs)

            return traced_coroutine

        @functools.wraps(function)
        def traced(*args: Any, **kwargs: Any) -> Any:
            with again():
                return function(*args, **kwargs)

        return traced


class Tracer(sdk.Tracer):
    """The SDK's tracer; it starts lean spans unless it has to step aside."""

    _origin: _Origin | None = None
    _step_aside = StepAside("traces")

    def start_as_current_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[trace_api.Link] | None = (),
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> Any:
        arguments = (
            *(name, context, kind, attributes, links, start_time),
            *(record_exception, set_status_on_exception),
        )
        return _CurrentSpan(self, arguments, record_exception, set_status_on_exception, end_on_exit)

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[trace_api.Link] | None = (),
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> trace_api.Span:
        origin = self._origin
        if (
            origin is None
            or origin.processors is not self.span_processor._span_processors
            or origin.resource is not self.resource
            or origin.sampler is not self.sampler
        ):
            origin = self._new_origin()
        if origin.aside is not None:
            return super().start_span(
                name, context, kind, attributes, links, start_time, record_exception, set_status_on_exception
            )
        current: Any = (current_context() if context is None else context).get(_SPAN_KEY)
        parent = current._context if type(current) is Span else _parent_of(context)
        if not self._tracer_config.is_enabled:
            return NonRecordingSpan(trace_api.INVALID_SPAN_CONTEXT if parent is None else parent)

        generator = origin.id_generator
        trace_state: TraceState | None
        if parent is not None and parent[5]:
            trace_id, trace_state, random = parent[0], parent[4], bool(parent[3] & 2)
        else:
            parent, trace_state = None, DEFAULT_TRACE_STATE
            if origin.random_ids:
                trace_id, random = getrandbits(128) or 1, True
            else:
                trace_id, random = generator.generate_trace_id(), generator.is_trace_id_random()

        if origin.rule is not None:
            recording = sampled = origin.rule(parent, trace_id)
        else:
            result = self._sample(context, trace_id, name, kind, attributes, links or ())
            recording, sampled = result.decision.is_recording(), result.decision.is_sampled()
            attributes, trace_state = result.attributes, result.trace_state

        span_id = (getrandbits(64) or 1) if origin.random_ids else generator.generate_span_id()
        flags = _FLAGS[sampled + 2 * random]
        if origin.random_ids and origin.rule is not None:  # then all ids are valid
            span_context = _new_context(SpanContext, (trace_id, span_id, False, flags, trace_state, True))
        else:
            span_context = SpanContext(trace_id, span_id, False, flags, trace_state)
        if not recording:
            return NonRecordingSpan(span_context)

        if parent is None or parent[2]:
            _restart_after_fork(origin.batches)
        span: Span = _new_span(Span)
        span._origin = origin
        span._name = name
        span._context = span_context
        span._parent = parent
        span._kind = kind
        span._end_time = span._event_list = None
        span._status = UNSET
        span._lock = Lock()
        span._record_exception = record_exception
        span._set_status_on_exception = set_status_on_exception
        span._dropped = 0
        if attributes:
            cleaned, span._dropped = clean_all(attributes, origin.length)
            if len(cleaned) > origin.room:
                span._dropped += keep_newest(cleaned, origin.room)
            span._attributes = cleaned
        else:
            span._attributes = {}
        span._link_list = None
        if links:
            guarded(span._set_links, links)
        span._start_time = time_ns() if start_time is None else start_time
        for processor in origin.starting:
            guarded(processor.on_start, span, parent_context=context)
        return span

    def _new_origin(self) -> _Origin:
        origin = self._origin = _Origin(self)
        if origin.aside is not None:
            self._step_aside(origin.aside)
        return origin

    def _sample(self, context: Context | None, trace_id: int, name: str, *args: Any) -> SamplingResult:
        """Query a sampler of unknown type; if it fails, the span is sampled rather than lost."""
        try:
            result = self.sampler.should_sample(context, trace_id, name, *args)
            result.decision.is_recording()
            return result
        except Exception:
            logger.exception("The sampler %s failed; the span is sampled.", name_of(self.sampler))
            parent = _parent_of(context)
            return SamplingResult(Decision.RECORD_AND_SAMPLE, args[1], None if parent is None else parent.trace_state)


def _parent_of(context: Context | None) -> SpanContext | None:
    if (current_context() if context is None else context).get(_SPAN_KEY) is None:
        return None
    parent = trace_api.get_current_span(context).get_span_context()
    if parent is not None and not isinstance(parent, SpanContext):
        raise TypeError("parent_span_context must be a SpanContext or None.")
    return parent


class TracerProvider(sdk.TracerProvider):
    """The SDK's provider, with the same arguments, whose tracers are lean ones."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if untested_sdk() is None:
            propagate_lean(get_global_textmap())
        if type(self._active_span_processor) is sdk.SynchronousMultiSpanProcessor:
            guard = GuardedProcessors()  # type: ignore[no-untyped-call]
            guard._span_processors = self._active_span_processor._span_processors
            self._active_span_processor = guard

    def add_span_processor(self, span_processor: sdk.SpanProcessor) -> None:
        send_encoded(span_processor)
        super().add_span_processor(span_processor)

    def get_tracer(self, *args: Any, **kwargs: Any) -> trace_api.Tracer:
        tracer = super().get_tracer(*args, **kwargs)
        if type(tracer) is sdk.Tracer:
            # The SDK's method, which makes it, has no parameter for the class; a lean tracer has no other fields.
            tracer.__class__ = Tracer
        return tracer
