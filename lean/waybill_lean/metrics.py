"""A meter provider whose synchronous instruments find their aggregations again.

For each measurement the SDK cleans and hashes the attributes to find an aggregation of each view and reader. A lean
instrument remembers what it found for attributes that come again, and adds the measurement to these aggregations: the
SDK's own, so that any view, temporality, aggregation and exemplar reservoir works. The first measurement of each set of
attributes, and each one that is not plain, goes the SDK's way.
"""

from __future__ import annotations

import sys
from bisect import bisect_left
from collections.abc import Callable, Sequence
from random import randrange
from time import time_ns
from typing import Any

from opentelemetry.context import Context
from opentelemetry.metrics import Meter as APIMeter
from opentelemetry.sdk import metrics as sdk
from opentelemetry.sdk.metrics import (
    AlignedHistogramBucketExemplarReservoir,
    AlwaysOffExemplarFilter,
    SimpleFixedSizeExemplarReservoir,
    TraceBasedExemplarFilter,
)
from opentelemetry.sdk.metrics._internal._view_instrument_match import _hash_attributes
from opentelemetry.sdk.metrics._internal.aggregation import _ExplicitBucketHistogramAggregation, _SumAggregation
from opentelemetry.sdk.metrics._internal.instrument import _Counter, _Gauge, _Histogram, _UpDownCounter
from opentelemetry.sdk.metrics._internal.measurement_consumer import SynchronousMeasurementConsumer
from opentelemetry.trace import SpanContext, get_current_span
from opentelemetry.trace.propagation import _SPAN_KEY
from opentelemetry.util.types import Attributes

from ._aside import StepAside, logger, untested_sdk
from ._context import current_context
from .attributes import PLAIN, FixedAttributes
from .trace import Span

MAX_REMEMBERED = 2000
"""Sets of attributes of one instrument; later ones go the SDK's way."""
_METHODS = {_Counter: "add", _UpDownCounter: "add", _Histogram: "record", _Gauge: "set"}
_NOT_NEGATIVE = (_Counter, _Histogram)
_LARGEST = sys.float_info.max
_step_aside = StepAside("metrics")

Record = Callable[..., None]
Add = Callable[[float, SpanContext | None], None]
"""Adds an amount to one aggregation, with the span of the exemplar if there may be one."""


class _Measurement:
    """What an aggregation reads of a measurement; its attributes are cleaned and do not change."""

    __slots__ = ("attributes", "context", "instrument", "time_unix_nano", "value")

    def __init__(self, value: float, instrument: Any, context: Context, attributes: Attributes) -> None:
        self.value = value
        self.time_unix_nano = time_ns()
        self.instrument = instrument
        self.context = context
        self.attributes = attributes


class _Remembered:
    """The aggregations of one set of attributes, for the readers of one moment."""

    __slots__ = ("adders", "aggregate", "attributes", "storages", "types")

    def __init__(self, attributes: dict[str, Any], storages: Any, aggregations: list[Any], direct: bool) -> None:
        self.attributes = attributes or None
        self.storages = storages
        self.aggregate = [aggregation.aggregate for aggregation in aggregations]
        adders = [_adder(aggregation, self.attributes) for aggregation in aggregations] if direct else [None]
        self.adders: list[Any] | None = None if None in adders else adders
        # 1, 1.0, True and a member of an enum can be equal and are series of their own.
        self.types = tuple(map(type, attributes.values()))


def remember(instrument: Any, consumer: SynchronousMeasurementConsumer) -> Record:
    """Return a function like the instrument's `add`, `record` or `set`; none of what it calls fails its caller."""
    official: Record = getattr(instrument, _METHODS[type(instrument)])
    lowest = 0 if type(instrument) in _NOT_NEGATIVE else -_LARGEST
    exemplar_filter = consumer._sdk_config.exemplar_filter
    exemplars_of_spans = type(exemplar_filter) is TraceBasedExemplarFilter
    direct = exemplars_of_spans or type(exemplar_filter) is AlwaysOffExemplarFilter
    known: dict[Any, _Remembered] = {}
    config = instrument._meter_config
    key = object()

    def record(amount: float, attributes: Attributes = None, context: Context | None = None) -> None:
        found: Any
        try:
            if type(attributes) is FixedAttributes:
                found = attributes.remembered.get(key)
            elif attributes:
                found = known.get(tuple(attributes.items()))
                if found is not None and found.types != tuple(map(type, attributes.values())):
                    found = None
            else:
                found = known.get(())
            usable = (
                found is not None
                and lowest <= amount <= _LARGEST
                and found.storages is consumer._reader_storages
                and (config is None or config._config.is_enabled)
            )
        except Exception:  # values that cannot be hashed, attributes that are no mapping, an amount that is no number
            usable = False
        try:
            if not usable:
                first(amount, attributes, context)
                return
            if found.adders is None:
                aggregate(found, amount, context or current_context())
                return
            span = None
            if exemplars_of_spans:
                current: Any = (context or current_context()).get(_SPAN_KEY)
                if type(current) is Span:
                    span = current._context if current._context[3] & 1 else None
                elif current is not None:
                    span = _sampled_span(context or current_context())
            for add in found.adders:
                add(amount, span)
        except Exception:
            logger.exception("A measurement of %s failed.", instrument.name)

    def aggregate(found: _Remembered, amount: float, context: Context) -> None:
        """Hand the measurement to aggregations of which only the method is known."""
        measurement = _Measurement(amount, instrument, context, found.attributes)
        sampled = exemplar_filter.should_sample(amount, measurement.time_unix_nano, found.attributes, context)
        for aggregate in found.aggregate:
            aggregate(measurement, sampled)

    def first(amount: float, attributes: Attributes, context: Context | None) -> None:
        storages = consumer._reader_storages
        official(amount, attributes, context)
        if len(known) >= MAX_REMEMBERED:
            return
        plain = dict(attributes or {})
        if all(type(value) in PLAIN for value in plain.values()) and all(type(key) is str and key for key in plain):
            aggregations = _aggregations(instrument, storages, plain)
            if aggregations is not None:
                found = known[tuple(plain.items())] = _Remembered(plain, storages, aggregations, direct)
                if type(attributes) is FixedAttributes:
                    attributes.remembered[key] = found

    return record


