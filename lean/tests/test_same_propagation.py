"""The same headers and contexts are read and written by the official propagators and by the lean ones."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import baggage, context, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from waybill_lean.propagation import Baggage, TraceContext, propagate_lean
from waybill_lean.trace import TracerProvider

from .values import any_texts

IDS = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"
TRACEPARENTS = [
    *(f"00-{IDS}-01", f"00-{IDS}-00", f"00-{IDS}-ff", f"01-{IDS}-01", f"ff-{IDS}-01", f"00-{IDS.upper()}-01"),
    *(f"00-{IDS}-01-more", f"01-{IDS}-01-more", f" \t00-{IDS}-01 ", f"00-{IDS}-01\n", f"00-{'0' * 32}-{'1' * 16}-01"),
    *(f"00-{'1' * 32}-{'0' * 16}-01", f"00-{IDS}-1", "", "garbage"),
]
STATES = ["", "a=1", "a=1,b=2", "garbage", "a=" + "x" * 600]
BAGGAGE = ["", "user=ann", "user=ann,plan=a%20b;meta=1", "=,;;==%zz", "x" * 9000]
carriers = st.fixed_dictionaries(
    {},
    optional={
        "traceparent": st.one_of(st.sampled_from(TRACEPARENTS), any_texts),
        "tracestate": st.one_of(st.sampled_from(STATES), any_texts),
        "baggage": st.one_of(st.sampled_from(BAGGAGE), any_texts),
    },
)
spans = st.one_of(
    st.none(),
    st.just(trace.INVALID_SPAN),
    st.just("no span"),
    st.builds(
        lambda *parts: NonRecordingSpan(SpanContext(*parts)),
        st.integers(0, 2**128 - 1),
        st.integers(0, 2**64 - 1),
        st.booleans(),
        st.sampled_from([TraceFlags(flags) for flags in range(4)]),
        st.sampled_from([None, TraceState(), TraceState([("vendor", "x")])]),
    ),
)


def propagators(lean: bool) -> CompositePropagator:
    """Return both propagators in one, as the default of OTEL_PROPAGATORS does."""
    found = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])
    if lean:
        propagate_lean(found)
    assert [type(part) in (TraceContext, Baggage) for part in found._propagators] == [lean, lean]
    return found


@settings(max_examples=200, deadline=None, derandomize=True)
@given(carriers, st.booleans())
def test_the_same_context_is_read(carrier: dict[str, str], begin: bool) -> None:
    def read(lean: bool) -> Any:
        parent = baggage.set_baggage("kept", "yes", context.Context()) if begin else None
        found = propagators(lean).extract(carrier, parent)
        return trace.get_current_span(found).get_span_context(), dict(baggage.get_all(found)), len(found)

    assert read(lean=True) == read(lean=False)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(spans, st.dictionaries(st.sampled_from("abc"), any_texts, max_size=3))
def test_the_same_headers_are_written(span: Any, items: dict[str, str]) -> None:
    def write(lean: bool, explicitly: bool) -> dict[str, str]:
        current = context.Context() if span is None else trace.set_span_in_context(span, context.Context())
        for name, value in items.items():
            current = baggage.set_baggage(name, value, current)
        carrier: dict[str, str] = {}
        token = context.attach(current)
        try:
            propagators(lean).inject(carrier, current if explicitly else None)
        except UnicodeEncodeError:  # a lone surrogate in the baggage
            carrier["error"] = "yes"
        finally:
            context.detach(token)
        return carrier

    for explicitly in (True, False):
        assert write(lean=True, explicitly=explicitly) == write(lean=False, explicitly=explicitly)


def test_a_recording_span_is_injected() -> None:
    span = TracerProvider(shutdown_on_exit=False).get_tracer("t").start_span("a")
    carrier: dict[str, str] = {}
    propagators(lean=True).inject(carrier, trace.set_span_in_context(span))
    ids = span.get_span_context()
    assert carrier == {"traceparent": f"00-{ids.trace_id:032x}-{ids.span_id:016x}-03"}
