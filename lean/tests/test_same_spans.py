"""The same calls leave the same spans on the official SDK and on the lean one, bit by bit once they are decoded."""

import os
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, sampling
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from waybill_lean import trace as lean
from waybill_lean.attributes import FixedAttributes, fixed
from waybill_lean.otlp import spans_request

from .values import Color, attributes, keys, odd_keys, texts, values

RESOURCE = Resource({"service.name": "kettle", "n": 1}, "https://example/schema")
REMOTE = [
    SpanContext(
        trace_id=5 + remote * 2 + flags,
        span_id=7,
        is_remote=bool(remote),
        trace_flags=TraceFlags(flags),
        trace_state=TraceState([("vendor", "x")]) if flags % 2 else None,
    )
    for remote in (0, 1)
    for flags in (0, 1, 2, 3)
] + [trace.INVALID_SPAN_CONTEXT]
SAMPLERS = [
    sampling.DEFAULT_ON,
    sampling.DEFAULT_OFF,
    sampling.ALWAYS_ON,
    sampling.ALWAYS_OFF,
    sampling.TraceIdRatioBased(0.5),
    sampling.ParentBasedTraceIdRatio(0.5),
    sampling.ParentBased(sampling.ALWAYS_ON, remote_parent_not_sampled=sampling.TraceIdRatioBased(0.5)),
    sampling.AlwaysRecordSampler(sampling.TraceIdRatioBased(0.5)),
    sampling.StaticSampler(sampling.Decision.RECORD_ONLY),
]

SHARED = [fixed({"a": 1, "b": "x"}), fixed({"c": None, "d": b"2", "e": 1.5})]
"""Attributes that many spans share until they change them."""

Operation = Callable[[Any], None]


@dataclass
class Start:
    """How a span starts, and what is done to it before and after it ends."""

    name: str
    parent: SpanContext | None
    kind: SpanKind
    attributes: Any
    links: list[tuple[SpanContext, Any]]
    operations: list[Operation]
    after_end: list[Operation]


def raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return caught


operations = st.one_of(
    st.builds(lambda key, value: lambda span: span.set_attribute(key, value), odd_keys, values),
    st.builds(lambda key: lambda span: span.set_attribute(key, "again"), keys),
    st.builds(lambda given: lambda span: span.set_attributes(given), attributes),
    st.builds(lambda given: lambda span: span.set_attributes(given), st.sampled_from(SHARED)),
    st.builds(lambda name, given: lambda span: span.add_event(name, given, 7), texts, attributes),
    st.builds(lambda to, given: lambda span: span.add_link(to, given), st.sampled_from(REMOTE), attributes),
    st.builds(lambda name: lambda span: span.update_name(name), texts),
    st.builds(lambda code, text: lambda span: span.set_status(code, text), st.sampled_from(StatusCode), texts),
    st.builds(lambda code, text: lambda span: span.set_status(Status(code, text)), st.sampled_from(StatusCode), texts),
    st.builds(lambda given: lambda span: span.record_exception(raised(ValueError("no")), given, 9), attributes),
)
starts = st.builds(
    Start,
    texts,
    st.one_of(st.none(), st.sampled_from(REMOTE)),
    st.sampled_from(SpanKind),
    st.one_of(st.none(), attributes),
    st.lists(st.tuples(st.sampled_from(REMOTE), attributes), max_size=3),
    st.lists(operations, max_size=12),
    st.lists(operations, max_size=2),
)
limits = st.builds(
    SpanLimits,
    *[st.sampled_from([SpanLimits.UNSET, 0, 1, 2, 5, 128])] * 6,
    *[st.sampled_from([SpanLimits.UNSET, 0, 1, 5])] * 2,
)


def recorded(module: Any, starts: list[Start], sampler: sampling.Sampler, limits: SpanLimits) -> list[Any]:
    """Do it all on the provider of a module; return the spans that its exporter got."""
    random.seed(1)
    exporter = InMemorySpanExporter()
    provider = module.TracerProvider(sampler=sampler, resource=RESOURCE, shutdown_on_exit=False, span_limits=limits)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    for number, start in enumerate(starts):
        tracer = provider.get_tracer(f"scope {number % 3}", "1", "https://example/scope", {"of": number % 2})
        parent = context.Context()
        if start.parent is not None:
            parent = trace.set_span_in_context(trace.NonRecordingSpan(start.parent), parent)
        links = [Link(to, given) for to, given in start.links]
        span = tracer.start_span(start.name, parent, start.kind, start.attributes, links, 3)
        for operation in start.operations:
            operation(span)
        span.end(5)
        for operation in start.after_end:
            operation(span)
        span.end(6)
    return [*exporter.get_finished_spans()]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(starts, min_size=1, max_size=4), st.sampled_from(SAMPLERS), limits)
