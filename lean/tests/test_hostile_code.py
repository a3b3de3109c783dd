"""Whatever an application or its callbacks do: no exception reaches it, and no span below the queue's limit is lost."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import baggage, trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.processor.baggage import ALLOW_ALL_BAGGAGE_KEYS, BaggageSpanProcessor
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.trace import SpanProcessor, sampling
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, StatusCode

from waybill_lean.otlp import spans_request
from waybill_lean.trace import Span, Tracer, TracerProvider

from .values import Broken, any_texts, hostile_attributes, hostile_values

CONTEXT = trace.SpanContext(5, 7, False)


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class FailingSampler(sampling.Sampler):
    def should_sample(self, *_: Any, **__: Any) -> sampling.SamplingResult:
        raise RuntimeError("no sample")

    def get_description(self) -> str:
        return "fails"


class FailingProcessor(SpanProcessor):
    def on_start(self, *_: Any, **__: Any) -> None:
        raise RuntimeError("start")

    def _on_ending(self, *_: Any) -> None:
        raise RuntimeError("ending")

    def on_end(self, *_: Any) -> None:
        raise RuntimeError("end")


class LeanFailingProcessor(FailingProcessor):
    lean_spans = True


calls = st.one_of(
    st.tuples(st.just("set_attribute"), st.tuples(st.one_of(any_texts, st.builds(Broken)), hostile_values)),
    st.tuples(st.just("set_attributes"), st.tuples(hostile_attributes)),
    st.tuples(st.just("add_event"), st.tuples(any_texts, hostile_attributes)),
    st.tuples(st.just("add_link"), st.tuples(st.just(CONTEXT), hostile_attributes)),
    st.tuples(st.just("update_name"), st.tuples(any_texts)),
    st.tuples(st.just("record_exception"), st.tuples(st.builds(Unprintable), hostile_attributes)),
    st.tuples(st.just("set_status"), st.tuples(st.just(StatusCode.ERROR), any_texts)),
    st.tuples(st.just("end"), st.tuples()),
)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(any_texts, hostile_attributes, st.lists(calls, max_size=8))
def test_no_value_fails_its_caller_or_loses_a_span(name: str, attributes: Any, calls: list[Any]) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("t")
    links = [Link(CONTEXT, attributes)]
    with tracer.start_as_current_span(name, attributes=attributes, links=links) as span:
        for method, arguments in calls:
            getattr(span, method)(*arguments)
    spans = exporter.get_finished_spans()
    assert len(spans) == 1
    request = ExportTraceServiceRequest.FromString(spans_request(spans))
    assert len(request.resource_spans[0].scope_spans[0].spans) == 1


@pytest.mark.parametrize("moment", [None, 0, -5, 2**64, 1.5, "now", float("nan")])
def test_an_odd_time_costs_no_span(moment: Any) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    span = provider.get_tracer("t").start_span("a", start_time=moment)
    span.add_event("e", timestamp=moment)
    span.end(moment)
    request = ExportTraceServiceRequest.FromString(spans_request(exporter.get_finished_spans()))
    assert len(request.resource_spans[0].scope_spans[0].spans[0].events) == 1


@pytest.mark.parametrize("failing", [FailingProcessor, LeanFailingProcessor], ids=["official", "lean"])
def test_processors_and_samplers_that_fail_cost_no_span(failing: type[SpanProcessor]) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=FailingSampler(), shutdown_on_exit=False)
    for processor in (failing(), BatchSpanProcessor(exporter)):
        provider.add_span_processor(processor)
    if failing is FailingProcessor:  # the SDK's tracer, which has no guard around its sampler
        provider.sampler = sampling.ALWAYS_ON
    for _ in range(5):
        with provider.get_tracer("t").start_as_current_span("a"):
            pass
    provider.shutdown()
    assert len(exporter.get_finished_spans()) == 5


def test_an_exception_without_text_is_recorded_and_is_the_one_that_is_raised() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    def fail() -> None:
        with provider.get_tracer("t").start_as_current_span("a"):
            raise Unprintable

    with pytest.raises(Unprintable):
        fail()
    (span,) = exporter.get_finished_spans()
    assert span.status.description == "Unprintable"
    assert span.events[0].attributes is not None
    assert str(span.events[0].attributes["exception.type"]).endswith("test_hostile_code.Unprintable")


def test_an_unknown_processor_gets_the_sdk_s_spans_and_one_line_says_so(caplog: pytest.LogCaptureFixture) -> None:
    class Peek(SpanProcessor):
        def on_end(self, span: Any) -> None:
            seen.append((span._attributes.maxlen, span._events.dropped))

    seen: list[Any] = []
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    Tracer._step_aside._told.clear()
    for processor in (Peek(), BatchSpanProcessor(exporter)):
        provider.add_span_processor(processor)
    for name in ("one", "two"):
        span = provider.get_tracer(name).start_span(name)
        assert isinstance(span, sdk.Span)
        assert not isinstance(span, Span)
        span.end()
    provider.shutdown()
    assert seen == [(128, 0), (128, 0)]
    assert caplog.text.count("steps aside for traces") == 1
    spans = exporter.get_finished_spans()
    assert str(ExportTraceServiceRequest.FromString(spans_request(spans))) == str(encode_spans(spans))


def test_a_known_processor_gets_lean_spans_and_can_set_attributes() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    for processor in (BaggageSpanProcessor(ALLOW_ALL_BAGGAGE_KEYS), SimpleSpanProcessor(exporter)):
        provider.add_span_processor(processor)
    provider.get_tracer("t").start_span("a", baggage.set_baggage("tenant", "blue")).end()
    (span,) = exporter.get_finished_spans()
    assert isinstance(span, Span)
    assert dict(span.attributes or {}) == {"tenant": "blue"}


def test_an_untested_sdk_is_left_alone(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("waybill_lean._aside.sdk_version", "1.99.0")
    Tracer._step_aside._told.clear()
    span = TracerProvider(shutdown_on_exit=False).get_tracer("t").start_span("a")
    assert not isinstance(span, Span)
    assert "opentelemetry-sdk 1.99.0 is installed" in caplog.text
