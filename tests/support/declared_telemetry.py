"""Compares what services emitted with what the registry declares; each difference is a sentence."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from local.telemetry_registry import KIT, Attribute, Entity, Event, Group, Metric, Registry, Span
from tests.support import telemetry_receiver
from tests.support.telemetry_receiver import LogRecord, Point, Signal

TYPES = {"string": str, "int": int, "double": float, "boolean": bool}
OWN_SCOPE = "services."
"""How the scopes of the services' own code begin. All others are the kit's and the instrumentors'."""


def owner(signal: Signal) -> str:
    """Return whose file declares the signal."""
    return signal.service.removesuffix("-service") if signal.scope.startswith(OWN_SCOPE) else KIT


def declaration(registry: Registry, signal: Signal) -> Group | None:
    """Return the group of a span, a point or a log record."""
    match signal:
        case telemetry_receiver.Span():
            return next((each for each in registry.groups(Span, owner(signal)) if _is_span(each, signal)), None)
        case Point():
            metrics = registry.groups(Metric, owner(signal))
            return next((each for each in metrics if each.metric_name == signal.name), None)
        case LogRecord():
            events = registry.groups(Event, owner(signal))
            return next((each for each in events if each.matches(signal.scope, str(signal.body))), None)
    raise TypeError(signal)


def _is_span(group: Span, span: telemetry_receiver.Span) -> bool:
    if group.annotations.scope is None:
        return group.name == span.name
    return group.annotations.scope == span.scope and group.span_kind == span.kind.lower()


def named(signal: Any) -> str:
    """Return the service of a signal, what it is, and its name or message."""
    name = signal.body if isinstance(signal, LogRecord) else signal.name
    return f"{signal.service}: {type(signal).__name__} {name!r} of {signal.scope}"


def differences(registry: Registry, signals: Iterable[Signal]) -> set[str]:
    """Return how the signals differ from their declarations."""
    return {f"{named(signal)}: {difference}" for signal in signals for difference in _differences(registry, signal)}


def _differences(registry: Registry, signal: Signal) -> Iterator[str]:
    (entity,) = registry.groups(Entity, KIT)
    yield from _of_attributes(registry, entity, signal.resource)
    group = declaration(registry, signal)
    if group is None:
        yield "is not declared"
        return
    yield from _of_attributes(registry, group, signal.attributes)
    match group, signal:
        case Span(), telemetry_receiver.Span():
            yield from _of_fields(kind=(signal.kind, group.span_kind.upper()))
            yield from _of_span_events(registry, signal)
        case Metric(), Point():
            yield from _of_fields(instrument=(instrument(signal), group.instrument), unit=(signal.unit, group.unit))
            yield from _of_fields(scope=(signal.scope, group.annotations.scope or f"services.{owner(signal)}"))
        case Event(), LogRecord():
            yield from _of_fields(severity=(signal.severity, group.annotations.severity or signal.severity))


def instrument(point: Point) -> str:
    """Return which instrument a point comes from."""
    return point.kind if point.kind != "sum" else "counter" if point.monotonic else "updowncounter"


def _of_fields(**fields: tuple[str, str]) -> Iterator[str]:
    yield from (
        f"{field} is {emitted!r}, not {declared!r}"
        for field, (emitted, declared) in fields.items()
        if emitted != declared
    )


def _of_span_events(registry: Registry, span: telemetry_receiver.Span) -> Iterator[str]:
    declared = {event.name: event for event in registry.groups(Event, KIT, owner(span)) if not event.annotations.logger}
    for name, attributes in span.events:
        if name in declared:
            yield from _of_attributes(registry, declared[name], attributes)
        else:
            yield f"its event {name} is not declared"


def _of_attributes(registry: Registry, group: Group, emitted: dict[str, Any]) -> Iterator[str]:
    declared = {each.name: each for each in registry.attributes(group)}
    yield from (f"{name} is not declared" for name in emitted.keys() - declared.keys())
    yield from (f"{name} is absent" for name in declared.keys() - emitted.keys() if declared[name].condition is None)
    for name in emitted.keys() & declared.keys():
        yield from _of_value(declared[name], emitted[name])


def _of_value(attribute: Attribute, value: Any) -> Iterator[str]:
    if attribute.type in TYPES and type(value) is not TYPES[attribute.type]:
        yield f"{attribute.name} is {type(value).__name__}, not {attribute.type}"
    if attribute.members and value not in {member.value for member in attribute.members}:
        yield f"{attribute.name} is {value!r}, which is not a member"


def missing(registry: Registry, of: str, signals: Iterable[Signal]) -> set[str]:
    """Return the ids of the groups of an owner that no signal is of, and `<id> <attribute>` if no signal has it."""
    seen: dict[str, set[str]] = {}
    for signal in signals:
        if group := declaration(registry, signal):
            seen.setdefault(group.id, set()).update(signal.attributes)
        for name, attributes in getattr(signal, "events", []):
            seen.setdefault(f"event.{KIT}.{name}", set()).update(attributes)
    groups = [group for kind in (Span, Metric, Event) for group in registry.groups(kind, of)]
    absent = {group.id for group in groups} - seen.keys()
    return absent | {
        f"{group.id} {attribute.name}"
        for group in groups
        if group.id in seen
        for attribute in registry.attributes(group)
        if attribute.name not in seen[group.id]
    }


def over_budget(registry: Registry, points: Iterable[Point]) -> set[str]:
    """Return the instruments of which one process has more series, or values of an attribute, than declared."""
    found: dict[tuple[str, str], set[Any]] = defaultdict(set)
    limits: dict[tuple[str, str], int] = {}
    for point in points:
        group = declaration(registry, point)
        if not isinstance(group, Metric):
            continue
        name, process = f"{point.service}: {point.name}", point.resource["service.instance.id"]
        limits[name, process] = group.annotations.max_series
        found[name, process].add(tuple(sorted(point.attributes.items())))
        for attribute in registry.attributes(group):
            limits[f"{name} {attribute.name}", process] = attribute.max_values or 0
            if attribute.name in point.attributes:
                found[f"{name} {attribute.name}", process].add(point.attributes[attribute.name])
    return {
        f"{name}: {len(values)}, at most {limits[name, process]} are declared"
        for (name, process), values in found.items()
        if len(values) > limits[name, process]
    }
