"""Metric queries: what is measured, and its values over time.

Every point becomes an *increase* over a time interval, spread evenly over the steps it overlaps: so steps need not
match the export interval, several processes add up, and a restart (reset) of one is not a fall. Percentiles interpolate
linearly inside a bucket as Prometheus's histogram_quantile does; exponential buckets are brought to one scale first.
"""

import json
import math
import sqlite3
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from waybill_explorer.decode import compact_json, exact_for_browsers, plain_attributes

Amounts = dict[Any, float]
"""What was measured: "count", "sum", and for each bucket (lower, upper) how many fell into it."""
Series = sqlite3.Row

PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
SINGLE_VALUES = {"gauge", "sum"}
STATS = ("value", "rate", "count", *PERCENTILES)
HISTOGRAMS: dict[str, Any] = {
    "histogram": pb.HistogramDataPoint,
    "exponential_histogram": pb.ExponentialHistogramDataPoint,
    "summary": pb.SummaryDataPoint,
}
STALE_AFTER = 120_000_000
"""Microseconds for which the last value of a gauge is taken to hold."""
MAX_EXEMPLARS = 1_000
"""Exemplars of one line; of more, the largest of each step come first."""
MAX_VALUES = 500_000
"""Values (lines times steps) of one answer."""


class BadStat(ValueError):
    """The instrument's type cannot answer this."""


class TooManyValues(ValueError):
    """The answer would have more than MAX_VALUES values."""


