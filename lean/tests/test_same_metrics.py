"""The same measurements leave the same points and exemplars on the official SDK and on the lean one."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk import metrics as sdk
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, AlwaysOnExemplarFilter, TraceBasedExemplarFilter
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.metrics.view import (
    DropAggregation,
    ExplicitBucketHistogramAggregation,
    ExponentialBucketHistogramAggregation,
    LastValueAggregation,
    View,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from waybill_lean import metrics as lean
from waybill_lean.attributes import fixed

from .values import Color, Level, attributes

VIEWS = [
    View(instrument_name="histogram", aggregation=ExplicitBucketHistogramAggregation([1, 5])),
    View(instrument_name="histogram", name="second", aggregation=ExponentialBucketHistogramAggregation()),
    View(instrument_name="counter", attribute_keys={"a"}),
    View(instrument_name="up_down", aggregation=LastValueAggregation()),
    View(instrument_name="gauge", aggregation=DropAggregation()),
]
PARENTS = [
    trace.set_span_in_context(NonRecordingSpan(SpanContext(5, 7, False, TraceFlags(flags))), context.Context())
    for flags in (0, 1)
] + [context.Context(), None]
# The official encoder fails all metrics for True and for what has more than 64 bits.
AMOUNTS = [0, 1, 2.5, 7, -1, -0.5, float("nan"), float("inf"), -float("inf"), 1e-9]
ALIKE = [{"a": value, "b": "x"} for value in (1, True, 1.0, "red", Color.RED, 3, Level.HIGH, None, [1], (1,))]
FIXED = [fixed({"a": value, "b": "x"}) for value in (1, "red", 3)]
label_sets = st.one_of(
    st.none(), st.sampled_from(FIXED), st.sampled_from(ALIKE), st.just({"b": "x", "a": 1}), attributes
)
measurements = st.lists(
    st.tuples(
        st.sampled_from(["counter", "up_down", "histogram", "gauge"]),
        st.sampled_from(AMOUNTS),
        label_sets,
        st.sampled_from(PARENTS),
    ),
    max_size=25,
)


def collected(
    module: Any, measurements: Sequence[Any], views: Sequence[View], exemplar_filter: Any, delta: bool
) -> list[str]:
    """Do the measurements three times; return what a reader got each time, without the times."""
    random.seed(2)
    delta_kinds: tuple[type, ...] = (sdk.Counter, sdk.Histogram) if delta else ()
    temporality = dict.fromkeys(delta_kinds, AggregationTemporality.DELTA)
    reader = InMemoryMetricReader(preferred_temporality=temporality)
    provider = module.MeterProvider(
        [reader], Resource({"service.name": "kettle"}), exemplar_filter, shutdown_on_exit=False, views=views
    )
    meter = provider.get_meter("m", "1")
    record: dict[str, Callable[..., None]] = {
        "counter": meter.create_counter("counter", "1", "counts").add,
        "up_down": meter.create_up_down_counter("up_down").add,
        "histogram": meter.create_histogram("histogram", "s", explicit_bucket_boundaries_advisory=[0.1, 3]).record,
        "gauge": meter.create_gauge("gauge").set,
    }
    results = []
    for _ in range(3):
        for name, amount, labels, parent in measurements:
            record[name](amount, labels, context=parent)
        data = reader.get_metrics_data()
        results.append("" if data is None else without_times(encode_metrics(data)))
    provider.shutdown()
    return results


def without_times(request: Any) -> str:
    for scope in request.resource_metrics[0].scope_metrics:
        for metric in scope.metrics:
            for point in getattr(metric, metric.WhichOneof("data")).data_points:
                assert point.time_unix_nano > 0
                point.ClearField("time_unix_nano")
                point.ClearField("start_time_unix_nano")
                for exemplar in point.exemplars:
                    assert exemplar.time_unix_nano > 0
                    exemplar.ClearField("time_unix_nano")
    return str(request)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    measurements,
    st.sampled_from([(), VIEWS]),
    st.sampled_from([None, TraceBasedExemplarFilter(), AlwaysOnExemplarFilter(), AlwaysOffExemplarFilter()]),
    st.booleans(),
)
def test_points_and_exemplars_are_the_same_whatever_is_measured(
    measurements: list[Any], views: list[View], exemplar_filter: Any, delta: bool
) -> None:
    official = collected(sdk, measurements, views, exemplar_filter, delta)
    assert collected(lean, measurements, views, exemplar_filter, delta) == official


def test_an_instrument_is_remembered_and_disabled_like_any_other() -> None:
    reader = InMemoryMetricReader()
    provider = lean.MeterProvider([reader], shutdown_on_exit=False)
    meter = provider.get_meter("m")
    counter = meter.create_counter("c")
    assert meter.create_counter("c") is counter
    counter.add(1, {"a": "b"})
    counter.add(1, {"a": "b"})
    provider._set_meter_configurator(meter_configurator=sdk._internal._disable_meter_configurator)
    counter.add(5, {"a": "b"})
    assert total(reader) == 2
    provider.shutdown()


def total(reader: InMemoryMetricReader) -> Any:
    data: Any = reader.get_metrics_data()
    (point,) = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
    return point.value


def test_a_reader_that_comes_later_gets_what_is_measured_then() -> None:
    first, second = InMemoryMetricReader(), InMemoryMetricReader()
    provider = lean.MeterProvider([first], shutdown_on_exit=False)
    counter = provider.get_meter("m").create_counter("c")
    for reader in (None, second):
        if reader is not None:
            provider.add_metric_reader(reader)
        for _ in range(3):
            counter.add(1, {"a": "b"})
    assert (total(first), total(second)) == (6, 3)
    provider.shutdown()


def test_more_sets_of_attributes_than_are_remembered_are_counted_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lean, "MAX_REMEMBERED", 3)
    reader = InMemoryMetricReader()
    provider = lean.MeterProvider([reader], shutdown_on_exit=False)
    counter = provider.get_meter("m").create_counter("c")
    for _ in range(2):
        for number in range(10):
            counter.add(1, {"n": number})
    data: Any = reader.get_metrics_data()
    points = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
    assert [point.value for point in points] == [2] * 10
    provider.shutdown()


def test_a_callback_that_fails_costs_no_other_metric() -> None:
    def fail(_: CallbackOptions) -> list[Observation]:
        raise RuntimeError("no")

    reader = InMemoryMetricReader()
    provider = lean.MeterProvider([reader], shutdown_on_exit=False)
    meter = provider.get_meter("m")
    meter.create_observable_gauge("failing", [fail])
    meter.create_counter("c").add(3)
    assert total(reader) == 3
    provider.shutdown()


@pytest.mark.parametrize("amount", ["text", None, object(), [1]])
def test_an_amount_that_is_no_number_does_not_fail_its_caller(amount: Any) -> None:
    reader = InMemoryMetricReader()
    provider = lean.MeterProvider([reader], shutdown_on_exit=False)
    counter = provider.get_meter("m").create_counter("c")
    for _ in range(2):
        counter.add(1, {"a": "b"})
        counter.add(amount, {"a": "b"})
        counter.add(1, "no mapping")  # type: ignore[arg-type]
    provider.shutdown()
