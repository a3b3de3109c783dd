"""Which traces of a segment may fit a query, by bytes that the stored spans must have: none of them is decoded.

The texts of a segment (texts.py) say which values a term accepts there. Each of them is encoded again as it is in the
spans, and looked for in their bytes. What cannot be encoded in few ways is not looked for: the stored data decides.
"""

import base64
import binascii
import re
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import groupby
from operator import itemgetter

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from waybill_explorer.encoded import SplitResource
from waybill_explorer.ingest import NO_SERVICE, encoded, wire_header
from waybill_explorer.query_language import ATTRIBUTE, All, Either, Leaf, Node, Term, Words
from waybill_explorer.texts import KIND, NAME, TRACES
from waybill_explorer.traces import NO_NAME
from waybill_explorer.value_tests import Differs, Exists, fold, number

MAX_NEEDLES = 32
"""Of a term. To look for more of them would take longer than to decode the spans."""
SPECIAL_NUMBERS = ("NaN", "Infinity", "-Infinity")
IN_BYTES = (ATTRIBUTE, "operation")
_BASE64 = re.compile(rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==|[A-Za-z0-9+/]=))?")
_INTEGER = re.compile(rb"-?[0-9]{1,19}")

Needles = tuple[bytes, ...] | None
"""What is looked for, of which one must be there; None if anything may be."""
Find = Callable[[bytes], object]
Group = list[Find]
"""What must all be found in the same span."""
Check = Callable[[Collection[int]], bool]
"""Whether a trace may fit that has these groups of terms."""


class Narrowing:
    """The traces that may fit, segment by segment."""

    def __init__(self, db: sqlite3.Connection, node: Node, sought: Collection[Leaf]) -> None:
        self._db = db
        self._sought = sought
        self._groups: list[tuple[Leaf, ...]] = []
        """Terms that the same span must fit, or a text that must be in the trace."""
        self._check = self._check_of(node)
        self._known: dict[int, frozenset[int] | None] = {}
        self._tested: dict[Term, tuple[set[bytes], set[bytes]]] = {}
        self._resources: dict[int, bytes] = {}

    def traces(self, segment: int, end: int) -> frozenset[int] | None:
        """Return the traces of a segment, whose ids are less than `end`, that may fit; None for all."""
        if self._groups and segment not in self._known:
            self._known[segment] = self._traces(segment, end)
        return self._known.get(segment)

    def _traces(self, segment: int, end: int) -> frozenset[int] | None:
        texts = _SegmentTexts(self._db, segment)
        groups = [self._needles_of_group(texts, group) for group in self._groups]
        if not any(groups):
            return None
        chunks = self._db.execute(
            "SELECT trace, resource, data FROM chunks WHERE trace >= ? AND trace < ? ORDER BY trace", (segment, end)
        )
        left: dict[int, list[Group]] = {}
        fitting = set()
        for trace, rows in groupby(chunks, itemgetter(0)):
            found: set[int] = set()
            for _, resource, data in rows:
                if resource not in left:
                    left[resource] = self._without(groups, resource)
                for place, group in enumerate(left[resource]):
                    if place not in found and _is_in_one_span(group, data):
                        found.add(place)
            if self._check(found):
                fitting.add(trace)
        return frozenset(fitting)

    def _needles_of_group(self, texts: "_SegmentTexts", leaves: tuple[Leaf, ...]) -> Group:
        """Return what is looked for of each leaf, the fewest first."""
        needles = [found for leaf in leaves if (found := self._needles(texts, leaf)) is not None]
        return [_find_any(found) for found in sorted(needles, key=len)]

    def _without(self, groups: list[Group], resource: int) -> list[Group]:
        """Return what spans must have themselves, because their resource does not have it."""
        body = self._resources.get(resource)
        if body is None:
            (body,) = self._db.execute("SELECT body FROM resources WHERE id = ?", (resource,)).fetchone()
            self._resources[resource] = body
        return [[find for find in group if not find(body)] for group in groups]

    def _check_of(self, node: Node) -> Check:
        if isinstance(node, All):
            terms = tuple(one for one in node.nodes if isinstance(one, Term) and self._is_in_bytes(one))
            checks = [self._check_of(one) for one in node.nodes if one not in terms]
            checks += [self._group(terms)] if terms else []
            return lambda found: all(check(found) for check in checks)
        if isinstance(node, Either):
            checks = [self._check_of(one) for one in node.nodes]
            return lambda found: any(check(found) for check in checks)
        if isinstance(node, Term | Words) and self._is_in_bytes(node):
            return self._group((node,))
        return lambda found: True  # noqa: ARG005

    def _is_in_bytes(self, leaf: Leaf) -> bool:
        return leaf in self._sought and (isinstance(leaf, Words) or leaf.field in IN_BYTES)

    def _group(self, leaves: tuple[Leaf, ...]) -> Check:
        place = len(self._groups)
        self._groups.append(leaves)
        return lambda found: place in found

    def _needles(self, texts: "_SegmentTexts", leaf: Leaf) -> Needles:
        if isinstance(leaf, Words):
            return _together(needles_of_text(text) for text in texts.having(leaf.text))
        if leaf.field != ATTRIBUTE:
            return _together(_needles_of_name(name) for name in self._values(texts, NAME, leaf))
        key = leaf.key.encode(errors="replace")
        if b" " in key or b"\0" in key:
            return None
        if isinstance(leaf.test, Exists | Differs):
            return (_encoded_key(key),)
        found = _together(_needles_of_attribute(key, value) for value in self._values(texts, f"{leaf.key}=", leaf))
        return (_encoded_key(key),) if found is None else found

    def _values(self, texts: "_SegmentTexts", before: str, term: Term) -> set[bytes]:
        """Return the values of a segment that a term accepts; each value is tested once in a search."""
        accepted, refused = self._tested.setdefault(term, (set(), set()))
        values = texts.after(before.encode(errors="replace")) - refused
        for value in values - accepted:
            (accepted if term.test.accepts(value.decode(errors="replace")) else refused).add(value)
        return values & accepted