def test_spans_are_the_same_whatever_is_done_to_them(
    starts: list[Start], sampler: sampling.Sampler, limits: SpanLimits
) -> None:
    official = encode_spans(recorded(sdk, starts, sampler, limits))
    spans = recorded(lean, starts, sampler, limits)
    assert all(type(span) is lean.Span for span in spans)
    assert same(encode_spans(spans)) == same(official)
    assert same(ExportTraceServiceRequest.FromString(spans_request(spans))) == same(official)


def test_spans_share_attributes_until_one_of_them_changes() -> None:
    shared = fixed({"a": 1, "b": "x"})
    provider = lean.TracerProvider(shutdown_on_exit=False)
    spans: list[Any] = [provider.get_tracer("t").start_span("a") for _ in range(4)]
    for span in spans:
        span.set_attributes(shared)
    assert all(span._attributes is shared for span in spans)
    spans[1].set_attribute("a", 2)
    spans[2].set_attributes({"c": 3})
    watched = spans[3].attributes
    spans[3].set_attribute("b", "y")
    assert [dict(span.attributes) for span in spans[:3]] == [shared, {"b": "x", "a": 2}, {**shared, "c": 3}]
    assert watched == {"a": 1, "b": "y"}
    assert shared == {"a": 1, "b": "x"}


def test_attributes_that_need_cleaning_are_not_shared() -> None:
    assert type(fixed({"a": 1})) is FixedAttributes
    for odd in ({"a": [1]}, {"": 1}, {"a": Color.RED}):
        assert type(fixed(odd)) is dict


def same(message: Any) -> str:
    """Return a message as text: equal for equal bits, with NaN and -0.0. The frames of a stack trace may differ."""
    return re.sub(r"Traceback .*?(?=ValueError)", "", str(message))


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.lists(starts, min_size=1, max_size=2))
def test_what_the_sdk_recorded_is_encoded_as_the_official_encoder_does(starts: list[Start]) -> None:
    spans = recorded(sdk, starts, sampling.ALWAYS_ON, SpanLimits(max_events=2))
    assert same(ExportTraceServiceRequest.FromString(spans_request(spans))) == same(encode_spans(spans))


def test_the_properties_of_a_span_are_the_same() -> None:
    def properties(module: Any) -> list[Any]:
        start = Start("a", REMOTE[7], SpanKind.SERVER, {"k": [1, None]}, [(REMOTE[1], {"l": 1})], [], [])
        (span,) = recorded(module, [start], sampling.DEFAULT_ON, SpanLimits())
        return [
            *(span.name, span.context, span.get_span_context(), span.parent, span.kind, span.start_time, span.end_time),
            *(dict(span.attributes), span.status.status_code, span.events, len(span.links), span.resource),
            *(span.instrumentation_scope, span.dropped_attributes, span.dropped_events, span.dropped_links),
            *(span.to_json(), span.is_recording() if hasattr(span, "is_recording") else False),
        ]

    assert properties(lean) == properties(sdk)


def test_a_name_that_utf_8_cannot_hold_costs_no_span() -> None:
    names = ["a\ud800b", "plain"]
    starts = [Start(name, None, SpanKind.CLIENT, None, [], [], []) for name in names]
    spans = recorded(lean, starts, sampling.ALWAYS_ON, SpanLimits())
    request = ExportTraceServiceRequest.FromString(spans_request(spans))
    sent = [span.name for scope in request.resource_spans[0].scope_spans for span in scope.spans]
    assert sent == ["a?b", "plain"]


