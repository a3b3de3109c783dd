"""Which log lines fit a query, and what of it the database can decide."""

import json
import sqlite3
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from waybill_explorer.index import ANYWHERE, Possible, any_of, every, segments_with
from waybill_explorer.query_language import ATTRIBUTE, All, Either, Leaf, Logged, Node, Not, QueryError, Term, Words
from waybill_explorer.texts import LOGS, segment_starts, text_of, value_text
from waybill_explorer.value_tests import Begins, Differs, Exists, OneOf, ValueTest, fold

OF_SPANS = ("operation", "duration", "total", "status", "kind")
SELECT = "SELECT logs.*, resources.body AS resource_body FROM logs JOIN resources ON resources.id = logs.resource"
MIN_ID_DIGITS = 8
"""Hex digits from which a text may be the beginning of an id: fewer are in many ids by chance."""


def check_for_logs(node: Node) -> None:
    """Raise QueryError if a term is of spans."""
    for leaf in leaves(node):
        if isinstance(leaf, Term) and leaf.field in OF_SPANS:
            raise QueryError(
                leaf.position,
                f"{leaf.field} is of spans; log lines have service, level, logger, body, trace and attributes",
            )


def leaves(node: Node) -> Iterator[Leaf]:
    """Yield the texts and terms of a query."""
    if isinstance(node, All | Either):
        for one in node.nodes:
            yield from leaves(one)
    elif isinstance(node, Not | Logged):
        yield from leaves(node.node)
    else:
        yield node


class LogLine:
    """A log line as a query looks at it; of a row of SELECT."""

    def __init__(self, row: sqlite3.Row) -> None:
        self.row = row

    @cached_property
    def attributes(self) -> dict[str, Any]:
        return dict(json.loads(self.row["attributes"]))

    @cached_property
    def trace_id(self) -> str:
        return self.row["trace_id"].hex() if self.row["trace_id"] else ""

    @cached_property
    def texts(self) -> str:
        """All its texts without capitals."""
        pairs = (f"{key}={text_of(value)}" for key, value in self.attributes.items())
        return fold("\n".join((self.row["body"].replace("\0", " "), self.row["logger"], *pairs)))

    def values(self, field: str, key: str) -> list[str]:
        """Return the values of a field or attribute; none where it has none."""
        if field == ATTRIBUTE:
            own = [text_of(self.attributes[key])] if key in self.attributes else []
            return own + resource_values(self.row["resource_body"], key)
        value = self.trace_id if field == "trace" else self.row[field].replace("\0", " ")
        return [value] if value else []


@lru_cache(maxsize=1024)
def resource_values(body: bytes, key: str) -> list[str]:
    """Return the values of a resource's attribute."""
    return [value_text(item.value) for item in Resource.FromString(body).attributes if item.key == key]


def holds(node: Node, line: LogLine) -> bool:
    """Return whether a log line fits a query."""
    if isinstance(node, All):
        return all(holds(one, line) for one in node.nodes)
    if isinstance(node, Either):
        return any(holds(one, line) for one in node.nodes)
    if isinstance(node, Not):
        return not holds(node.node, line)
    if isinstance(node, Logged):
        return holds(node.node, line)
    if isinstance(node, Words):
        return has_words(node.text, line)
    return passes(node.test, line.values(node.field, node.key))


def has_words(text: str, line: LogLine) -> bool:
    """Return whether a text is somewhere in a log line, or its trace id begins with it."""
    wanted = fold(text)
    return wanted in line.texts or (is_part_of_id(text) and line.trace_id.startswith(wanted))


def passes(test: ValueTest, values: list[str]) -> bool:
    """Return whether one of the values is accepted; every one, if the test is that they differ."""
    if isinstance(test, Differs):
        return bool(values) and all(test.accepts(value) for value in values)
    return any(test.accepts(value) for value in values)


@dataclass(frozen=True)
class Sql:
    """A condition on rows that is true wherever the query holds; if `exact`, nowhere else."""

    condition: str
    parameters: tuple[Any, ...] = ()
    exact: bool = True


NO_CONDITION = Sql("1", exact=False)


def condition(node: Node, of_leaf: Callable[[Leaf], Sql]) -> Sql:
    """Return what the database can decide of a query, by what it can decide of each leaf."""
    if isinstance(node, All):
        return _joined([condition(one, of_leaf) for one in node.nodes], " AND ", "1")
    if isinstance(node, Either):
        return _joined([condition(one, of_leaf) for one in node.nodes], " OR ", "0")
    if isinstance(node, Not):
        inner = condition(node.node, of_leaf)
        return Sql(f"NOT ({inner.condition})", inner.parameters) if inner.exact else NO_CONDITION
    return NO_CONDITION if isinstance(node, Logged) else of_leaf(node)