def _is_in_one_span(group: Group, chunk: bytes) -> bool:
    for find in group:
        if not find(chunk):
            return False
    if len(group) < 2:
        return True
    spans = [span for scope in SplitResource.FromString(chunk).scope_spans for span in scope.spans]
    for find in group:
        spans = [span for span in spans if find(span)]
    return bool(spans)


def _find_any(needles: tuple[bytes, ...]) -> Find:
    if len(needles) == 1:
        (needle,) = needles
        return lambda data: needle in data
    # Those of one attribute begin alike: an expression goes through the bytes once for all of them.
    return re.compile(b"|".join(map(re.escape, needles))).search if needles else lambda data: None  # noqa: ARG005


class _SegmentTexts:
    """The texts of a segment as they were sent; of those that are not ASCII also without capitals."""

    def __init__(self, db: sqlite3.Connection, segment: int) -> None:
        rows = db.execute("SELECT data FROM texts WHERE signal = ? AND segment = ?", (TRACES, segment))
        self._data = b"".join(row[0] for row in rows)
        self._lower = self._data.lower()
        self._sent: dict[bytes, list[bytes]] = {}
        if not self._data.isascii():
            for text in self._data.split(b"\0"):
                if not text.isascii():
                    self._sent.setdefault(fold(text.decode(errors="replace")).encode(errors="replace"), []).append(text)

    def after(self, before: bytes) -> set[bytes]:
        """Return what follows in the texts that begin with something."""
        return set(re.findall(re.escape(b"\0" + before) + rb"([^\0]*)(?=\0)", self._data))

    def having(self, word: str) -> Iterator[bytes]:
        """Yield the texts that have a word, as they were sent."""
        wanted = fold(word).replace("\0", " ").encode(errors="replace")
        at = self._lower.find(wanted)
        while at >= 0:
            begin, end = self._data.rfind(b"\0", 0, at) + 1, self._data.find(b"\0", at)
            text = self._data[begin:end]
            yield text
            yield from self._sent.get(text, ())
            at = self._lower.find(wanted, end)


def _together(found: Iterable[Needles]) -> Needles:
    """Return the needles of all values, if they are few and each has some."""
    needles: set[bytes] = set()
    for one in found:
        if one is None or len(needles) > MAX_NEEDLES:
            return None
        needles.update(one)
    return tuple(needles) if len(needles) <= MAX_NEEDLES else None


def needles_of_text(text: bytes) -> Needles:
    """Return the ways in which a text of the index may be encoded in spans; None if that is not known."""
    splits = [place for place, byte in enumerate(text) if byte == ord("=")]  # a key may have the sign, too
    found = [_needles_of_attribute(text[:place], text[place + 1 :]) for place in splits]
    if text[:1] < b" ":
        found.append(_needles_of_marked(text[:1].decode(), text[1:]))
    return _together(found)


def _needles_of_marked(mark: str, text: bytes) -> Needles:
    if mark == NAME:
        return _needles_of_name(text)
    beginning = _before_space(text)
    return None if mark == KIND or text == NO_SERVICE.encode() or not beginning else (beginning,)


def _needles_of_name(name: bytes) -> Needles:
    return None if name == NO_NAME.encode() else (wire_header(5, len(name)) + _before_space(name),)


def _needles_of_attribute(key: bytes, value: bytes) -> Needles:
    """Return the ways in which an attribute of this text may be encoded."""
    if b" " in key:
        return None
    start = _encoded_key(key)
    text = value.decode(errors="replace")
    length = wire_header(1, len(value))
    found = [start + wire_header(2, len(length) + len(value)) + length + _before_space(value)]
    if number(text) is not None or text in SPECIAL_NUMBERS:
        found.append(start + b"\x12\x09\x21")  # a double, whose text has not all of its digits
        if _INTEGER.fullmatch(value) and -(2**63) <= int(value) < 2**63:
            found.append(start + _encoded_value(AnyValue(int_value=int(value))))
    if value in (b"true", b"false"):
        found.append(start + _encoded_value(AnyValue(bool_value=value == b"true")))
    if not value or value[:1] in b"[{":
        found.append(start)  # no value, or several
    elif _BASE64.fullmatch(value):
        try:
            found.append(start + _encoded_value(AnyValue(bytes_value=base64.b64decode(value))))
        except binascii.Error:
            return None
    return tuple(found)


def _encoded_key(key: bytes) -> bytes:
    return encoded(1, key)


def _encoded_value(value: AnyValue) -> bytes:
    return KeyValue(value=value).SerializeToString()


def _before_space(text: bytes) -> bytes:
    """Return the beginning of a text that was certainly sent so: a space may stand for a zero."""
    return text.partition(b" ")[0]
