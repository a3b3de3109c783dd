"""What the services emit, as `services/kit.yaml` and `services/<name>/telemetry.yaml` declare it.

The files are a registry of OpenTelemetry Weaver, in the YAML of the semantic conventions:
https://github.com/open-telemetry/weaver/blob/main/schemas/semconv-syntax.md. The models below are the part of it that
is used here; anything else is refused. What the schema has no field for is in `annotations`.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from local.settings import ROOT

KIT = "kit"
"""What every service emits."""
CARDINALITY_LIMIT = 2000
"""Series of an instrument after which an SDK drops attributes:
https://opentelemetry.io/docs/specs/otel/metrics/sdk/#cardinality-limits."""

Stability = Literal["stable", "release_candidate", "beta", "alpha", "development"]
SimpleType = Literal["string", "int", "double", "boolean", "string[]", "int[]", "double[]", "boolean[]"]


class Model(BaseModel):
    """A part of a file. A field that it does not have is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Member(Model):
    """A value of an attribute that has a list of them."""

    id: str
    value: str | int
    stability: Stability
    brief: str = ""


class Members(Model):
    """The type of an attribute that has a list of values."""

    members: tuple[Member, ...] = Field(min_length=1)


class Condition(Model):
    """When an attribute is there."""

    conditionally_required: str


class AttributeAnnotations(Model):
    """What the schema has no field for."""

    max_values: int | None = Field(default=None, gt=0)
    """How many values the attribute has at most in one process."""


class AttributeEntry(Model):
    """The definition of an attribute (`id`), or the use of one (`ref`)."""

    id: str | None = None
    ref: str | None = None
    type: SimpleType | Members | None = None
    brief: str = ""
    examples: tuple[str, ...] = ()
    stability: Stability | None = None
    requirement_level: Literal["required"] | Condition | None = None
    role: Literal["identifying", "descriptive"] | None = None
    annotations: AttributeAnnotations = AttributeAnnotations()

    @model_validator(mode="after")
    def _check(self) -> "AttributeEntry":
        if (self.id is None) == (self.ref is None):
            raise ValueError("an attribute has either an id or a ref")
        if self.id and not (self.type and self.stability and self.brief):
            raise ValueError(f"{self.id} needs a type, a stability and a brief")
        if self.ref and (self.type or self.stability):
            raise ValueError(f"{self.ref}: a ref has the type and the stability of its definition")
        if self.type == "string" and not self.examples:
            raise ValueError(f"{self.id} needs examples")
        return self


class Group(Model):
    """What all groups have in common."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_.]*$")
    brief: str
    note: str = ""
    attributes: tuple[AttributeEntry, ...] = ()


class AttributeGroup(Group):
    """Definitions of attributes, or what attributes of the conventions mean here."""

    type: Literal["attribute_group"]


class Entity(Group):
    """The attributes of the resource."""

    type: Literal["entity"]
    name: str
    stability: Stability


class SpanAnnotations(Model):
    """What the schema has no field for."""

    question: str = Field(pattern=r"\?$")
    """What a reader learns from the span."""
    scope: str | None = None
    """The instrumentation scope, of a span of the kit."""
    name: str | None = None
    """The form of the name, of a span of the kit. It is the end of the id otherwise."""


class Span(Group):
    """A span."""

    type: Literal["span"]
    span_kind: Literal["internal", "server", "client", "producer", "consumer"]
    stability: Stability
    annotations: SpanAnnotations

    @property
    def name(self) -> str:
        """Return its name, or the form of it."""
        return self.annotations.name or self.id.rpartition(".")[2]


class MetricAnnotations(Model):
    """What the schema has no field for."""

    max_series: int = Field(gt=0, le=CARDINALITY_LIMIT)
    """The budget: how many series a process has of the instrument at most."""
    correlated: bool = False
    """Whether the values of its attributes depend on each other, so that there are fewer series than combinations."""
    variable: str | None = None
    """The instrument's name in `telemetry.py`, of a metric of a service."""
    scope: str | None = None
    """The instrumentation scope, of a metric of the kit."""


class Metric(Group):
    """An instrument."""

    type: Literal["metric"]
    metric_name: str
    instrument: Literal["counter", "updowncounter", "gauge", "histogram"]
    unit: str
    stability: Stability
    annotations: MetricAnnotations


class EventAnnotations(Model):
    """What the schema has no field for."""

    logger: str | None = None
    """The name of the logger; without one, it is an event of a span."""
    severity: Literal["INFO", "WARN", "ERROR"] | None = None
    message: str = ""
    """The text of the record, with what varies in braces."""


class Event(Group):
    """A log record, or an event of a span."""

    type: Literal["event"]
    name: str
    stability: Stability
    annotations: EventAnnotations = EventAnnotations()

    def matches(self, logger: str, message: str) -> bool:
        """Return whether a log record is one of these."""
        pattern = re.sub(r"\\\{.+?\\\}", ".+", re.escape(self.annotations.message))
        return logger == self.annotations.logger and re.fullmatch(pattern, message, re.DOTALL) is not None


class File(Model):
    """The contents of a file."""

    groups: tuple[Annotated[AttributeGroup | Entity | Span | Metric | Event, Field(discriminator="type")], ...]


GroupT = TypeVar("GroupT", bound=Group)


@dataclass(frozen=True)
class Attribute:
    """An attribute as a group uses it."""

    name: str
    type: SimpleType | None
    """None if it is one of the conventions."""
    brief: str
    examples: tuple[str, ...]
    members: tuple[Member, ...]
    """Empty if any value is possible."""
    max_values: int | None
    """None if their number has no limit."""
    condition: str | None
    """When it is there; None if always."""

    @property
    def meaning(self) -> str:
        """Return the brief, and the values if they are listed."""
        values = ", ".join(str(member.value) for member in self.members)
        return f"{self.brief.rstrip('.')}: {values}." if values else self.brief


