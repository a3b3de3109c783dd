"""What is generated from the declarations of telemetry: each service's `telemetry.py`, and `docs/telemetry.md`."""

import re
import textwrap
from collections.abc import Iterable, Mapping

from local.registry import Service, in_stacks
from local.skeleton import ruff
from local.telemetry_registry import KIT, Attribute, Entity, Event, Group, Metric, Registry, Span

PAGE = "docs/telemetry.md"
LINE_LENGTH = 120
"""As ruff has it in pyproject.toml."""
CREATORS = {
    "counter": "create_counter",
    "updowncounter": "create_up_down_counter",
    "gauge": "create_gauge",
    "histogram": "create_histogram",
}

INTRODUCTION = """\
# Telemetry reference

<!-- generated from services/kit.yaml and services/*/telemetry.yaml (make generate) -->

Every span, metric, log record and resource attribute that the services emit. It is generated from
the declarations in `services/kit.yaml` and in the `telemetry.yaml` of each service, which also
generate each `telemetry.py`. `tests/test_declared_telemetry.py` compares them with what real
services emit: names, kinds, units, types, values, and the number of series.

- **An attribute with a condition** can be absent. All others are there always.
- **Series** is the budget of an instrument: how many series one worker process has of it at most. An
  attribute without a list of values or a limit fails the test.
- **HTTP and database attributes** follow [OpenTelemetry's conventions][semconv]. The tables say what
  they mean here.

To change the telemetry of a service, change its `telemetry.yaml`, run `make generate`, and use the
name in the code. The format is that of [OpenTelemetry Weaver][weaver], which reads the folder as a
registry: `weaver registry check -r services`. [Why](adr/0019-telemetry-is-declared.md).

[semconv]: https://opentelemetry.io/docs/specs/semconv/
[weaver]: https://github.com/open-telemetry/weaver
"""


def files(registry: Registry, services: Mapping[str, Service]) -> dict[str, str]:
    """Return the text of each generated file by its path; the reference has the services that are in a stack."""
    modules = {f"services/{name}/telemetry.py": module(registry, name) for name in registry.owners if name != KIT}
    return {**modules, PAGE: page(registry, in_stacks(services))}


def module(registry: Registry, service: str) -> str:
    """Return the `telemetry.py` of a service."""
    attributes = {each.name: each.meaning for each in _own_attributes(registry, service)}
    metrics = registry.groups(Metric, service)
    parts = [
        f'"""Every span, attribute and instrument that {service}-service\'s own code emits.',
        "",
        "Generated from telemetry.yaml. Change that, then run `make generate`.",
        '"""',
        "",
        "from opentelemetry import metrics, trace",
        "",
        f'tracer = trace.get_tracer("services.{service}")',
        f'meter = metrics.get_meter("services.{service}")',
        "",
        *_dictionary("SPANS", {span.name: span.brief for span in registry.groups(Span, service)}),
        *_dictionary("ATTRIBUTES", attributes),
        *_dictionary("METRICS", {metric.metric_name: description(metric) for metric in metrics}),
        *map(_instrument, metrics),
    ]
    return ruff("format", "--quiet", "--stdin-filename", "telemetry.py", "-", text="\n".join(parts) + "\n")


def _own_attributes(registry: Registry, service: str) -> list[Attribute]:
    """Return the attributes of a service's spans, metrics and log records, without those of the conventions."""
    return [each for each in registry.defined(service) if each.type is not None]


def _dictionary(name: str, texts: Mapping[str, str]) -> list[str]:
    return [f"{name} = {{", *(_entry(key, text) for key, text in texts.items()), "}", ""]


