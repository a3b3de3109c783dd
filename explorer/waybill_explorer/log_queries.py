"""Searches for log lines: page by page, counted over time, by their values, and the lines around one."""

import json
import sqlite3
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from typing_extensions import TypedDict

from waybill_explorer.decode import exact_for_browsers, plain_attributes
from waybill_explorer.log_search import SELECT, LogSearch
from waybill_explorer.logs import LEVELS
from waybill_explorer.paging import Cursor, Deadline, Page
from waybill_explorer.queries import TIME_MAX, Budget, resource_of
from waybill_explorer.query_language import EVERYTHING, All, Node, Term
from waybill_explorer.texts import text_of
from waybill_explorer.value_tests import Contains

MAX_SAMPLED = 20_000
"""Lines whose values are counted. Of more, every n-th is, and the counts are multiplied."""
FACET_VALUES = 10
FACET_KEYS = 12
MAX_VALUE = 200
"""Characters of a value that is worth a filter."""


class LogJson(TypedDict):
    """A log line; its time is in microseconds, integers that JavaScript cannot hold are text."""

    id: int
    timestamp: int
    service: str
    level: str
    body: str
    trace_id: str
    span_id: str
    attributes: dict[str, Any]
    resource: dict[str, Any]
    logger: str


class LogPoint(TypedDict):
    """How many lines of each level a step has, which begins at `time` (µs)."""

    time: int
    counts: dict[str, int]


class LogHistogram(TypedDict):
    """The lines of a time, by step (s) and level; steps without lines are left out.

    `every` is 1 if all were counted. If every n-th was, it is n, and the counts are multiplied by it.
    """

    step: int
    every: int
    points: list[LogPoint]


class FacetValue(TypedDict):
    """A value and how many lines have it."""

    value: str
    count: int


class Facet(TypedDict):
    """The most frequent values of a field or an attribute, and how many it has; `field` is what a query calls it."""

    field: str
    distinct: int
    values: list[FacetValue]


class LogFacets(TypedDict):
    """What the lines of a time have in common. `lines` fit; `every` is as in LogHistogram."""

    lines: int
    every: int
    facets: list[Facet]


@dataclass
class LogQuery:
    """Which log lines to give; `level` and everything more severe. Times in microseconds."""

    trace_id: bytes | None = None
    service: str = ""
    level: str = ""
    text: str = ""
    start: int = 0
    end: int = TIME_MAX
    limit: int = 100
    query: Node = EVERYTHING
    cursor: Cursor | None = None
    after: int = 0
    """The id of a line: only those that arrived after it."""

    @property
    def node(self) -> Node:
        """What the language can say of it."""
        if not self.text:
            return self.query
        return All((self.query, Term("body", "", Contains(self.text.replace("\0", " "), inside=True), 0)))


class _Rows:
    """The ids of the lines that may fit, in the order of the answer."""

    def __init__(self, db: sqlite3.Connection, query: LogQuery) -> None:
        self._db = db
        self.search = LogSearch(db, query.node)
        conditions = {
            "trace_id = ?": query.trace_id,
            "logs.service = ?": query.service,
            "severity >= ?": LEVELS.index(query.level) * 4 + 1 if query.level else None,
            "time >= ?": query.start,
            "time <= ?": query.end,
            "logs.id > ?": query.after,
        }
        used = {condition: value for condition, value in conditions.items() if value}
        self.where = " AND ".join([*used, f"({self.search.sql.condition})"])
        self.parameters = (*used.values(), *self.search.sql.parameters)
        # What arrived last is found by its id: no other index has it.
        self._table = "logs NOT INDEXED" if query.after else "logs"

    def ordered(self, cursor: Cursor | None, *, oldest_first: bool) -> sqlite3.Cursor:
        sign, order = (">", "ASC") if oldest_first else ("<", "DESC")
        where, parameters = self.where, self.parameters
        if cursor:
            where += f" AND (time, logs.id) {sign} (?, ?)"
            parameters += (cursor.time, cursor.number)
        sql = f"SELECT time, logs.id FROM {self._table} WHERE {where} ORDER BY time {order}, logs.id {order}"  # noqa: S608
        return self._db.execute(sql, parameters)

    def fitting(self, number: int) -> sqlite3.Row | None:
        """Return a line if it fits."""
        if not self.search.may_have(number):
            return None
        row: sqlite3.Row = self._db.execute(f"{SELECT} WHERE logs.id = ?", (number,)).fetchone()
        return row if self.search.fits(row) else None


