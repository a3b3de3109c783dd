"""What the read API asks of the file: services, traces by id, dependencies. Each takes a reading connection."""

import sqlite3
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span
from typing_extensions import TypedDict

from waybill_explorer.jaeger import Arrival, Json, trace_json
from waybill_explorer.traces import HAS_PARENT

TIME_MAX = 2**62
MAX_SPANS = 25_000
"""Spans of one trace that are given: of 250,000 the answer would have 45 MB, and no page can show them."""
ROOT_AWAITED = 60_000_000
"""Microseconds after its first span within which the root of a trace is expected."""
MAX_LOGS = 10_000
MAX_BYTES = 16 * 1024 * 1024
"""Stored bytes from which one answer is made; what is older or arrived later is left out."""
MAX_TRACES = 10_000
"""Traces that dependencies are counted from, the newest."""


def services(db: sqlite3.Connection) -> list[str]:
    """Name the services that sent spans."""
    return [
        row[0] for row in db.execute("SELECT DISTINCT service FROM operations WHERE service <> '' ORDER BY service")
    ]


def operations(db: sqlite3.Connection, service: str) -> list[str]:
    """Name the operations of a service."""
    rows = db.execute("SELECT name FROM operations WHERE service = ? AND name <> '' ORDER BY name", (service,))
    return [row[0] for row in rows]


def traces_by_id(db: sqlite3.Connection, trace_ids: list[bytes]) -> list[Json]:
    """Return traces in Jaeger's JSON, without those that are not known."""
    found = []
    budget = Budget()
    for trace_id in trace_ids:
        row = db.execute("SELECT id FROM traces WHERE trace_id = ?", (trace_id,)).fetchone()
        if row and not budget.is_spent:
            found.append(trace_body(db, row["id"], budget))
    return found


def revision(db: sqlite3.Connection, trace_ids: list[bytes]) -> str:
    """Return a text that changes whenever `traces_by_id` would return something else.

    Spans are only added, and those of a removed trace that come later make a row with a new id.
    """
    rows = (
        db.execute("SELECT id, spans FROM traces WHERE trace_id = ?", (trace_id,)).fetchone() for trace_id in trace_ids
    )
    return ".".join(f"{row['id']}-{row['spans']}" for row in rows if row)


def span_count(db: sqlite3.Connection, trace_id: bytes) -> int:
    """Return how many spans of a trace are stored."""
    row = db.execute("SELECT spans FROM traces WHERE trace_id = ?", (trace_id,)).fetchone()
    return int(row["spans"]) if row else 0


@dataclass
class Budget:
    """What one answer may still read of the file, in bytes."""

    left: int = MAX_BYTES

    @property
    def is_spent(self) -> bool:
        """Return whether nothing more is to be read."""
        return self.left <= 0


def trace_parts(db: sqlite3.Connection, trace_id: bytes) -> Iterator[tuple[ResourceSpans, Resource]]:
    """Yield what is stored of a trace: nothing when it is not known."""
    row = db.execute("SELECT id FROM traces WHERE trace_id = ?", (trace_id,)).fetchone()
    return _parts(db, row["id"]) if row else iter(())


def trace_body(db: sqlite3.Connection, trace: int, budget: Budget) -> Json:
    """Return a trace in Jaeger's JSON, of as many spans as the budget allows."""
    return trace_json(_parts(db, trace, budget), MAX_SPANS, _arrival(db, trace))


def _arrival(db: sqlite3.Connection, trace: int) -> Arrival:
    return Arrival(trace, db.execute("SELECT spans FROM traces WHERE id = ?", (trace,)).fetchone()["spans"])


def _parts(
    db: sqlite3.Connection, trace: int, budget: Budget | None = None
) -> Iterator[tuple[ResourceSpans, Resource]]:
    """Yield what is stored of a trace, in order of arrival, until the budget is spent; the first part in any case."""
    for row in db.execute(
        "SELECT data, body FROM chunks JOIN resources ON resources.id = resource WHERE trace = ? ORDER BY chunks.id",
        (trace,),
    ):
        yield ResourceSpans.FromString(row["data"]), resource_of(row["body"])
        if budget:
            budget.left -= len(row["data"])
            if budget.is_spent:
                return


