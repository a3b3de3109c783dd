"""Two groups of traces side by side, such as those of two versions: rate, errors and durations of each operation.

An operation is a span name, or a statement where it is a database's: so a query that only one group runs is a line.

Of a group MAX_TRACES are read, evenly from all of it; counts and rates are scaled up to all. A group's rate is over the
time from its first trace to its last one, at least 10 s, so a version that was there for a minute has the rate of that
minute. `perTrace` is how many spans of an operation a trace of the group has on average.
"""

import math
import sqlite3
from collections import defaultdict
from collections.abc import Sequence

from typing_extensions import TypedDict

from waybill_explorer.operations import sent_title
from waybill_explorer.outcome import Outcome
from waybill_explorer.service_map import LEAST_TIME, Requests, read_spans
from waybill_explorer.trace_queries import TraceQuery, find_ids
from waybill_explorer.traces import NEVER, duration_of

MAX_TRACES = 1_000
MAX_OPERATIONS = 500


class FiguresJson(TypedDict):
    """Figures of spans or traces: rates per second, shares of 1, percentiles in µs."""

    count: int
    rate: float | None
    errors: float
    refused: float
    p50: int | None
    p95: int | None
    p99: int | None


class OperationFiguresJson(FiguresJson):
    """Figures of an operation in one group."""

    perTrace: float


class OperationJson(TypedDict):
    """An operation in both groups; None where it does not occur."""

    service: str
    operation: str
    a: OperationFiguresJson | None
    b: OperationFiguresJson | None


class GroupJson(TypedDict):
    """One group: how many traces it has and how many were read, and the figures of whole traces."""

    traces: int
    read: int
    whole: FiguresJson


class GroupsComparedJson(TypedDict):
    """Both groups; the operation whose time per trace differs most comes first."""

    a: GroupJson
    b: GroupJson
    operations: list[OperationJson]
    left_out: int


class _Group:
    """What was read of one group of traces."""

    def __init__(self, db: sqlite3.Connection, query: TraceQuery) -> None:
        ids = find_ids(db, query)
        sample = ids[:: math.ceil(len(ids) / MAX_TRACES) or 1]
        self.traces, self.read = len(ids), len(sample)
        self.weight = self.traces / max(1, self.read)
        self.whole, starts = _whole(db, sample, self.weight)
        self.seconds = max(LEAST_TIME, max(starts) - min(starts)) / 1e6 if starts else None
        self.operations: dict[tuple[str, str], Requests] = defaultdict(lambda: Requests(self.weight))
        for trace in read_spans(db, sample):
            for service, span in trace.members:
                self.operations[service, sent_title(span)].add(duration_of(span), trace.outcome(span))

    def time_per_trace(self, operation: tuple[str, str]) -> float:
        """Return the time (µs) that a trace spends in an operation on average."""
        return sum(self.operations[operation].durations) / self.read if operation in self.operations else 0.0

    def figures(self, operation: tuple[str, str]) -> OperationFiguresJson | None:
        """Return the figures of an operation, if it occurs."""
        if operation not in self.operations:
            return None
        requests = self.operations[operation]
        return {**_figures(requests, self.seconds), "perTrace": len(requests.durations) / self.read}

    def as_json(self) -> GroupJson:
        return {"traces": self.traces, "read": self.read, "whole": _figures(self.whole, self.seconds)}


def compare_groups(db: sqlite3.Connection, a: TraceQuery, b: TraceQuery) -> GroupsComparedJson:
    """Return the figures of two groups of traces."""
    groups = _Group(db, a), _Group(db, b)
    operations = sorted(
        {*groups[0].operations, *groups[1].operations},
        key=lambda one: (-abs(groups[0].time_per_trace(one) - groups[1].time_per_trace(one)), one),
    )
    return {
        "a": groups[0].as_json(),
        "b": groups[1].as_json(),
        "operations": [
            {"service": one[0], "operation": one[1], "a": groups[0].figures(one), "b": groups[1].figures(one)}
            for one in operations[:MAX_OPERATIONS]
        ],
        "left_out": max(0, len(operations) - MAX_OPERATIONS),
    }


def _whole(db: sqlite3.Connection, traces: Sequence[int], weight: float) -> tuple[Requests, list[int]]:
    """Return the durations and outcomes of whole traces, and when they began."""
    whole, starts = Requests(weight), []
    for trace in traces:
        row = db.execute("SELECT start, end, errors, refusals FROM traces WHERE id = ?", (trace,)).fetchone()
        outcome = Outcome.FAILED if row["errors"] else Outcome.REFUSED if row["refusals"] else Outcome.OK
        whole.add(max(0, row["end"] - row["start"]), outcome)
        if row["start"] < NEVER:
            starts.append(row["start"])
    return whole, starts


def _figures(requests: Requests, seconds: float | None) -> FiguresJson:
    found = requests.summary(seconds)
    return {
        "count": found["count"],
        "rate": found["rate"],
        "errors": found["errors"],
        "refused": found["refused"],
        "p50": found["p50"],
        "p95": found["p95"],
        "p99": found["p99"],
    }
