"""A meter provider whose synchronous instruments find their aggregations again.

For each measurement the SDK cleans and hashes the attributes to find an aggregation of each view and reader. A lean
instrument remembers what it found for attributes that come again, and hands the measurement to these aggregations: the
SDK's own, so that any view, temporality, aggregation and exemplar reservoir works. The first measurement of each set of
attributes, and each one that is not plain, goes the SDK's way.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from time import time_ns
from typing import Any

from opentelemetry.context import Context
from opentelemetry.metrics import Meter as APIMeter
from opentelemetry.sdk import metrics as sdk
from opentelemetry.sdk.metrics import TraceBasedExemplarFilter
from opentelemetry.sdk.metrics._internal._view_instrument_match import _hash_attributes
from opentelemetry.sdk.metrics._internal.instrument import _Counter, _Gauge, _Histogram, _UpDownCounter
from opentelemetry.sdk.metrics._internal.measurement_consumer import SynchronousMeasurementConsumer
from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation import _SPAN_KEY
from opentelemetry.util.types import Attributes

from ._aside import StepAside, logger, untested_sdk
from ._context import current_context
from .attributes import PLAIN
from .trace import Span

MAX_REMEMBERED = 2000
"""Sets of attributes of one instrument; later ones go the SDK's way."""
_METHODS = {_Counter: "add", _UpDownCounter: "add", _Histogram: "record", _Gauge: "set"}
_NOT_NEGATIVE = (_Counter, _Histogram)
_step_aside = StepAside("metrics")

Record = Callable[..., None]


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

    __slots__ = ("aggregate", "attributes", "storages", "types")

    def __init__(self, attributes: dict[str, Any], storages: Any, aggregations: list[Any]) -> None:
        self.attributes = attributes or None
        self.storages = storages
        self.aggregate = [aggregation.aggregate for aggregation in aggregations]
        # 1, 1.0, True and a member of an enum can be equal and are series of their own.
        self.types = tuple(map(type, attributes.values()))


def remember(instrument: Any, consumer: SynchronousMeasurementConsumer) -> Record:
    """Return a function like the instrument's `add`, `record` or `set`; none of what it calls fails its caller."""
    official: Record = getattr(instrument, _METHODS[type(instrument)])
    lowest = 0 if type(instrument) in _NOT_NEGATIVE else -sys.float_info.max
    exemplar_filter = consumer._sdk_config.exemplar_filter
    by_trace = type(exemplar_filter) is TraceBasedExemplarFilter
    known: dict[Any, _Remembered] = {}

    def record(amount: float, attributes: Attributes = None, context: Context | None = None) -> None:
        found: Any
        try:
            if attributes:
                found = known.get(tuple(attributes.items()))
                same = found is not None and found.types == tuple(map(type, attributes.values()))
            else:
                found = known.get(())
                same = found is not None
            same = same and lowest <= amount <= sys.float_info.max
        except Exception:  # values that cannot be hashed, attributes that are no mapping, an amount that is no number
            same = False
        try:
            if (
                not same
                or found.storages is not consumer._reader_storages
                or not (instrument._meter_config is None or instrument._meter_config.is_enabled)
            ):
                first(amount, attributes, context)
                return
            measurement = _Measurement(amount, instrument, context or current_context(), found.attributes)
            sampled = (_is_sampled if by_trace else exemplar_filter.should_sample)(
                amount, measurement.time_unix_nano, found.attributes, measurement.context
            )
            for aggregate in found.aggregate:
                aggregate(measurement, sampled)
        except Exception:
            logger.exception("A measurement of %s failed.", instrument.name)

    def first(amount: float, attributes: Attributes, context: Context | None) -> None:
        storages = consumer._reader_storages
        official(amount, attributes, context)
        if len(known) >= MAX_REMEMBERED:
            return
        plain = dict(attributes or {})
        if all(type(value) in PLAIN for value in plain.values()) and all(type(key) is str and key for key in plain):
            aggregations = _aggregations(instrument, storages, plain)
            if aggregations is not None:
                known[tuple(plain.items())] = _Remembered(plain, storages, aggregations)

    return record


def _is_sampled(_amount: float, _time: int, _attributes: Attributes, context: Context) -> bool:
    """Return what the SDK's TraceBasedExemplarFilter does."""
    span = context.get(_SPAN_KEY)
    if type(span) is Span:
        return bool(span._context[3] & 1)
    return span is not None and bool(get_current_span(context).get_span_context().trace_flags & 1)


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
