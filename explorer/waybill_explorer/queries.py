"""What the read API asks of the file: services, traces, dependencies, logs. Each takes a reading connection."""

import json
import sqlite3
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from waybill_explorer.decode import exact_for_browsers
from waybill_explorer.jaeger import Arrival, Json, has_tag, trace_json
from waybill_explorer.logs import LEVELS
from waybill_explorer.traces import ANY, HAS_PARENT

DERIVED_TAGS = ("span.kind", "error", "otel.", "w3c.tracestate", "event")
"""Tags that are made when a span is read, so their keys are not in the stored bytes."""
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


@dataclass
class TraceQuery:
    """What a trace must hold: one span that fits all of it. Times and durations in microseconds."""

    service: str = ANY
    operation: str = ANY
    tags: dict[str, str] = field(default_factory=dict)
    min_duration: int = 0
    max_duration: int = TIME_MAX
    start: int = 0
    end: int = TIME_MAX
    limit: int = 100
    text: str = ""
    """Somewhere in the trace: its id, names, attributes, events, log lines; capitals do not matter."""
    failed: bool = False
    """A span failed, by the definition of outcome.py."""
    refused: bool = False
    min_total: int = 0
    max_total: int = TIME_MAX
    """The whole trace, from its first start to its last end."""


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
            found.append(_trace(db, row["id"], budget))
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


def find_traces(db: sqlite3.Connection, query: TraceQuery) -> list[Json]:
    """Return the newest traces that fit, in Jaeger's JSON, newest first."""
    return [found for _, found in _find(db, query)]


def find_summaries(db: sqlite3.Connection, query: TraceQuery) -> list[Json]:
    """Return the newest traces that fit, each as one line of a list, newest first."""
    return [_summary(db, trace) for trace in find_ids(db, query)]


def find_ids(db: sqlite3.Connection, query: TraceQuery) -> list[int]:
    """Return the rows of the traces that fit, the newest first, up to the query's limit."""
    if query.tags or query.max_duration < TIME_MAX:
        return [trace for trace, _ in _find(db, query)]
    return _take(_candidates(db, query), query.limit)


def _find(db: sqlite3.Connection, query: TraceQuery) -> list[tuple[int, Json]]:
    found: list[tuple[int, Json]] = []
    budget = Budget()
    for trace in _candidates(db, query):
        before = budget.left
        body = _trace(db, trace, budget)
        if any(_fits(span, body["processes"], query) for span in body["spans"]):
            found.append((trace, body))
            if len(found) == query.limit or budget.is_spent:
                break
        else:
            budget.left = before
    return found


def _take(candidates: Iterator[int], limit: int) -> list[int]:
    return [trace for trace, _ in zip(candidates, range(limit), strict=False)]


def _candidates(db: sqlite3.Connection, query: TraceQuery) -> Iterator[int]:
    """Yield the traces that an index and a search of the stored bytes do not rule out, newest first, each once."""
    conditions = ["operation = ?", "start BETWEEN ? AND ?", "longest >= ?"]
    row = db.execute(
        "SELECT id FROM operations WHERE (service, name) = (?, ?)", (query.service, query.operation)
    ).fetchone()
    parameters: list[Any] = [row["id"] if row else -1, query.start, query.end, query.min_duration]
    for key, value in query.tags.items():
        if (key, value) == ("error", "true"):
            conditions.append("failed")
        if key.startswith(DERIVED_TAGS):
            continue
        resources = [r["id"] for r in db.execute("SELECT id FROM resources WHERE instr(body, ?)", (key.encode(),))]
        is_text = value.lower() not in ("true", "false", "nan", "infinity", "-infinity") and not _is_number(value)
        is_text = is_text and value[:1] not in ("[", "{")
        conditions.append(
            "EXISTS (SELECT 1 FROM chunks c WHERE c.trace = matches.trace AND"  # noqa: S608
            f" (instr(c.data, ?) AND instr(c.data, ?) OR c.resource IN ({','.join(map(str, resources))})))"
        )
        parameters += [key.encode(), value.encode() if is_text else b""]
    whole = _whole_trace(query)
    if whole:
        conditions.append(f"trace IN (SELECT id FROM traces WHERE {' AND '.join(whole)})")  # noqa: S608
        parameters += whole.values()
    seen = set()
    sql = f"SELECT trace FROM matches WHERE {' AND '.join(conditions)} ORDER BY start DESC"  # noqa: S608
    for row in db.execute(sql, parameters):
        if row["trace"] not in seen:
            seen.add(row["trace"])
            yield row["trace"]