def _entry(key: str, text: str) -> str:
    """Return a line of a dictionary, or several if one would be too long: ruff does not split texts."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    line = f'    "{key}": "{escaped}",'
    if len(line) <= LINE_LENGTH:
        return line
    parts = textwrap.wrap(escaped, LINE_LENGTH - 20, drop_whitespace=False, break_on_hyphens=False)
    return "\n".join([f'    "{key}": (', *(f'        "{part}"' for part in parts), "    ),"])


def description(metric: Metric) -> str:
    """Return the description of an instrument: its brief, and the attributes that its series differ in."""
    names = [entry.ref or "" for entry in metric.attributes]
    by = f", by {' and '.join(names)}" if names else ""
    return re.sub(r"\.(?=\s|$)", f"{by}.", metric.brief, count=1)


def _instrument(metric: Metric) -> str:
    arguments = f'"{metric.metric_name}", unit="{metric.unit}", description=METRICS["{metric.metric_name}"]'
    return f"{metric.annotations.variable} = meter.{CREATORS[metric.instrument]}({arguments})"


def page(registry: Registry, services: Iterable[str]) -> str:
    """Return the reference of what the kit and these services emit."""
    return INTRODUCTION + "".join(_section(registry, owner) for owner in (KIT, *services))


def _section(registry: Registry, owner: str) -> str:
    events = registry.groups(Event, owner)
    parts = {
        "Resource attributes": _resource(registry, registry.groups(Entity, owner)),
        "Spans": _spans(registry, registry.groups(Span, owner)),
        "Metrics": _metrics(registry, registry.groups(Metric, owner)),
        "Log records": _logs(registry, [event for event in events if event.annotations.logger]),
        "Events of spans": _span_events(registry, [event for event in events if not event.annotations.logger]),
        "Attributes": _attributes(_signal_attributes(registry, owner)),
    }
    title = "Every service" if owner == KIT else f"{owner}-service"
    return f"\n## {title}\n" + "".join(f"\n### {name}\n\n{text}" for name, text in parts.items() if text)


def _signal_attributes(registry: Registry, owner: str) -> list[Attribute]:
    """Return the attributes of an owner's spans, metrics and events, each once, in the order of their names."""
    groups = [group for kind in (Span, Metric, Event) for group in registry.groups(kind, owner)]
    found = {each.name: each for group in groups for each in registry.attributes(group)}
    return [found[name] for name in sorted(found)]


def _resource(registry: Registry, entities: Iterable[Entity]) -> str:
    rows = [(f"`{each.name}`", each.brief) for entity in entities for each in registry.attributes(entity)]
    return _table(("attribute", "meaning"), rows)


def _spans(registry: Registry, spans: Iterable[Span]) -> str:
    rows = [
        (f"`{span.name}`", span.span_kind, span.brief, span.annotations.question, _names(registry, span))
        for span in spans
    ]
    return _table(("span", "kind", "what it is", "question", "attributes"), rows)


def _metrics(registry: Registry, metrics: Iterable[Metric]) -> str:
    rows = [
        (
            f"`{metric.metric_name}`",
            metric.instrument,
            f"`{metric.unit}`" if metric.unit else "none",
            f"{metric.brief} {metric.note}".strip(),
            _names(registry, metric),
            f"{metric.annotations.max_series:,}",
        )
        for metric in metrics
    ]
    return _table(("metric", "instrument", "unit", "what it is", "attributes", "series"), rows)


def _logs(registry: Registry, events: Iterable[Event]) -> str:
    rows = [
        (
            f"`{event.annotations.message}`",
            event.annotations.severity or "any",
            f"`{event.annotations.logger}`",
            event.brief,
            _names(registry, event),
        )
        for event in events
    ]
    return _table(("message", "severity", "logger", "what it is", "attributes"), rows)


def _span_events(registry: Registry, events: Iterable[Event]) -> str:
    rows = [(f"`{event.name}`", event.brief, _names(registry, event)) for event in events]
    return _table(("event", "what it is", "attributes"), rows)


def _attributes(attributes: Iterable[Attribute]) -> str:
    rows = [(f"`{each.name}`", each.type or "convention", each.brief, _values(each)) for each in attributes]
    return _table(("attribute", "type", "meaning", "values"), rows)


def _values(attribute: Attribute) -> str:
    if attribute.members:
        return ", ".join(f"`{member.value}`{_explained(member.brief)}" for member in attribute.members)
    return f"at most {attribute.max_values:,}" if attribute.max_values else "any"


def _explained(brief: str) -> str:
    return f" ({brief[0].lower()}{brief[1:].rstrip('.')})" if brief else ""


def _names(registry: Registry, group: Group) -> str:
    attributes = registry.attributes(group)
    return ", ".join(f"`{each.name}`{_explained(each.condition or '')}" for each in attributes) or "none"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(row)} |\n" for row in rows]
    return "".join([f"| {' | '.join(head)} |\n", f"|{'---|' * len(head)}\n", *lines]) if lines else ""