@dataclass
class SeriesQuery:
    """What to give of an instrument. Times in microseconds; the grid of steps covers start to end."""

    name: str
    stat: str
    start: int
    end: int
    step: int
    service: str = ""
    by: tuple[str, ...] = ()
    with_exemplars: bool = True

    def __post_init__(self) -> None:
        self.origin = self.start // self.step * self.step
        self.steps = -(-(self.end - self.origin) // self.step)


def instruments(db: sqlite3.Connection, text: str = "") -> list[dict[str, Any]]:
    """List what is measured: type, unit, description, who measures it, by which attributes."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    rows = db.execute(
        "SELECT series.*, service FROM series JOIN resources ON resources.id = resource"
        " WHERE instr(lower(name || ' ' || description), ?) ORDER BY name, type, service",
        (text.lower(),),
    )
    for row in rows:
        one = found.setdefault(
            (row["name"], row["type"]),
            {
                **{key: row[key] for key in ("name", "type", "unit", "description")},
                "monotonic": None if row["monotonic"] is None else bool(row["monotonic"]),
                "services": [],
                "attributes": [],
            },
        )
        one["services"] = sorted({*one["services"], row["service"]})
        one["attributes"] = sorted({*one["attributes"], *json.loads(row["attributes"])})
    return list(found.values())


def series(db: sqlite3.Connection, query: SeriesQuery) -> list[dict[str, Any]]:
    """Return one line per combination of the `by` attributes.

    Raises BadStat where the type cannot answer and TooManyValues.
    """
    groups: dict[str, list[Series]] = defaultdict(list)
    attributes_of: dict[str, dict[str, Any]] = {}
    for one in db.execute(
        "SELECT series.*, body FROM series JOIN resources ON resources.id = resource"
        " WHERE name = :name AND (:service = '' OR service = :service)",
        {"name": query.name, "service": query.service},
    ):
        _check(one, query.stat)
        known = plain_attributes(Resource.FromString(one["body"]).attributes) | json.loads(one["attributes"])
        attributes = {key: known.get(key, "") for key in query.by}
        groups[compact_json(attributes)].append(one)
        attributes_of[compact_json(attributes)] = attributes
    types = {one["type"] for group in groups.values() for one in group}
    if query.stat == "value" and len(types) > 1 and types & SINGLE_VALUES:
        raise BadStat(f"{query.name} is sent as {' and '.join(sorted(types))}: name a service that sends one of them")
    if len(groups) * query.steps > MAX_VALUES:
        raise TooManyValues(f"{len(groups):,} lines of {query.steps:,} points: name fewer attributes or a longer step")
    return [
        {
            "attributes": exact_for_browsers(attributes_of[key]),
            "points": _points(db, groups[key], query),
            "exemplars": _exemplars(db, groups[key], query) if query.with_exemplars else [],
        }
        for key in sorted(groups)
    ]


def _check(one: Series, stat: str) -> None:
    if stat in PERCENTILES and one["type"] not in ("histogram", "exponential_histogram"):
        raise BadStat(f"{stat} needs a histogram and {one['name']} is a {one['type']}")
    if stat in ("rate", "count") and (one["type"] == "gauge" or one["monotonic"] == 0):
        raise BadStat(f"{stat} needs something that is counted and {one['name']} goes up and down")


def _points(db: sqlite3.Connection, group: list[Series], query: SeriesQuery) -> list[list[float | None]]:
    if query.stat == "value" and group[0]["type"] in SINGLE_VALUES:
        values = _values(db, group, query)
    else:
        values = _statistics(db, group, query)
    return [[query.origin + (i + 1) * query.step, _finite(value)] for i, value in enumerate(values)]


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _rows(db: sqlite3.Connection, one: Series, query: SeriesQuery) -> list[sqlite3.Row]:
    """Return the points of one series in the time asked for, with the one before it to count from."""
    return db.execute(
        "SELECT time, start, value, histogram FROM points WHERE series = :id AND time <= :end AND time >= ifnull("
        "(SELECT max(time) FROM points WHERE series = :id AND time <= :start), :start) ORDER BY time",
        {"id": one["id"], "start": query.origin, "end": query.origin + query.steps * query.step},
    ).fetchall()


def _values(db: sqlite3.Connection, group: list[Series], query: SeriesQuery) -> list[float | None]:
    """Return the last known value at each step: the sum of the series of a sum, the mean of those of a gauge."""
    totals = [0.0] * query.steps
    known = [0] * query.steps
    for one in group:
        rows = _rows(db, one, query)
        at = 0
        for i in range(query.steps):
            step_end = query.origin + (i + 1) * query.step
            while at < len(rows) and rows[at]["time"] <= step_end:
                at += 1
            oldest = step_end - max(query.step, 0 if one["delta"] else STALE_AFTER)
            if at and rows[at - 1]["time"] > oldest and not _is_end(rows[at - 1]):
                totals[i] += rows[at - 1]["value"]
                known[i] += 1
    mean = group[0]["type"] == "gauge"
    return [(total / n if mean else total) if n else None for total, n in zip(totals, known, strict=True)]


def heatmap(db: sqlite3.Connection, query: SeriesQuery) -> list[dict[str, Any]]:
    """Return one entry per step: `time` (its end) and `buckets`, [lower, upper, count] with null for no bound."""
    rows = db.execute(
        "SELECT series.* FROM series JOIN resources ON resources.id = resource"
        " WHERE name = :name AND (:service = '' OR service = :service)",
        {"name": query.name, "service": query.service},
    ).fetchall()
    for one in rows:
        _check(one, "p50")
    totals, _ = _totals(db, rows, query)
    buckets = {key for total in totals for key in total if isinstance(key, tuple)}
    counts = {bucket: _whole([total.get(bucket, 0.0) for total in totals]) for bucket in sorted(buckets)}
    return [
        {
            "time": query.origin + (i + 1) * query.step,
            "buckets": [[_finite(low), _finite(high), n[i]] for (low, high), n in counts.items() if n[i] > 0],
        }
        for i in range(query.steps)
    ]


def _statistics(db: sqlite3.Connection, group: list[Series], query: SeriesQuery) -> list[float | None]:
    totals, rates = _totals(db, group, query)
    if query.stat == "count" and _counts_whole(db, group):
        whole = _whole([total["count"] for total in totals])
        return [None if rate is None else count for count, rate in zip(whole, rates, strict=True)]
    return [_statistic(query.stat, total, rate) for total, rate in zip(totals, rates, strict=True)]


def _counts_whole(db: sqlite3.Connection, group: list[Series]) -> bool:
    """Return whether what is counted has no fractions: requests, but not seconds of CPU time."""
    marks = ",".join(str(one["id"]) for one in group)
    fraction = f"SELECT 1 FROM points WHERE series IN ({marks}) AND value <> round(value) LIMIT 1"  # noqa: S608
    return db.execute(fraction).fetchone() is None


def _whole(amounts: list[float]) -> list[int]:
    """Round amounts of successive steps so that their sum stays right: what is counted has no fractions.

    They have some where the interval between two points was spread over several steps.
    """
    whole, total, told = [], 0.0, 0
    for amount in amounts:
        total += amount
        whole.append(math.floor(total + 0.5) - told)
        told += whole[-1]
    return whole


def _totals(
    db: sqlite3.Connection, group: list[Series], query: SeriesQuery
) -> tuple[list[Amounts], list[float | None]]:
    """Return what was added in each step, and how much of it per second."""
    totals: list[Amounts] = [defaultdict(float) for _ in range(query.steps)]
    rates: list[float | None] = [None] * query.steps
    points = {one["id"]: [(row, _read(one, row)) for row in _rows(db, one, query)] for one in group}
    scale = min((p.scale for rows in points.values() for _, p in rows if hasattr(p, "scale")), default=0)
    for one in group:
        measured = [
            (row["start"], row["time"], None if _is_end(row) else _amounts(row, point, scale))
            for row, point in points[one["id"]]
        ]
        seconds = [0.0] * query.steps
        counted = [0.0] * query.steps
        increases = list(_increases(measured, bool(one["delta"])))
        if increases:
            # A series begins with its first measurement, and before it there was nothing: not a burst in a short time.
            first, late = divmod(increases[0][0] - query.origin, query.step)
            if 0 <= first < query.steps:
                seconds[first] += late / 1e6
        for begin, end, amounts in increases:
            for i, share, overlap in _overlaps(begin, end, query):
                seconds[i] += overlap / 1e6
                counted[i] += amounts["count"] * share
                for key, amount in amounts.items():
                    totals[i][key] += amount * share
        for i in range(query.steps):
            if seconds[i]:
                rates[i] = (rates[i] or 0.0) + counted[i] / seconds[i]
    return totals, rates


def _statistic(stat: str, total: Amounts, rate: float | None) -> float | None:
    if rate is None or stat == "rate":
        return rate
    if stat == "count":
        return total["count"]
    if stat == "value":
        return total["sum"] / total["count"] if total["count"] else None
    return quantile(PERCENTILES[stat], {key: n for key, n in total.items() if isinstance(key, tuple)})


def quantile(q: float, buckets: dict[tuple[float, float], float]) -> float | None:
    """Estimate the q-quantile (0 to 1) from counts per bucket (lower, upper], as Prometheus's histogram_quantile."""
    rank = q * sum(buckets.values())
    below = 0.0
    for (lower, upper), count in sorted(buckets.items(), key=lambda item: (item[0][1], item[0][0])):
        if count > 0 and below + count >= rank:
            if math.isinf(upper):
                return lower if math.isfinite(lower) else None
            if math.isinf(lower):
                if upper <= 0:
                    return upper
                lower = 0.0
            return lower + (upper - lower) * (rank - below) / count
        below += count
    return None


def _increases(measured: list[tuple[int, int, Amounts | None]], delta: bool) -> Iterator[tuple[int, int, Amounts]]:
    """Yield (begin, end, amounts) of what was added between points; after a restart a counter begins at zero.

    A point without amounts ends the series. What the next one adds to the last before it happened at an unknown time
    in between, so it is left out and the chart shows a gap.
    """
    previous: tuple[int, int, Amounts] | None = None
    has_ended = False
    for start, end, amounts in measured:
        if amounts is None:
            has_ended = True
            continue
        since = previous[1] if previous else start
        if delta:
            yield (start or since), end, amounts
        elif previous is None:
            if start:
                yield start, end, amounts
        elif amounts["count"] < previous[2]["count"] or start >= since:
            yield (start if has_ended else max(start, since)), end, amounts
        elif not has_ended:
            yield since, end, {key: amount - previous[2].get(key, 0.0) for key, amount in amounts.items()}
        previous, has_ended = (start, end, amounts), False


def _is_end(row: sqlite3.Row) -> bool:
    """Return whether a point says that its series ended there (NO_RECORDED_VALUE)."""
    return row["value"] is None and row["histogram"] is None


def _overlaps(begin: int, end: int, query: SeriesQuery) -> Iterator[tuple[int, float, int]]:
    """Yield (step, share of the interval in it, microseconds of it) for each step the interval touches."""
    begin = min(begin, end - 1)  # an interval without length still happened in one step
    first = max(0, (begin - query.origin) // query.step)
    last = min(query.steps - 1, (end - 1 - query.origin) // query.step)
    for i in range(first, last + 1):
        left = query.origin + i * query.step
        overlap = min(end, left + query.step) - max(begin, left)
        yield i, overlap / (end - begin), overlap


def _read(one: Series, row: sqlite3.Row) -> Any:
    return HISTOGRAMS[one["type"]].FromString(row["histogram"]) if row["histogram"] is not None else None


def _amounts(row: sqlite3.Row, point: Any, scale: int) -> Amounts:
    if point is None:
        return {"count": row["value"] or 0.0}
    amounts: Amounts = {"count": float(point.count), "sum": point.sum}
    if isinstance(point, pb.HistogramDataPoint):
        bounds = [-math.inf, *point.explicit_bounds, math.inf]
        for i, count in enumerate(point.bucket_counts):
            amounts[bounds[i], bounds[i + 1]] = float(count)
    elif isinstance(point, pb.ExponentialHistogramDataPoint):
        amounts[-point.zero_threshold, point.zero_threshold] = float(point.zero_count)
        for sign, side in ((1, point.positive), (-1, point.negative)):
            for i, count in enumerate(side.bucket_counts):
                index = (side.offset + i) >> (point.scale - scale)
                bucket = sorted((sign * _bound(index, scale), sign * _bound(index + 1, scale)))
                key = (bucket[0], bucket[1])
                amounts[key] = amounts.get(key, 0.0) + count
    return amounts


def _bound(index: int, scale: int) -> float:
    exponent = index * 2.0**-scale
    return 2.0**exponent if exponent < 1024 else math.inf


def _exemplars(db: sqlite3.Connection, group: list[Series], query: SeriesQuery) -> list[dict[str, Any]]:
    """Return the largest exemplar of each step and bucket, the largest first, so that every peak has one.

    One that leads to a trace is preferred.
    """
    marks = ",".join(str(one["id"]) for one in group)
    bucket_of = _bucket_of(db, group)
    best: dict[int, dict[int, tuple[bool, float, int]]] = defaultdict(dict)
    found = db.execute(
        "SELECT id, time, value, trace_id IS NOT NULL AS leads FROM exemplars"  # noqa: S608
        f" WHERE series IN ({marks}) AND time BETWEEN ? AND ? AND value IS NOT NULL",
        (query.origin, query.end),
    )
    for row in found:
        step = best[(row["time"] - query.origin) // query.step]
        bucket, one = bucket_of(row["value"]), (bool(row["leads"]), row["value"], row["id"])
        step[bucket] = max(one, step.get(bucket, one))
    ranked = [(place, -one[1], one[2]) for step in best.values() for place, one in enumerate(_largest_first(step))]
    ids = ",".join(str(number) for _, _, number in sorted(ranked)[:MAX_EXEMPLARS])
    rows = db.execute(f"SELECT * FROM exemplars WHERE id IN ({ids}) ORDER BY value DESC, time DESC")  # noqa: S608
    return [
        {
            "timestamp": row["time"],
            "value": row["value"],
            "trace_id": row["trace_id"].hex() if row["trace_id"] else "",
            "span_id": row["span_id"].hex() if row["span_id"] else "",
            "attributes": exact_for_browsers(json.loads(row["attributes"])),
        }
        for row in rows
    ]


def _largest_first(step: dict[int, tuple[bool, float, int]]) -> list[tuple[bool, float, int]]:
    return sorted(step.values(), key=lambda one: -one[1])


def _bucket_of(db: sqlite3.Connection, group: list[Series]) -> Callable[[float], int]:
    """Return what tells the bucket of a value: by the bounds of a histogram, else by powers of two."""
    for one in group:
        row = db.execute(
            "SELECT * FROM points WHERE series = ? AND histogram IS NOT NULL ORDER BY time DESC LIMIT 1", (one["id"],)
        ).fetchone()
        point = _read(one, row) if row else None
        if isinstance(point, pb.HistogramDataPoint):
            bounds = list(point.explicit_bounds)
            return lambda value: bisect_left(bounds, value)
    return lambda value: math.frexp(value)[1]