def _sampled_span(context: Context) -> SpanContext | None:
    """Return the context of the current span if it is sampled, for which the TraceBasedExemplarFilter looks."""
    found = get_current_span(context).get_span_context()
    return found if found.trace_flags & 1 else None


def _adder(aggregation: Any, attributes: Attributes) -> Add | None:
    """Return what the aggregation's `aggregate` does, without an object for the measurement; None if it is unknown."""
    kinds = (type(aggregation), type(aggregation._reservoir))
    if kinds == (_SumAggregation, SimpleFixedSizeExemplarReservoir):
        return _sum_adder(aggregation, attributes)
    if kinds == (_ExplicitBucketHistogramAggregation, AlignedHistogramBucketExemplarReservoir):
        return _histogram_adder(aggregation, attributes)
    return None


def _sum_adder(aggregation: Any, attributes: Attributes) -> Add:
    lock, reservoir = aggregation._lock, aggregation._reservoir
    buckets, size = reservoir._reservoir_storage, reservoir._size

    def add(amount: float, span: SpanContext | None) -> None:
        with lock:
            value = aggregation._value
            aggregation._value = (0 if value is None else value) + amount
        if span is not None:
            with reservoir._lock:
                reservoir._measurements_seen = seen = reservoir._measurements_seen + 1
                place = seen - 1 if seen <= size else randrange(seen)  # noqa: S311
                if place < size:
                    _keep(buckets[place], amount, attributes, span)

    return add


def _histogram_adder(aggregation: Any, attributes: Attributes) -> Add:
    lock, reservoir, boundaries = aggregation._lock, aggregation._reservoir, aggregation._boundaries
    buckets = reservoir._reservoir_storage

    def add(amount: float, span: SpanContext | None) -> None:
        place = bisect_left(boundaries, amount)
        with lock:
            if aggregation._value is None:
                aggregation._value = aggregation._get_empty_bucket_counts()
            aggregation._sum += amount
            if aggregation._record_min_max:
                if amount < aggregation._min:
                    aggregation._min = amount
                if amount > aggregation._max:
                    aggregation._max = amount
            aggregation._value[place] += 1
        if span is not None:
            with reservoir._lock:
                _keep(buckets[place], amount, attributes, span)

    return add


def _keep(bucket: Any, amount: float, attributes: Attributes, span: SpanContext) -> None:
    """Do what ExemplarBucket.offer does, once it is known of which span the exemplar is."""
    bucket._ExemplarBucket__value = amount
    bucket._ExemplarBucket__time_unix_nano = time_ns()
    bucket._ExemplarBucket__attributes = attributes
    bucket._ExemplarBucket__span_id = span[1]
    bucket._ExemplarBucket__trace_id = span[0]
    bucket._ExemplarBucket__offered = True


def _aggregations(instrument: Any, storages: Any, attributes: dict[str, Any]) -> list[Any] | None:
    """Return the aggregations that the SDK has for the attributes, or None if one is not there."""
    found = []
    for storage in storages.values():
        matches = storage._instrument_view_instrument_matches.get(instrument)
        if matches is None:  # the measurement was refused
            return None
        for match in matches:
            keys = match._view._attribute_keys
            kept = attributes if keys is None else {key: value for key, value in attributes.items() if key in keys}
            aggregation = match._attributes_aggregation.get(_hash_attributes(kept))
            if aggregation is None:
                return None
            found.append(aggregation)
    return found


class Meter(sdk.Meter):
    """The SDK's meter, whose synchronous instruments remember."""

    def create_counter(self, name: str, unit: str = "", description: str = "") -> Any:
        return self._remembering(super().create_counter(name, unit, description))

    def create_up_down_counter(self, name: str, unit: str = "", description: str = "") -> Any:
        return self._remembering(super().create_up_down_counter(name, unit, description))

    def create_histogram(
        self,
        name: str,
        unit: str = "",
        description: str = "",
        *,
        explicit_bucket_boundaries_advisory: Sequence[float] | None = None,
    ) -> Any:
        return self._remembering(
            super().create_histogram(
                name, unit, description, explicit_bucket_boundaries_advisory=explicit_bucket_boundaries_advisory
            )
        )

    def create_gauge(self, name: str, unit: str = "", description: str = "") -> Any:
        return self._remembering(super().create_gauge(name, unit, description))

    def _remembering(self, instrument: Any) -> Any:
        method = _METHODS.get(type(instrument))
        consumer = self._measurement_consumer
        if type(consumer) is SynchronousMeasurementConsumer and method is not None and method not in vars(instrument):
            # A subclass would not do: readers look up the temporality by the instrument's class.
            setattr(instrument, method, remember(instrument, consumer))
        return instrument


class MeterProvider(sdk.MeterProvider):
    """The SDK's provider, with the same arguments, whose instruments remember."""

    def get_meter(
        self, name: str, version: str | None = None, schema_url: str | None = None, attributes: Attributes = None
    ) -> APIMeter:
        meter = super().get_meter(name, version, schema_url, attributes)
        if type(meter) is sdk.Meter:
            if reason := untested_sdk():
                _step_aside(reason)
            else:
                # The SDK's method, which makes it, has no parameter for the class; a lean meter has no other fields.
                meter.__class__ = Meter
        return meter