def spans_of(db: sqlite3.Connection, trace: int, budget: Budget | None = None) -> Iterator[tuple[str, Span]]:
    """Yield each span of a trace with its service, all of them; the budget is charged with what is read."""
    for data, service in db.execute(
        "SELECT data, service FROM chunks JOIN resources ON resources.id = resource WHERE trace = ?", (trace,)
    ):
        if budget:
            budget.left -= len(data)
        for scope_spans in ResourceSpans.FromString(data).scope_spans:
            for span in scope_spans.spans:
                yield service, span


@lru_cache(maxsize=256)
def resource_of(body: bytes) -> Resource:
    """Read a stored resource."""
    resource = Resource()
    resource.ParseFromString(body)
    return resource


class SummaryJson(TypedDict):
    """A trace as one line of a list; times in µs. `service` and `operation` are those of its root.

    `errors` and `refusals` are how many spans failed and were refused, `problem` is what the first of them says. While
    the root is `awaited`, `operation` is of another span; `missing`, it may be in another system.
    """

    traceID: str
    service: str
    operation: str
    startTime: int
    duration: int
    spans: int
    errors: int
    refusals: int
    problem: str
    root: Literal["stored", "awaited", "missing"]
    services: list[str]


def summary(db: sqlite3.Connection, trace: int) -> SummaryJson:
    """Return a trace as one line of a list."""
    row = db.execute("SELECT * FROM traces WHERE id = ?", (trace,)).fetchone()
    names = db.execute(
        "SELECT DISTINCT service FROM chunks JOIN resources ON resources.id = resource WHERE trace = ? ORDER BY 1",
        (trace,),
    )
    is_timed = row["start"] <= row["end"]
    return {
        "traceID": row["trace_id"].hex(),
        "service": row["root_service"],
        "operation": row["root_name"],
        "startTime": row["start"] if is_timed else trace,  # an id is a time of arrival
        "duration": row["end"] - row["start"] if is_timed else 0,
        "spans": row["spans"],
        "errors": row["errors"],
        "refusals": row["refusals"],
        "problem": row["problem"],
        "root": _root_state(row),
        "services": [name["service"] for name in names],
    }


def _root_state(row: sqlite3.Row) -> Literal["stored", "awaited", "missing"]:
    """Return whether the root of a trace is `stored`, still `awaited`, or `missing`: another system may have it."""
    if row["root_rank"] < HAS_PARENT:
        return "stored"
    is_young = time.time_ns() // 1000 - row["id"] < ROOT_AWAITED
    return "awaited" if is_young else "missing"


def dependencies(db: sqlite3.Connection, start: int, end: int) -> list[Json]:
    """Count, per pair of services, the spans of one whose parent is a span of the other, in traces of that time."""
    calls: Counter[tuple[str, str]] = Counter()
    newest = "SELECT id FROM traces WHERE start BETWEEN ? AND ? ORDER BY id DESC LIMIT ?"
    for (trace,) in db.execute(newest, (start, end, MAX_TRACES)):
        services_of_span: dict[bytes, list[str]] = defaultdict(list)
        parents = []
        for service, span in spans_of(db, trace):
            services_of_span[span.span_id].append(service)
            parents.append((span.parent_span_id, service))
        for parent, service in parents:
            callers = services_of_span.get(parent, [service])
            if service not in callers:  # a client and a server may share an id
                calls[callers[0], service] += 1
    return [{"parent": p, "child": c, "callCount": n} for (p, c), n in sorted(calls.items())]


def stats(db: sqlite3.Connection) -> Json:
    """Count what is stored, and say since when (µs)."""
    pages, free, size = (
        db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    # `matches` has each trace under the operation of no name, in order of time.
    of_traces = "SELECT id FROM operations WHERE (service, name) = ('', '')"
    oldest = db.execute(
        f"SELECT min(start) FROM matches WHERE operation = ({of_traces})"  # noqa: S608
        " UNION ALL SELECT min(time) FROM logs UNION ALL SELECT min(time) FROM points"
    )
    return {
        "oldest": min((time for (time,) in oldest if time is not None), default=None),
        "spans": db.execute("SELECT ifnull(sum(spans), 0) FROM traces").fetchone()[0],
        "traces": db.execute("SELECT count(*) FROM traces").fetchone()[0],
        "logs": db.execute("SELECT count(*) FROM logs").fetchone()[0],
        "points": db.execute("SELECT count(*) FROM points").fetchone()[0],
        "bytes": (pages - free) * size,
    }