def _whole_trace(query: TraceQuery) -> dict[str, Any]:
    """Conditions on the row of a trace and on all that is stored of it."""
    text = query.text.lower()
    conditions: dict[str, Any] = {}
    if query.failed:
        conditions["errors > ?"] = 0
    if query.refused:
        conditions["refusals > ?"] = 0
    if query.min_total:
        conditions["end - start >= ?"] = query.min_total
    if query.max_total < TIME_MAX:
        conditions["end - start <= ?"] = query.max_total
    if text:
        conditions[
            "instr(lower(hex(trace_id)) || ' ' || ifnull((SELECT group_concat(lower(CAST(data AS TEXT)) ||"
            " lower(CAST(body AS TEXT))) FROM chunks JOIN resources ON resources.id = resource"
            " WHERE chunks.trace = traces.id), '') || ifnull((SELECT group_concat(lower(body)) FROM logs"
            " WHERE logs.trace_id = traces.trace_id), ''), ?)"
        ] = text
    return conditions


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _fits(span: Json, processes: dict[str, Json], query: TraceQuery) -> bool:
    process = processes[span["processID"]]
    return (
        query.service in (ANY, process["serviceName"])
        and query.operation in (ANY, span["operationName"])
        and query.min_duration <= span["duration"] <= query.max_duration
        and query.start <= span["startTime"] <= query.end
        and all(
            has_tag(span["tags"], key, value)
            or has_tag(process["tags"], key, value)
            or any(has_tag(event["fields"], key, value) for event in span["logs"])
            for key, value in query.tags.items()
        )
    )


def trace_parts(db: sqlite3.Connection, trace_id: bytes) -> Iterator[tuple[ResourceSpans, Resource]]:
    """Yield what is stored of a trace: nothing when it is not known."""
    row = db.execute("SELECT id FROM traces WHERE trace_id = ?", (trace_id,)).fetchone()
    return _parts(db, row["id"]) if row else iter(())


def _trace(db: sqlite3.Connection, trace: int, budget: Budget) -> Json:
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
        yield ResourceSpans.FromString(row["data"]), _resource(row["body"])
        if budget:
            budget.left -= len(row["data"])
            if budget.is_spent:
                return


@lru_cache(maxsize=256)
def _resource(body: bytes) -> Resource:
    resource = Resource()
    resource.ParseFromString(body)
    return resource


def _summary(db: sqlite3.Connection, trace: int) -> Json:
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


def _root_state(row: sqlite3.Row) -> str:
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
        for part, service in db.execute(
            "SELECT data, service FROM chunks JOIN resources ON resources.id = resource WHERE trace = ?", (trace,)
        ):
            for scope_spans in ResourceSpans.FromString(part).scope_spans:
                for span in scope_spans.spans:
                    services_of_span[span.span_id].append(service)
                    parents.append((span.parent_span_id, service))
        for parent, service in parents:
            callers = services_of_span.get(parent, [service])
            if service not in callers:  # a client and a server may share an id
                calls[callers[0], service] += 1
    return [{"parent": p, "child": c, "callCount": n} for (p, c), n in sorted(calls.items())]


@dataclass
class LogQuery:
    """Which log records to give; `level` and everything more severe. Times in microseconds."""

    trace_id: bytes | None = None
    service: str = ""
    level: str = ""
    text: str = ""
    start: int = 0
    end: int = TIME_MAX
    limit: int = 100


def find_logs(db: sqlite3.Connection, query: LogQuery) -> list[Json]:
    """Return log records: those of one trace oldest first, else newest first."""
    conditions = {
        "trace_id = ?": query.trace_id,
        "service = ?": query.service,
        "severity >= ?": LEVELS.index(query.level) * 4 + 1 if query.level else None,
        "instr(lower(body), ?)": query.text.lower(),
        "time >= ?": query.start,
        "time <= ?": query.end,
    }
    used = {condition: value for condition, value in conditions.items() if value}
    sql = (
        f"SELECT * FROM logs {'WHERE ' if used else ''}{' AND '.join(used)}"  # noqa: S608
        f" ORDER BY time {'ASC' if query.trace_id else 'DESC'}, id LIMIT ?"
    )
    found: list[Json] = []
    budget = Budget()
    for row in db.execute(sql, (*used.values(), query.limit)):
        found.append(_log(row))
        budget.left -= len(row["body"]) + len(row["attributes"])
        if budget.is_spent:
            break
    return found


def _log(row: sqlite3.Row) -> Json:
    return {
        "timestamp": row["time"],
        "service": row["service"],
        "level": row["level"],
        "body": row["body"],
        "trace_id": row["trace_id"].hex() if row["trace_id"] else "",
        "span_id": row["span_id"].hex() if row["span_id"] else "",
        "attributes": exact_for_browsers(json.loads(row["attributes"])),
        "logger": row["logger"],
    }


def stats(db: sqlite3.Connection) -> Json:
    """Count what is stored."""
    pages, free, size = (
        db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return {
        "spans": db.execute("SELECT ifnull(sum(spans), 0) FROM traces").fetchone()[0],
        "traces": db.execute("SELECT count(*) FROM traces").fetchone()[0],
        "logs": db.execute("SELECT count(*) FROM logs").fetchone()[0],
        "points": db.execute("SELECT count(*) FROM points").fetchone()[0],
        "bytes": (pages - free) * size,
    }