def find_logs(db: sqlite3.Connection, query: LogQuery) -> Page:
    """Return log lines: those of one trace oldest first, else newest first."""
    rows = _Rows(db, query)
    if rows.search.is_nowhere:
        return Page([], None)
    found: list[LogJson] = []
    at, budget, deadline = query.cursor, Budget(), Deadline()
    places = rows.ordered(query.cursor, oldest_first=query.trace_id is not None)
    while len(found) < query.limit and not budget.is_spent and not deadline.is_over:
        place = places.fetchone()
        if place is None:
            return Page(found, None)
        at = Cursor(*place)
        if row := rows.fitting(at.number):
            found.append(log_json(row))
            budget.left -= len(row["body"]) + len(row["attributes"])
    return Page(found, at if places.fetchone() else None)


def log_json(row: sqlite3.Row) -> LogJson:
    """Return a row of `logs` with its resource, as SELECT has it, as the read API gives it."""
    return {
        "id": row["id"],
        "timestamp": row["time"],
        "service": row["service"],
        "level": row["level"],
        "body": row["body"],
        "trace_id": row["trace_id"].hex() if row["trace_id"] else "",
        "span_id": row["span_id"].hex() if row["span_id"] else "",
        "attributes": exact_for_browsers(json.loads(row["attributes"])),
        "resource": _resource_json(row["resource_body"]),
        "logger": row["logger"],
    }


@lru_cache(maxsize=256)
def _resource_json(body: bytes) -> Any:
    return exact_for_browsers(plain_attributes(resource_of(body).attributes))


def log_context(db: sqlite3.Connection, number: int, before: int, after: int, *, of_all: bool) -> list[LogJson] | None:
    """Return a line with those before and after it, oldest first, of its service or of all; None if it is not there."""
    row = db.execute(f"{SELECT} WHERE logs.id = ?", (number,)).fetchone()
    if row is None:
        return None
    where, parameters = ("", ()) if of_all else ("logs.service = ? AND", (row["service"],))
    around = [
        db.execute(
            f"{SELECT} WHERE {where} (time, logs.id) {sign} (?, ?) ORDER BY time {order}, logs.id {order} LIMIT ?",
            (*parameters, row["time"], row["id"], limit),
        ).fetchall()
        for sign, order, limit in (("<", "DESC", before), (">", "ASC", after))
    ]
    return [log_json(one) for one in (*reversed(around[0]), row, *around[1])]


def log_histogram(db: sqlite3.Connection, query: LogQuery, step: int) -> LogHistogram:
    """Count the lines that fit by step (µs) and level."""
    rows = _Rows(db, query)
    counts: dict[int, Counter[str]] = {}
    every = 1
    if rows.search.sql.exact:
        grouped = db.execute(
            f"SELECT (time - ?) / ? AS place, level, count(*) FROM logs WHERE {rows.where} GROUP BY place, level",  # noqa: S608
            (query.start, step, *rows.parameters),
        )
        for place, level, count in grouped:
            counts.setdefault(place, Counter())[level] = count
    else:
        every, sample = _sample(db, rows)
        for row in sample:
            counts.setdefault((row["time"] - query.start) // step, Counter())[row["level"]] += every
    points: list[LogPoint] = [
        {"time": query.start + place * step, "counts": dict(sorted(counts[place].items()))} for place in sorted(counts)
    ]
    return {"step": step // 1_000_000, "every": every, "points": points}


def log_facets(db: sqlite3.Connection, query: LogQuery) -> LogFacets:
    """Count the values of the fields and of the most frequent attributes of the lines that fit."""
    every, sample = _sample(db, _Rows(db, query))
    lines = 0
    fields: dict[str, Counter[str]] = {name: Counter() for name in ("service", "level", "logger")}
    attributes: dict[str, Counter[str]] = {}
    for row in sample:
        lines += every
        for name, values in fields.items():
            values[row[name]] += every
        for key, value in json.loads(row["attributes"]).items():
            attributes.setdefault(key, Counter())[text_of(value)] += every
    frequent = sorted(attributes, key=lambda key: (-attributes[key].total(), key))[:FACET_KEYS]
    named = [*fields.items(), *((key, attributes[key]) for key in frequent)]
    return {"lines": lines, "every": every, "facets": [_facet(name, values) for name, values in named if values]}


def _facet(name: str, counts: Counter[str]) -> Facet:
    frequent = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    values: list[FacetValue] = [
        {"value": value, "count": count} for value, count in frequent if value and len(value) <= MAX_VALUE
    ]
    return {"field": name, "distinct": len(counts), "values": values[:FACET_VALUES]}


def _sample(db: sqlite3.Connection, rows: _Rows) -> tuple[int, Iterator[sqlite3.Row]]:
    """Return n and, of every n-th line that may fit, those that fit; n is 1 unless there are very many."""
    if rows.search.is_nowhere:
        return 1, iter(())
    places = db.execute(f"SELECT logs.id FROM logs WHERE {rows.where} ORDER BY time", rows.parameters)  # noqa: S608
    numbers = array("q", (row[0] for row in places if rows.search.may_have(row[0])))
    every = -(-len(numbers) // MAX_SAMPLED) or 1
    return every, (row for number in numbers[::every] if (row := rows.fitting(number)))
