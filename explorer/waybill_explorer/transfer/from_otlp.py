"""OTLP/JSON of all signals as items; one that cannot be read does not keep out the others."""

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeVar

from google.protobuf import json_format
from google.protobuf.message import Message
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from waybill_explorer.decode import bad_ids, field_error, ids_to_base64
from waybill_explorer.transfer.items import Item, Origin, Unreadable

Json = dict[str, Any]
OneMessage = TypeVar("OneMessage", bound=Message)


class Signal(NamedTuple):
    """The names of a signal's lists in OTLP/JSON, from the outside in, and its message."""

    name: str
    parts: str
    scopes: str
    items: str
    message: type[Message]


SIGNALS = (
    Signal("traces", "resourceSpans", "scopeSpans", "spans", Span),
    Signal("logs", "resourceLogs", "scopeLogs", "logRecords", LogRecord),
    Signal("metrics", "resourceMetrics", "scopeMetrics", "metrics", Metric),
)


def is_otlp(value: Any) -> bool:
    """Return whether a JSON value has one of OTLP's lists."""
    return isinstance(value, dict) and any(_field(value, signal.parts) is not None for signal in SIGNALS)


def count(value: Json) -> int:
    """Return how many spans, log records and metrics a value has."""
    return sum(len(items) for signal in SIGNALS for _, _, items, _ in _scopes(value, signal))


def read(value: Json) -> Iterator[Item | Unreadable]:
    """Yield the items of an OTLP/JSON value."""
    for signal in SIGNALS:
        for part, scope, items, place in _scopes(value, signal):
            try:
                origin = Origin(
                    _message(Resource(), part.get("resource") or {}, f"{place[0]}.resource"),
                    _message(InstrumentationScope(), scope.get("scope") or {}, f"{place[1]}.scope"),
                    str(_field(part, "schemaUrl") or ""),
                    str(_field(scope, "schemaUrl") or ""),
                )
            except _Bad as error:
                if items:
                    yield Unreadable(signal.name, error.place, error.problem, len(items))
                continue
            for index, item in enumerate(items):
                at = f"{place[1]}.{signal.items}[{index}]"
                try:
                    yield Item(signal.name, origin, _message(signal.message(), item, at), at)
                except _Bad as error:
                    yield Unreadable(signal.name, error.place, error.problem)


class _Bad(Exception):
    def __init__(self, place: str, problem: str) -> None:
        super().__init__(problem)
        self.place = place
        self.problem = problem


def _message(message: OneMessage, fields: Any, place: str) -> OneMessage:
    """Read a protobuf message from OTLP/JSON. Raise _Bad with the path of the field that is wrong."""
    if not isinstance(fields, dict):
        raise _Bad(place, "an object is expected")
    for path, value in bad_ids(fields):
        raise _Bad(f"{place}.{path}", f"{value!r:.100} is not an id in hex")
    try:
        json_format.ParseDict(ids_to_base64(fields), message, ignore_unknown_fields=True)
    except json_format.ParseError as error:
        path, _, problem = field_error(str(error)).partition(": ")
        raise _Bad(".".join(filter(None, (place, path))), problem) from error
    except (ValueError, TypeError, AttributeError) as error:
        raise _Bad(place, str(error)) from error
    except RecursionError as error:
        raise _Bad(place, "it is nested too deeply") from error
    return message


def _scopes(value: Json, signal: Signal) -> Iterator[tuple[Json, Json, list[Any], tuple[str, str]]]:
    """Yield each resource with each of its scopes, the items in that, and the paths of both."""
    for p, part in enumerate(_list(value, signal.parts)):
        part_place = f"{signal.parts}[{p}]"
        for s, scope in enumerate(_list(part, signal.scopes)):
            yield part, scope, _list(scope, signal.items), (part_place, f"{part_place}.{signal.scopes}[{s}]")


def _list(node: Any, name: str) -> list[Any]:
    found = _field(node, name) if isinstance(node, dict) else None
    return found if isinstance(found, list) else []


def _field(node: Json, name: str) -> Any:
    """Return a field by its name in JSON, or by that in the .proto file, which protobuf's JSON mapping takes too."""
    if name in node:
        return node[name]
    return node.get("".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name))
