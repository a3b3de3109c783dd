"""The rules on metrics, read from the table of series; values are read for the buckets of histograms alone."""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator

from opentelemetry.proto.metrics.v1.metrics_pb2 import HistogramDataPoint

from waybill_explorer.score import sensitive, units
from waybill_explorer.score.conventions import ATTRIBUTE_KEYS
from waybill_explorer.score.findings import Findings
from waybill_explorer.score.query import MAX_EXEMPLARS, MAX_SERIES, ScoreQuery
from waybill_explorer.score.resources import Senders
from waybill_explorer.score.rules import CONSISTENT_FOR, MAX_VALUES

HOUR = 3_600_000_000
MAX_SHOWN = 5
"""Metrics that are named in one sentence."""
IN_TIME = "EXISTS (SELECT 1 FROM points WHERE points.series = series.id AND time BETWEEN :start AND :end)"
OF_SERVICE = "(:service = '' OR service = :service)"
JOINED = "FROM series JOIN resources ON resources.id = series.resource"

Row = sqlite3.Row


def check_metrics(db: sqlite3.Connection, query: ScoreQuery, senders: Senders, findings: Findings) -> int:
    """Apply MET-001 to MET-008. Return how many series were read."""
    count = 0
    instruments: set[tuple[str, str, str]] = set()
    for row in _select(db, query, f"SELECT series.*, service {JOINED} WHERE {OF_SERVICE} AND {IN_TIME}"):
        count += 1
        senders.note(row["resource"], metric=row["name"])
        instruments.add((row["service"], row["name"], row["unit"]))
        for what, problem in _leaks(row):
            findings.fail(
                row["service"], "MET-008", f"{what} of {row['name']!r:.80} has {problem}", {"metric": row["name"]}
            )
    _check_instruments(instruments, findings)
    _check_exemplars(db, query, findings)
    _check_cardinality(db, query, findings)
    _check_units(db, query, findings)
    _check_buckets(db, query, findings)
    return count


def _select(db: sqlite3.Connection, query: ScoreQuery, sql: str, start: int | None = None) -> Iterator[Row]:
    """Yield the newest rows of a selection from `series`."""
    values = {"service": query.service, "start": query.start if start is None else start, "end": query.end}
    yield from db.execute(f"{sql} ORDER BY series.id DESC LIMIT {MAX_SERIES}", values)


def _check_instruments(instruments: Iterable[tuple[str, str, str]], findings: Findings) -> None:
    """Apply MET-002, MET-005 and MET-006 to each service, name and unit."""
    broken: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for service, name, unit in sorted(instruments):
        for rule, seen in _problems(name, unit):
            broken[service, rule][name] = seen
    for (service, rule), seen_of in broken.items():
        names, shown = [*seen_of], [*seen_of.values()][:MAX_SHOWN]
        more = f"; and {len(names) - MAX_SHOWN:,} more" if len(names) > MAX_SHOWN else ""
        findings.fail(service, rule, "; ".join(shown) + more, {"metric": names[0]})


def _problems(name: str, unit: str) -> Iterator[tuple[str, str]]:
    """Yield the rules that an instrument breaks by its name and unit."""
    if not unit:
        yield "MET-002", f"{name:.80} has no unit"
    elif not units.is_unit(unit):
        yield "MET-002", f"{name:.80} has the unit {unit!r:.40}, which is not of UCUM"
    if word := units.named_unit(name, unit):
        yield "MET-005", f"{name:.80} contains its unit, {word!r:.40}"
    if name in ATTRIBUTE_KEYS:
        yield "MET-006", f"{name:.80} is an attribute key of the semantic conventions"


def _leaks(row: Row) -> Iterator[tuple[str, str]]:
    """Yield where a series has sensitive data, and of what kind."""
    for field in ("name", "description", "unit", "scope"):
        if problem := sensitive.in_text(row[field]):
            yield f"the {field}", problem
    if row["attributes"] != "{}":
        for key, value in json.loads(row["attributes"]).items():
            if problem := sensitive.problem(key, value):
                yield f"attribute {key}", problem


