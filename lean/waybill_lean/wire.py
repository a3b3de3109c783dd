"""The protobuf wire format of what spans and log records have in common: values, attributes, scope, resource.

Fields are written in any order and defaults are left out where the decoded message is the same: a receiver that decodes
the bytes gets the message that the official encoder builds.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from struct import Struct
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from ._aside import logger

_double = Struct("<d").pack
MAX_UINT64 = (1 << 64) - 1
_CACHE_SIZE = 4096
CACHED_TEXT = 128
"""Longer texts, such as statements and stack traces, would fill the cache with what is seldom seen again."""


def varint(number: int) -> bytes:
    """Encode a number from 0 to 2**64 - 1."""
    if number < 128:
        return _BYTES[number]
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


_BYTES = [bytes((number,)) for number in range(128)]
_LENGTHS = [varint(number) for number in range(2048)]


def length(number: int) -> bytes:
    """Encode the length of a field."""
    return _LENGTHS[number] if number < 2048 else varint(number)


def field(tag: bytes, data: bytes) -> bytes:
    """Encode a field of bytes, text or a message."""
    return tag + length(len(data)) + data


def text(value: Any) -> bytes:
    """Encode a name; what UTF-8 cannot hold becomes a question mark, so that it does not cost the whole batch."""
    if not isinstance(value, str):
        value = str(value)
    try:
        return str.encode(value)
    except UnicodeEncodeError:
        return str.encode(value, errors="replace")


def any_value(value: Any) -> bytes:
    """Encode an AnyValue. Raise ValueError for what OTLP cannot hold, as the official encoder does."""
    kind = type(value)
    if kind is str:
        data = str.encode(value)
        return b"\x0a" + length(len(data)) + data
    if kind is bool:
        return b"\x10\x01" if value else b"\x10\x00"
    if kind is int:
        return _integer(value)
    if kind is float:
        return b"\x21" + _double(value)
    return _other_value(value)


def _integer(value: int) -> bytes:
    if not -(1 << 63) <= value < 1 << 63:
        raise ValueError(f"{value} does not fit into 64 bits")
    return b"\x18" + varint(value & MAX_UINT64)


def _other_value(value: Any) -> bytes:
    """Encode None, bytes, sequences, mappings, and values of subclasses such as those of enum."""
    if value is None:
        return b""
    if isinstance(value, str):
        return field(b"\x0a", str.encode(value))
    if isinstance(value, int):
        return _integer(int(value))
    if isinstance(value, float):
        return b"\x21" + _double(value)
    if isinstance(value, bytes):
        return field(b"\x3a", value)
    if isinstance(value, Sequence):
        return field(b"\x2a", b"".join([field(b"\x0a", any_value(item)) for item in value]))
    if isinstance(value, Mapping):
        items = [field(b"\x0a", key_value(str(key), item)) for key, item in value.items()]
        return field(b"\x32", b"".join(items))
    raise ValueError(f"Invalid type {type(value)} of value {value}")


_keys: dict[str, bytes] = {}
_pairs: dict[tuple[str, Any, type], bytes] = {}
_REMEMBERED = frozenset((str, int, bool))
"""Types whose equal values are the same. 0.0 and -0.0 are not; other types may not even be hashable."""


def remember(known: dict[Any, bytes], key: Any, encoded: bytes) -> None:
    """Keep what was encoded; a dict that is full is emptied first."""
    if len(known) >= _CACHE_SIZE:
        known.clear()
    known[key] = encoded


def key_value(key: str, value: Any) -> bytes:
    """Encode a KeyValue."""
    encoded_key = _keys.get(key)
    if encoded_key is None:
        encoded_key = field(b"\x0a", str.encode(key))
        remember(_keys, key, encoded_key)
    data = any_value(value)
    return encoded_key + b"\x12" + length(len(data)) + data


def _pair(key: str, value: Any, kind: type) -> bytes:
    """Encode a KeyValue with its length; remember it if few others may have its value."""
    encoded = key_value(key, value)
    encoded = length(len(encoded)) + encoded
    if kind in _REMEMBERED and (kind is not str or len(value) <= CACHED_TEXT):
        remember(_pairs, (key, value, kind), encoded)
    return encoded


def attributes(tag: bytes, items: Iterable[tuple[str, Any]]) -> bytes:
    """Encode the KeyValue fields of a message. One that OTLP cannot hold is logged and left out, as officially."""
    encoded: list[bytes] = []
    for key, value in items:
        try:
            kind = type(value)
            pair = _pairs.get((key, value, kind)) if kind in _REMEMBERED else None
            if pair is None:
                pair = _pair(key, value, kind)
        except Exception as error:
            logger.exception("Failed to encode key %s: %s", key, error)
        else:
            encoded += (tag, pair)
    return b"".join(encoded)


def scope_message(scope: InstrumentationScope | None) -> bytes:
    """Encode an InstrumentationScope."""
    if scope is None:
        return b""
    message = field(b"\x0a", text(scope.name)) if scope.name else b""
    if scope.version:
        message += field(b"\x12", text(scope.version))
    if scope.attributes:
        message += attributes(b"\x1a", scope.attributes.items())
    return message


Group = dict[InstrumentationScope | None, list[bytes]]


def request(groups: list[tuple[Resource, Group]]) -> bytes:
    """Encode an Export*ServiceRequest; the requests of all signals have the same fields."""
    return b"".join([field(b"\x0a", _of_resource(resource, group)) for resource, group in groups])


def _of_resource(resource: Resource, group: Group) -> bytes:
    parts = [field(b"\x0a", attributes(b"\x0a", resource.attributes.items()))]
    for scope, messages in group.items():
        inner = [field(b"\x0a", scope_message(scope))]
        for message in messages:
            inner += (b"\x12", length(len(message)), message)
        if scope is not None and scope.schema_url:
            inner.append(field(b"\x1a", text(scope.schema_url)))
        parts.append(field(b"\x12", b"".join(inner)))
    if resource.schema_url:
        parts.append(field(b"\x1a", text(resource.schema_url)))
    return b"".join(parts)


def group(items: Iterable[Any], encode: Callable[[Any], bytes]) -> list[tuple[Resource, Group]]:
    """Encode the items and group them by resource and scope. An item that fails is logged and left out."""
    by_ids: dict[tuple[int, int], list[bytes]] = {}  # hashing a scope takes longer than encoding a small span
    groups: list[tuple[Resource, Group]] = []
    for item in items:
        try:
            message = encode(item)
            resource, scope = item.resource, item.instrumentation_scope
        except Exception:
            logger.exception("Failed to encode %r.", type(item))
            continue
        messages = by_ids.get((id(resource), id(scope)))
        if messages is None:
            messages = _same_resource(groups, resource)[1].setdefault(scope or None, [])
            by_ids[id(resource), id(scope)] = messages
        messages.append(message)
    return groups


def _same_resource(groups: list[tuple[Resource, Group]], resource: Resource) -> tuple[Resource, Group]:
    for known in groups:
        if known[0] == resource:
            return known
    groups.append((resource, {}))
    return groups[-1]