def _joined(parts: list[Sql], word: str, none: str) -> Sql:
    text = word.join(f"({part.condition})" for part in parts) or none
    return Sql(text, tuple(p for part in parts for p in part.parameters), all(part.exact for part in parts))


def trace_id_begins(column: str, test: Begins) -> Sql:
    """Return the condition that a trace id begins with some hex digits."""
    low, high = (bytes.fromhex(test.text.ljust(32, digit)) for digit in "0f")
    return Sql(f"{column} IS NOT NULL AND {column} BETWEEN ? AND ?", (low, high))


def one_of(column: str, values: list[str]) -> Sql:
    """Return the condition that a column has one of some values."""
    return Sql(f"{column} IN ({','.join('?' * len(values))})", tuple(values))


class LogSearch:
    """What of the log lines fits a query, prepared on one view of the data."""

    def __init__(self, db: sqlite3.Connection, node: Node) -> None:
        check_for_logs(node)
        self.node = node
        self._db = db
        self.sql = condition(node, self._of_leaf)
        self._possible = ANYWHERE
        if not self.sql.exact:
            found = segments_with(db, LOGS, leaves(node))
            self._possible = possible(node, lambda leaf: self._where(leaf, found))
        self._starts = segment_starts(db, LOGS) if self._possible.segments is not None else []

    @property
    def is_nowhere(self) -> bool:
        return self._possible.is_nowhere

    def may_have(self, number: int) -> bool:
        """Return whether the log line of this id can fit."""
        segments = self._possible.segments
        if segments is None or number in self._possible.members:
            return True
        return self._starts[bisect_right(self._starts, number) - 1] in segments

    def fits(self, row: sqlite3.Row) -> bool:
        """Return whether a row of SELECT, for which the condition holds, fits."""
        return self.sql.exact or holds(self.node, LogLine(row))

    def _where(self, leaf: Leaf | Logged, found: dict[Leaf, Possible]) -> Possible:
        where = ANYWHERE if isinstance(leaf, Logged) else found.get(leaf, ANYWHERE)
        if not isinstance(leaf, Words) or not is_part_of_id(leaf.text):
            return where
        begins = trace_id_begins("trace_id", Begins(leaf.text.lower()))  # ids are not among the texts
        rows = self._db.execute(f"SELECT id FROM logs WHERE {begins.condition}", begins.parameters)  # noqa: S608
        return where | Possible(frozenset(), frozenset(row[0] for row in rows))

    def _of_leaf(self, leaf: Leaf) -> Sql:
        if not isinstance(leaf, Term):
            return NO_CONDITION
        if leaf.field == "trace":
            exists = Sql("trace_id IS NOT NULL")
            return trace_id_begins("trace_id", leaf.test) if isinstance(leaf.test, Begins) else exists
        if leaf.field == "service":
            rows = self._db.execute("SELECT DISTINCT service FROM resources")
            return one_of("logs.service", [row[0] for row in rows if leaf.test.accepts(row[0])])
        if leaf.field == "level" and isinstance(leaf.test, OneOf):
            return one_of("level", sorted(leaf.test.words))
        if isinstance(leaf.test, Exists) and leaf.field in ("level", "logger", "body"):
            return Sql(f"logs.{leaf.field} <> ''")
        return NO_CONDITION


def possible(node: Node, of_leaf: Callable[[Leaf | Logged], Possible]) -> Possible:
    """Return where a query may hold, by where each leaf may be; of what it excludes nothing is known."""
    if isinstance(node, All):
        return every(possible(one, of_leaf) for one in node.nodes)
    if isinstance(node, Either):
        return any_of(possible(one, of_leaf) for one in node.nodes)
    return ANYWHERE if isinstance(node, Not) else of_leaf(node)


def is_part_of_id(text: str) -> bool:
    """Return whether a text may be the beginning of a trace id."""
    return MIN_ID_DIGITS <= len(text) <= 32 and all(digit in "0123456789abcdefABCDEF" for digit in text)


def lines_of_segments(db: sqlite3.Connection, segments: frozenset[int]) -> Iterator[LogLine]:
    """Yield the log lines of some segments that belong to a trace."""
    starts = segment_starts(db, LOGS)
    for segment in sorted(segments):
        place = bisect_right(starts, segment)
        end = starts[place] if place < len(starts) else 2**63 - 1
        rows = db.execute(
            f"{SELECT} WHERE logs.id >= ? AND logs.id < ? AND trace_id IS NOT NULL",
            (segment, end),
        )
        yield from map(LogLine, rows)