def _check_exemplars(db: sqlite3.Connection, query: ScoreQuery, findings: Findings) -> None:
    """Apply MET-008 to the newest exemplars."""
    rows = db.execute(
        f"SELECT exemplars.attributes, exemplars.trace_id, name, service FROM"  # noqa: S608
        f" (SELECT * FROM exemplars WHERE time BETWEEN :start AND :end AND attributes <> '{{}}'"
        f" ORDER BY id DESC LIMIT {MAX_EXEMPLARS}) exemplars JOIN series ON series.id = exemplars.series"
        f" JOIN resources ON resources.id = series.resource WHERE {OF_SERVICE}",
        {"service": query.service, "start": query.start, "end": query.end},
    )
    for row in rows:
        for key, value in json.loads(row["attributes"]).items():
            if problem := sensitive.problem(key, value):
                seen = f"attribute {key} of an exemplar of {row['name']!r:.80} has {problem}"
                findings.fail(row["service"], "MET-008", seen, {"metric": row["name"]})


def _check_cardinality(db: sqlite3.Connection, query: ScoreQuery, findings: Findings) -> None:
    """Apply MET-001. Only a metric with as many series as an attribute may have values is looked at."""
    values = {"service": query.service, "start": query.start, "end": query.end}
    many = db.execute(
        f"SELECT service, name {JOINED} WHERE {OF_SERVICE} GROUP BY 1, 2 HAVING count(*) >= {MAX_VALUES}",
        values,
    ).fetchall()
    for service, name in many:
        found = db.execute(
            f"SELECT key, max(many) FROM (SELECT pair.key, count(DISTINCT pair.value) AS many {JOINED}"  # noqa: S608
            f" JOIN points ON points.series = series.id, json_each(attributes) AS pair"
            f" WHERE service = :of AND name = :name AND time BETWEEN :start AND :end"
            f" GROUP BY pair.key, time / {HOUR}) GROUP BY key HAVING max(many) >= {MAX_VALUES}",
            values | {"of": service, "name": name},
        )
        for key, many_values in found.fetchall():
            seen = f"attribute {key:.80} of {name:.80} has {many_values:,} values within an hour"
            findings.fail(service, "MET-001", seen, {"metric": name}, many_values)


def _check_units(db: sqlite3.Connection, query: ScoreQuery, findings: Findings) -> None:
    """Apply MET-003 to the metrics of all services, since they are looked at together."""
    rows = db.execute(
        f"SELECT DISTINCT service, name, unit {JOINED} WHERE {IN_TIME}",
        {"start": query.since(CONSISTENT_FOR), "end": query.end},
    )
    _check_consistency("MET-003", "the unit", ((row[0], row[1], repr(row[2])) for row in rows), findings)


def _check_buckets(db: sqlite3.Connection, query: ScoreQuery, findings: Findings) -> None:
    """Apply MET-004, by the first and the last point of each series: an instrument keeps its buckets."""
    point = (
        "SELECT histogram FROM points WHERE series = series.id AND histogram NOT NULL AND time BETWEEN :start AND :end"
    )
    rows = _select(
        db,
        ScoreQuery(query.since(CONSISTENT_FOR), query.end),
        f"SELECT service, name, ({point} ORDER BY time LIMIT 1), ({point} ORDER BY time DESC LIMIT 1) {JOINED}"
        f" WHERE type = 'histogram' AND {IN_TIME}",
    )

    def seen() -> Iterator[tuple[str, str, str]]:
        for service, name, *points in rows:
            for bounds in {tuple(HistogramDataPoint.FromString(p).explicit_bounds) for p in points if p is not None}:
                yield service, name, f"{len(bounds)} buckets to {max(bounds, default=0):g} {list(bounds)}"

    _check_consistency("MET-004", "buckets", seen(), findings)


def _check_consistency(rule: str, what: str, seen: Iterator[tuple[str, str, str]], findings: Findings) -> None:
    """Fail every service that records a metric of which there is more than one of something."""
    by_name: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for service, name, value in seen:
        by_name[name][value].add(service)
    for name, values in by_name.items():
        if len(values) > 1:
            texts = [f"{value.partition(' [')[0]} in {', '.join(sorted(some))}" for value, some in values.items()]
            for service in sorted(set().union(*values.values())):
                findings.fail(service, rule, f"{name:.80} has {what} {' and '.join(texts):.400}", {"metric": name})
