"""What the readers of the formats find in a JSON value: telemetry as protobuf messages, and what they cannot read."""

from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource


@dataclass(slots=True)
class Origin:
    """Where items come from: their resource and scope in protobuf, each with its schema URL."""

    resource: Resource
    scope: InstrumentationScope
    resource_schema: str = ""
    scope_schema: str = ""


@dataclass(slots=True)
class Item:
    """A span, a log record or a metric (`signal` says which) at `place`, a path inside the value."""

    signal: str
    origin: Origin
    message: Any
    place: str


@dataclass(slots=True)
class Unreadable:
    """`count` items of a signal that cannot be read; the problem is of the first, at `place`."""

    signal: str
    place: str
    problem: str
    count: int = 1
