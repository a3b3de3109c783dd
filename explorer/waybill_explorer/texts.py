"""The texts that a search reads first: per segment of some hundred traces, or log lines, each distinct text once.

Telemetry repeats itself: of an order's hundred attributes some ten are new, its ids. So the distinct texts of a
segment are a tenth of its data, and a text that is in none of them is in no trace. A segment begins at the id of its
first trace (or log line) and ends before the next one begins. Each transaction adds a row of `texts` with those that
its segment does not have yet. A search takes the segments whose texts have what it looks for, and decides by the stored
data itself.

A text is `key=value` for an attribute, and else a mark and the text. What is not ASCII is
there a second time without capitals, so that `bytes.lower` is enough to compare without them.
"""

import hashlib
import math
import sqlite3
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from waybill_explorer.decode import compact_json, plain_value
from waybill_explorer.encoded import (
    JoinedAttributes,
    JoinedEvents,
    JoinedLinks,
    JoinedSpans,
    JoinedStatus,
    JoinedValues,
)
from waybill_explorer.value_tests import fold

TRACES, LOGS = 0, 1
"""The values of `texts.signal`."""
NAME, SERVICE, KIND, LEVEL, LOGGER, TEXT = "\x01", "\x02", "\x03", "\x04", "\x05", "\x06"
"""Marks of what is no attribute."""
SEPARATOR = "\0"
SEPARATOR_BYTE = SEPARATOR.encode()
MEMBERS = {TRACES: 256, LOGS: 1024}
"""Traces, or log lines, of a segment. A hit costs the reading of its segments, a segment the texts that all have."""
MAX_BYTES = 2**20
"""Bytes of texts from which the next member begins a segment, so that long texts do not fill the memory."""
OPEN = 8
"""Segments whose texts are remembered, so that a late span does not bring them all again."""
LONG = 500
"""Bytes from which a text is remembered by its digest."""
STRING, INTEGER = b"\x0a", b"\x18"
"""What an encoded AnyValue begins with, by its type."""

Sent = bytes | str
"""A text as it was sent: an encoded KeyValue, or the text itself."""


def text_of(value: Any) -> str:
    """Return a plain value as the text by which it is compared."""
    if isinstance(value, str):
        return value.replace(SEPARATOR, " ")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        if math.isfinite(value):
            return format(value, ".10g")
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, list | dict):
        return compact_json(value)
    return "" if value is None else str(value)


def value_text(value: AnyValue) -> str:
    """Return an attribute's value as the text by which it is compared."""
    return value.string_value.replace(SEPARATOR, " ") or text_of(plain_value(value))


def texts_of_span(span: Span, name: str, scope: str) -> list[Sent]:
    """Return all texts of a span."""
    texts: list[Sent] = [item.SerializeToString() for item in span.attributes]
    texts += (NAME + name, KINDS[span.kind], TEXT + scope, TEXT + span.status.message, TEXT + span.trace_state)
    for event in span.events:
        texts.append(TEXT + event.name)
        texts += [item.SerializeToString() for item in event.attributes]
    for link in span.links:
        texts += [item.SerializeToString() for item in link.attributes]
    return texts


def texts_of_spans(spans: Collection[bytes]) -> set[Sent]:
    """Return the texts that encoded spans have in themselves, without their names, in a step for all of them."""
    joined = JoinedSpans.FromString(b"".join(spans))
    texts: set[Sent] = set(joined.attributes)
    texts.update(map(KINDS.__getitem__, set(joined.kind)))
    if len(joined.kind) < len(spans):
        texts.add(KINDS[Span.SPAN_KIND_UNSPECIFIED])  # zero is not on the wire
    texts.update(map(TEXT.__add__, joined.trace_state))
    if joined.events:
        events = JoinedEvents.FromString(b"".join(joined.events))
        texts.update(events.attributes, map(TEXT.__add__, events.name))
    if joined.links:
        texts.update(JoinedLinks.FromString(b"".join(joined.links)).attributes)
    if joined.status:
        texts.update(map(TEXT.__add__, JoinedStatus.FromString(b"".join(joined.status)).message))
    return texts


class _Kinds(dict[int, str]):
    """The text of each kind; one that no version knows has its number."""

    def __missing__(self, kind: int) -> str:
        return f"{KIND}{kind}"


KINDS = _Kinds(
    {
        Span.SPAN_KIND_UNSPECIFIED: KIND,
        Span.SPAN_KIND_INTERNAL: f"{KIND}internal",
        Span.SPAN_KIND_SERVER: f"{KIND}server",
        Span.SPAN_KIND_CLIENT: f"{KIND}client",
        Span.SPAN_KIND_PRODUCER: f"{KIND}producer",
        Span.SPAN_KIND_CONSUMER: f"{KIND}consumer",
    }
)


def texts_of_resource(resource: Resource, service: str) -> tuple[Sent, ...]:
    """Return all texts of a resource."""
    return (SERVICE + service, *(item.SerializeToString() for item in resource.attributes))


def texts_of_log(body: str, level: str, logger: str, attributes: dict[str, Any]) -> list[Sent]:
    """Return the texts of a log line: of its body each word, since two bodies with an id are never the same."""
    texts: list[Sent] = [f"{key}={text_of(value)}" for key, value in attributes.items()]
    texts += (LEVEL + level, LOGGER + logger)
    texts += [TEXT + word for word in body.split()]
    return texts


