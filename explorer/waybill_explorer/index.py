"""Which segments can have what a query looks for, by their texts (texts.py); stored data decides what fits."""

import re
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce

from waybill_explorer.query_language import ATTRIBUTE, Leaf, Words
from waybill_explorer.texts import KIND, LEVEL, LOGGER, LOGS, NAME, SEPARATOR, SERVICE, rows_of_texts
from waybill_explorer.value_tests import Contains, Differs, Equals, Exists, Pattern, ValueTest, fold

Find = Callable[[bytes], bool]
"""Whether texts without capitals have something."""
MARKS = {"service": SERVICE, "operation": NAME, "kind": KIND, "level": LEVEL, "logger": LOGGER}


@dataclass(frozen=True)
class Possible:
    """Where something may be: in these segments (None: in all), and in these single traces or log lines."""

    segments: frozenset[int] | None = None
    members: frozenset[int] = frozenset()

    def __and__(self, other: "Possible") -> "Possible":
        mine, others = self.segments, other.segments
        both = others if mine is None else mine if others is None else mine & others
        return Possible(both, self.members | other.members)

    def __or__(self, other: "Possible") -> "Possible":
        mine, others = self.segments, other.segments
        either = None if mine is None or others is None else mine | others
        return Possible(either, self.members | other.members)

    @property
    def is_nowhere(self) -> bool:
        return self.segments is not None and not self.segments and not self.members


ANYWHERE = Possible()
NOWHERE = Possible(frozenset())


def every(found: Iterable[Possible]) -> Possible:
    """Return where all of it may be."""
    return reduce(Possible.__and__, found, ANYWHERE)


def any_of(found: Iterable[Possible]) -> Possible:
    """Return where some of it may be."""
    return reduce(Possible.__or__, found, NOWHERE)


def segments_with(db: sqlite3.Connection, signal: int, leaves: Iterable[Leaf]) -> dict[Leaf, Possible]:
    """Return where each of the leaves may be, for those of which the texts say it, in one pass over the texts."""
    finds = {leaf: found for leaf in set(leaves) if (found := _finds(signal, leaf))}
    hits: dict[Leaf, list[set[int]]] = {leaf: [set() for _ in found] for leaf, found in finds.items()}
    pairs = [(find, where) for leaf, found in finds.items() for find, where in zip(found, hits[leaf], strict=True)]
    if pairs:
        for segment, data in rows_of_texts(db, signal):
            for find, where in pairs:
                if segment not in where and find(data):
                    where.add(segment)
    return {leaf: Possible(frozenset(set.intersection(*sets))) for leaf, sets in hits.items()}


def _finds(signal: int, leaf: Leaf) -> list[Find]:
    """Return what the texts of a segment must all have, perhaps in several rows, for the leaf to be there."""
    if isinstance(leaf, Words):
        # The words of a log line's body are texts of their own.
        return [_has(word) for word in (leaf.text.split() if signal == LOGS else [leaf.text])]
    if leaf.field == "body":
        return [_has(word) for word in _words_of(leaf.test)]
    if leaf.field == ATTRIBUTE:
        return [_has_value(f"{fold(leaf.key)}=", leaf.test)]
    return [_has_value(MARKS[leaf.field], leaf.test)] if leaf.field in MARKS else []


def _has(text: str) -> Find:
    literal = fold(text).replace(SEPARATOR, " ").encode(errors="replace")
    return lambda data: literal in data


def _words_of(test: ValueTest) -> list[str]:
    if isinstance(test, Contains | Equals):
        return test.text.split()
    return re.split(r"[\s*]+", test.text.strip("*")) if isinstance(test, Pattern) else []


def _has_value(before: str, test: ValueTest) -> Find:
    start = (SEPARATOR + before.replace(SEPARATOR, " ")).encode(errors="replace")
    if isinstance(test, Exists | Differs):
        return lambda data: start in data
    if isinstance(test, Equals) and not test.is_number:
        literal = start + test.folded.replace(SEPARATOR, " ").encode(errors="replace") + SEPARATOR.encode()
        return lambda data: literal in data
    return lambda data: _any_value(data, start, test)


def _any_value(data: bytes, start: bytes, test: ValueTest) -> bool:
    at = data.find(start)
    while at >= 0:
        begin = at + len(start)
        end = data.find(b"\0", begin)
        if test.may_accept(data[begin:end].decode(errors="replace")):
            return True
        at = data.find(start, end)
    return False
