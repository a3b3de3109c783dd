"""How long the operations and statements of one trace take in all traces: whether one was slow this time."""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain, zip_longest

from opentelemetry.proto.trace.v1.trace_pb2 import Span
from typing_extensions import TypedDict

from waybill_explorer.queries import Budget, spans_of
from waybill_explorer.service_map import percentile
from waybill_explorer.titles import STATEMENT_KEYS, SYSTEM_KEYS, title_of
from waybill_explorer.traces import NO_NAME, duration_of

MAX_TRACES = 1_000
"""Traces of one operation that are read, the newest."""
MAX_OPERATIONS = 200
TITLE_KEYS = frozenset((*STATEMENT_KEYS, *SYSTEM_KEYS))
Operation = tuple[str, str]
"""A service and a span name."""


class OperationJson(TypedDict):
    """An operation, or a statement, of a service: spans of that title in the traces that were read, times in µs."""

    service: str
    title: str
    count: int
    p50: int
    p95: int


class OperationsJson(TypedDict):
    """The operations and statements of one trace, over the newest `traces` that have one of them.

    `isSampled` is whether there are more such traces than were read.
    """

    traces: int
    isSampled: bool
    operations: list[OperationJson]


def operation_durations(db: sqlite3.Connection, trace_id: bytes, start: int, end: int) -> OperationsJson | None:
    """Return how long each operation of a trace takes in the traces between two times (µs); None without the trace."""
    row = db.execute("SELECT id FROM traces WHERE trace_id = ?", (trace_id,)).fetchone()
    if row is None:
        return None
    wanted: set[Operation] = set()
    titles: set[Operation] = set()
    for service, span in spans_of(db, row["id"], Budget()):
        wanted.add((service, span.name))
        titles.add((service, sent_title(span)))
    candidates, is_sampled = _candidates(db, wanted, start, end)
    durations: dict[Operation, list[int]] = defaultdict(list)
    budget, read = Budget(), 0
    for trace in candidates:
        if budget.is_spent:
            is_sampled = True
            break
        read += 1
        for service, span in spans_of(db, trace, budget):
            if (service, span.name) in wanted and (key := (service, sent_title(span))) in titles:
                durations[key].append(duration_of(span))
    return {
        "traces": read,
        "isSampled": is_sampled,
        "operations": [_summary(*key, sorted(times)) for key, times in sorted(durations.items())],
    }


def _summary(service: str, title: str, ordered: list[int]) -> OperationJson:
    return {
        "service": service,
        "title": title,
        "count": len(ordered),
        "p50": percentile(ordered, 50) or 0,
        "p95": percentile(ordered, 95) or 0,
    }


def _candidates(
    db: sqlite3.Connection, operations: Iterable[Operation], start: int, end: int
) -> tuple[Iterator[int], bool]:
    """Return the newest traces of each operation, by turns, so that a frequent one does not displace a rare one.

    And whether some are left out.
    """
    found, is_cut = [], False
    for number, (service, name) in enumerate(sorted(operations)):
        if number == MAX_OPERATIONS:
            is_cut = True
            break
        rows = db.execute(
            "SELECT trace FROM matches WHERE operation = (SELECT id FROM operations WHERE service = ? AND name = ?)"
            " AND start BETWEEN ? AND ? ORDER BY start DESC LIMIT ?",
            (service, name or NO_NAME, start, end, MAX_TRACES + 1),
        )
        traces = [row["trace"] for row in rows]
        is_cut |= len(traces) > MAX_TRACES
        found.append(traces[:MAX_TRACES])
    by_turns = dict.fromkeys(chain.from_iterable(zip_longest(*found)))
    return (trace for trace in by_turns if trace is not None), is_cut


def sent_title(span: Span) -> str:
    """Return what a span did, in a few words, as it was sent: its name, or its statement if it is a database's."""
    tags = {item.key: item.value.string_value for item in span.attributes if item.key in TITLE_KEYS}
    return title_of(span.name or NO_NAME, tags)