def plain(sent: Sent) -> str:
    """Return a text as it is stored."""
    if isinstance(sent, bytes):
        item = KeyValue.FromString(sent)
        sent = f"{item.key}={value_text(item.value)}"
    return sent.replace(SEPARATOR, " ")


def folded(sent: Sent) -> str:
    """Return a text as it is compared, without capitals."""
    return _folded(sent) if len(sent) < LONG else fold(plain(sent))


@lru_cache(maxsize=8192)
def _folded(sent: Sent) -> str:
    return fold(plain(sent))


def stored_texts(sent: Collection[Sent]) -> list[bytes]:
    """Return texts as they are stored; those that are not ASCII a second time without capitals."""
    texts = [one.encode(errors="replace") for one in sent if isinstance(one, str)]
    texts += _attribute_texts([one for one in sent if isinstance(one, bytes)])
    together = b"".join(texts)
    if SEPARATOR_BYTE in together:
        texts = [text.replace(SEPARATOR_BYTE, b" ") for text in texts]
    if not together.isascii():
        texts += [fold(text.decode(errors="replace")).encode(errors="replace") for text in texts if not text.isascii()]
    return texts


def _attribute_texts(encoded: list[bytes]) -> list[bytes]:
    """Return `key=value` of attributes, in a step for all of one type where nothing of them is empty."""
    joined = JoinedAttributes.FromString(b"".join(encoded))
    if not len(joined.key) == len(joined.value) == len(encoded):
        return [plain(one).encode(errors="replace") for one in encoded]
    of_type: dict[bytes, tuple[list[bytes], list[bytes]]] = {STRING: ([], []), INTEGER: ([], [])}
    texts = []
    for key, value in zip(joined.key, joined.value, strict=True):
        if found := of_type.get(value[:1]):
            found[0].append(key)
            found[1].append(value)
        else:
            texts.append(key + b"=" + value_text(AnyValue.FromString(value)).encode(errors="replace"))
    for tag, write in ((STRING, b"%b=%b"), (INTEGER, b"%b=%d")):
        keys, values = of_type[tag]
        same = JoinedValues.FromString(b"".join(values))
        texts += [write % pair for pair in zip(keys, [*same.string_value, *same.int_value], strict=True)]
    return texts


class Segment:
    """What is known of the texts of a segment; at first nothing, then some are stored a second time."""

    def __init__(self) -> None:
        self.size = 0
        self._known: set[Sent] = set()

    def take(self, sent: set[Sent]) -> set[Sent]:
        """Return those that are new, and know them from now on."""
        new = sent - self._known
        if long := {one for one in new if len(one) >= LONG}:
            by_digest = {_digest(one): one for one in long}
            new -= long
            self._known |= new
            new.update(by_digest[digest] for digest in by_digest.keys() - self._known)
            self._known |= by_digest.keys()
        else:
            self._known |= new
        return new


class Texts:
    """Writes the texts of one signal, on the connection of the one thread that writes."""

    def __init__(self, db: sqlite3.Connection, signal: int, newest: int, max_bytes: int = MAX_BYTES) -> None:
        self._db = db
        self._signal = signal
        self._starts = segment_starts(db, signal)
        self._open: OrderedDict[int, Segment] = OrderedDict()
        self._newest = newest
        self._max_bytes = max_bytes
        self._members = MEMBERS[signal]
        """Of the newest segment: after a start it counts as full, since how many it has is not stored."""

    def segment(self, member: int) -> int:
        """Return the segment of a trace or log line; ids only grow, so an id beyond all others is a new member."""
        if member > self._newest or not self._starts:
            self._newest = member
            size = self._open[self._starts[-1]].size if self._starts and self._starts[-1] in self._open else 0
            if self._members >= MEMBERS[self._signal] or size > self._max_bytes or not self._starts:
                self._starts.append(member)
                self._members = 0
            self._members += 1
        return self._starts[max(0, bisect_right(self._starts, member) - 1)]

    def add(self, segment: int, sent: set[Sent]) -> None:
        """Store the texts that a segment does not have."""
        known = self._open.setdefault(segment, Segment())
        self._open.move_to_end(segment)
        while len(self._open) > OPEN:
            self._open.popitem(last=False)
        if new := known.take(sent):
            data = SEPARATOR_BYTE.join([b"", *stored_texts(new), b""])
            known.size += len(data)
            self._db.execute(
                "INSERT INTO texts (signal, segment, data) VALUES (?, ?, ?)", (self._signal, segment, data)
            )

    def forget(self) -> None:
        """Forget the segments that were deleted with their traces."""
        self._starts = segment_starts(self._db, self._signal)
        for gone in self._open.keys() - set(self._starts):
            del self._open[gone]


def segment_starts(db: sqlite3.Connection, signal: int) -> list[int]:
    """Return the ids at which the segments begin, in order."""
    rows = db.execute("SELECT DISTINCT segment FROM texts WHERE signal = ? ORDER BY segment", (signal,))
    return [row[0] for row in rows]


def rows_of_texts(db: sqlite3.Connection, signal: int) -> Iterable[tuple[int, bytes]]:
    """Yield a segment and some of its texts, without capitals, for all of them."""
    for segment, data in db.execute("SELECT segment, data FROM texts WHERE signal = ?", (signal,)):
        yield segment, data.lower()


def _digest(sent: Sent) -> bytes:
    return hashlib.blake2b(sent if isinstance(sent, bytes) else sent.encode(errors="replace"), digest_size=16).digest()