@pytest.mark.parametrize(
    ("variable", "field"),
    [
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "dropped_attributes"),
        ("OTEL_ATTRIBUTE_COUNT_LIMIT", "dropped_attributes"),
        ("OTEL_SPAN_EVENT_COUNT_LIMIT", "dropped_events"),
        ("OTEL_SPAN_LINK_COUNT_LIMIT", "dropped_links"),
    ],
)
def test_the_limits_of_the_environment_hold(monkeypatch: pytest.MonkeyPatch, variable: str, field: str) -> None:
    monkeypatch.setenv(variable, "2")
    monkeypatch.setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "3")

    def attributes(module: Any) -> tuple[dict[str, Any], int]:
        links = [(REMOTE[1], {"l": "long text"})] * 3
        events: list[Operation] = [lambda span: span.add_event("e", {"f": "long text"})] * 3
        start = Start("a", None, SpanKind.CLIENT, {"x": "long text", "y": 1, "z": ["long text"]}, links, events, [])
        (span,) = recorded(module, [start], sampling.DEFAULT_ON, SpanLimits())
        return dict(span.attributes), getattr(span, field)

    assert attributes(lean) == attributes(sdk)
    assert attributes(lean)[1] == 1


@pytest.mark.parametrize("module", [sdk, lean], ids=["official", "lean"])
def test_a_current_span_is_a_context_and_a_decorator(module: Any) -> None:
    provider = module.TracerProvider(shutdown_on_exit=False)
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("t")
    decorate: Any = tracer.start_as_current_span("decorated", attributes={"a": 1})

    def twice(number: int) -> int:
        assert trace.get_current_span().is_recording()
        return 2 * number

    twice = decorate(twice)

    assert [twice(1), twice(2)] == [2, 4]

    def fail() -> None:
        with tracer.start_as_current_span("inner", record_exception=False):
            raise KeyError("gone")

    with tracer.start_as_current_span("outer") as outer:
        assert trace.get_current_span() is outer
        with pytest.raises(KeyError):
            fail()
    with tracer.start_as_current_span("open", end_on_exit=False) as still_open:
        pass
    assert still_open.is_recording()
    assert not trace.get_current_span().is_recording()
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert set(spans) == {"decorated", "inner", "outer"}
    assert spans["inner"].parent == outer.get_span_context()
    assert (spans["inner"].status.description, spans["inner"].events) == ("KeyError: 'gone'", ())
    assert spans["outer"].status.status_code is StatusCode.UNSET


@pytest.mark.parametrize("module", [sdk, lean], ids=["official", "lean"])
def test_a_span_that_has_ended_warns_and_does_not_change(module: Any, caplog: pytest.LogCaptureFixture) -> None:
    provider = module.TracerProvider(shutdown_on_exit=False)
    span: Any = provider.get_tracer("t").start_span("a", attributes={"a": 1})
    span.end()
    late: Callable[[], None]
    for late in (
        lambda: span.set_attribute("b", 2),
        lambda: span.set_attributes({"b": 2}),
        lambda: span.add_event("e"),
        lambda: span.add_link(REMOTE[1]),
        lambda: span.update_name("b"),
        lambda: span.set_status(StatusCode.OK),
        lambda: span.end(),
    ):
        caplog.clear()
        late()
        assert "ended span" in caplog.text
    assert (span.name, dict(span.attributes), span.status.is_unset) == ("a", {"a": 1}, True)
    assert (span.events, span.links) == ((), ())


def test_a_processor_that_comes_after_the_start_gets_the_span() -> None:
    provider = lean.TracerProvider(shutdown_on_exit=False)
    span = provider.get_tracer("t").start_span("early")
    exporter = InMemorySpanExporter()
    processor = BatchSpanProcessor(exporter)
    provider.add_span_processor(processor)
    span.end()
    provider.force_flush()
    assert [span.name for span in exporter.get_finished_spans()] == ["early"]
    provider.shutdown()


def test_a_process_that_was_forked_without_pythons_hooks_exports_its_spans() -> None:
    exporter = InMemorySpanExporter()
    processor = BatchSpanProcessor(exporter)
    provider = lean.TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    batch = processor._batch_processor
    thread = batch._worker_thread
    batch._pid = 0  # that of its parent
    with provider.get_tracer("t").start_as_current_span("parent"), provider.get_tracer("t").start_as_current_span("a"):
        pass
    assert batch._pid == os.getpid()
    assert batch._worker_thread is not thread
    provider.force_flush()
    assert [span.name for span in exporter.get_finished_spans()] == ["a", "parent"]
    provider.shutdown()