class Registry:
    """The declarations of the kit and of services, by `kit` and by the names of the services."""

    def __init__(self, files: Mapping[str, File]) -> None:
        """Raise ValueError that names what is wrong in the files or between them."""
        self._files = files
        self._definitions = {entry.id: entry for entry in self._entries() if entry.id}
        self._described = {entry.ref: entry for entry in reversed([*self._entries()]) if entry.ref and entry.brief}
        if problems := [*self._repeated(), *self._unknown(), *self._over_budget()]:
            raise ValueError(f"services/*.yaml: {'; '.join(problems)}.")

    @property
    def owners(self) -> tuple[str, ...]:
        """Return `kit` and the names of the services."""
        return tuple(self._files)

    def groups(self, kind: type[GroupT], *owners: str) -> list[GroupT]:
        """Return the groups of a kind that these owners declare, or all owners."""
        files = [self._files[owner] for owner in owners or self._files]
        return [group for file in files for group in file.groups if isinstance(group, kind)]

    def attributes(self, group: Group) -> list[Attribute]:
        """Return the attributes of a group, each with what its definition says."""
        return [self._resolved(entry) for entry in group.attributes]

    def defined(self, owner: str) -> list[Attribute]:
        """Return the attributes that a service uses in its own groups, its own definitions first."""
        entries = {entry.id or entry.ref: entry for group in self.groups(Group, owner) for entry in group.attributes}
        return [self._resolved(entry) for entry in entries.values()]

    def _entries(self) -> Iterator[AttributeEntry]:
        return (entry for group in self.groups(Group) for entry in group.attributes)

    def _resolved(self, entry: AttributeEntry) -> Attribute:
        name = entry.id or entry.ref or ""
        source = self._definitions.get(name) or self._described[name]
        members = source.type.members if isinstance(source.type, Members) else ()
        simple = type_of_members(members) if isinstance(source.type, Members) else source.type
        level = entry.requirement_level
        return Attribute(
            name=name,
            type=simple,
            brief=entry.brief or source.brief,
            examples=source.examples,
            members=members,
            max_values=len(members) or entry.annotations.max_values or source.annotations.max_values,
            condition=level.conditionally_required if isinstance(level, Condition) else None,
        )

    def _repeated(self) -> Iterator[str]:
        names = {
            "group": [group.id for group in self.groups(Group)],
            "attribute": [entry.id for entry in self._entries() if entry.id],
            "metric": [metric.metric_name for metric in self.groups(Metric)],
        }
        for what, found in names.items():
            yield from (f"the {what} {name} is declared {n} times" for name, n in Counter(found).items() if n > 1)

    def _unknown(self) -> Iterator[str]:
        known = self._definitions.keys() | self._described.keys()
        for group in self.groups(Group):
            for entry in group.attributes:
                if entry.ref and entry.ref not in known:
                    yield f"{group.id}: no file defines or describes {entry.ref}"

    def _over_budget(self) -> Iterator[str]:
        for metric in self.groups(Metric):
            bounds = {entry.ref or "": self._max_values(entry) for entry in metric.attributes}
            unbounded = [name for name, bound in bounds.items() if bound is None]
            yield from (
                f"{metric.id}: {name} is unbounded: it has neither members nor max_values" for name in unbounded
            )
            combinations = math.prod(bound for bound in bounds.values() if bound is not None)
            if combinations > metric.annotations.max_series and not metric.annotations.correlated and not unbounded:
                yield f"{metric.id}: {combinations} series are possible, max_series is {metric.annotations.max_series}"

    def _max_values(self, entry: AttributeEntry) -> int | None:
        name = entry.ref or entry.id or ""
        known = name in self._definitions or name in self._described
        return self._resolved(entry).max_values if known else None


def type_of_members(members: Iterable[Member]) -> SimpleType:
    """Return the type that the values of an attribute have."""
    return "int" if all(isinstance(member.value, int) for member in members) else "string"


def parse(text: str, name: str) -> File:
    """Return the declarations in the text of a file. Raise ValueError that names the file and what is wrong."""
    try:
        return File.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise ValueError(f"{name} is no YAML: {error}") from None
    except ValidationError as error:
        wrong = "; ".join(f"{_place(text, each['loc'])}: {each['msg']}" for each in error.errors())
        raise ValueError(f"{name}: {wrong}. Correct the declaration.") from None


def _place(text: str, location: tuple[int | str, ...]) -> str:
    """Return the id of the group and the field."""
    match location:
        case ("groups", int(number), _, *rest):
            group: Any = yaml.safe_load(text)["groups"][number]
            return ".".join(map(str, [group.get("id", number), *rest]))
    return ".".join(map(str, location))


def path(owner: str) -> str:
    """Return the path of the file of the kit or of a service."""
    return f"services/{owner}.yaml" if owner == KIT else f"services/{owner}/telemetry.yaml"


def read(services: Iterable[str], texts: Mapping[str, str] | None = None) -> Registry:
    """Return what the kit and the services declare, in `texts` or else in their files. Raise ValueError."""
    paths = {owner: path(owner) for owner in (KIT, *services)}
    return Registry({owner: parse((texts or {}).get(at) or _text(at), at) for owner, at in paths.items()})


def _text(file: str) -> str:
    try:
        return (ROOT / file).read_text()
    except FileNotFoundError:
        raise ValueError(f"{file} does not exist. Declare there what the service emits.") from None
