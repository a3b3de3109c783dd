"""What the learner's own stack has recorded, read as the graders need it."""

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from sqlalchemy import create_engine, make_url, text

from local.client import TraceApi
from local.settings import HOST, LocalSettings
from waybill_explorer.bottleneck import bottleneck
from waybill_explorer.client import ClientError, Fetched, json_of
from waybill_explorer.trace_tree import Trace, critical_path, read_trace

T = TypeVar("T")
POLL_SECONDS = 1.0
ORDERS = ("order-service", "POST /orders")
NEWEST = 300
"""Traces from which a number is computed."""
STEPS = 40
SHORTEST_STEP = 10
"""Seconds: metrics are exported as often. Each series is read in STEPS steps at most, as there can be thousands."""


def wait_for(found: Callable[[], T | None], patience: float, problem: str) -> T:
    """Return what is found, once there is something. Raise a ClientError with the problem after so many seconds."""
    began = time.monotonic()
    while time.monotonic() - began < patience:
        if value := found():
            return value
        time.sleep(POLL_SECONDS)
    raise ClientError(problem)


class Evidence:
    """The traces and logs of the local stack since the beginning of an attempt (µs since the epoch)."""

    def __init__(self, settings: LocalSettings, since: int) -> None:
        self.settings = settings
        self.since = since
        self.api = TraceApi(f"http://{HOST}:{settings.traces_port}")

    def traces(
        self, service: str, operation: str = "", tags: Mapping[str, str] | None = None, limit: int = NEWEST
    ) -> list[Trace]:
        """Return the newest traces with such a span, newest first."""
        wanted: dict[str, Any] = {"service": service, "limit": limit, "start": self.since}
        if operation:
            wanted["operation"] = operation
        if tags:
            wanted["tag"] = [f"{key}:{value}" for key, value in tags.items()]
        response = self.api.get("/api/traces", **wanted)
        body = json_of(response)
        if not response.ok or not isinstance(body, dict):
            raise ClientError(f"{response.url} responds with {response.status_code} and not with traces.")
        return [read_trace(data) for data in body["data"]]

    def orders(self, limit: int = NEWEST) -> list[Trace]:
        """Return the newest traces of orders that are complete: their own span is there, and all named parents."""
        found = self.traces(*ORDERS, limit=limit)
        return [trace for trace in found if not trace.missing and trace.root.parent_id is None]

    def fetched(self, trace_id: str) -> Fetched | None:
        """Return a trace with its logs, or None if it is not stored."""
        return self.api.trace(trace_id)

    def logs(self, limit: int = NEWEST, **wanted: Any) -> list[dict[str, Any]]:
        """Return log records, newest first; those of `trace_id`, or those since the beginning that fit."""
        if "trace_id" not in wanted:
            wanted["start"] = self.since
        return list(self.api.data("/api/logs", limit=limit, **wanted))

    def series(
        self, name: str, *, stat: str, by: str, service: str = "", since: int | None = None
    ) -> dict[str, list[float]]:
        """Return the known values of an instrument since a time, by an attribute, "" for series without it."""
        start, end = since or self.since, time.time_ns() // 1000
        step = max(SHORTEST_STEP, (end - start) // 1_000_000 // STEPS)
        wanted = {"name": name, "stat": stat, "by": by, "service": service, "exemplars": 0}
        lines = self.api.data("/api/series", **wanted, start=start, end=end, step=step)
        return {
            str(line["attributes"][by]): [value for _, value in line["points"] if value is not None] for line in lines
        }

    def counts(self, name: str, by: str, service: str = "", since: int | None = None) -> dict[str, float]:
        """Return how much an instrument has counted, by an attribute; what has counted nothing is left out."""
        found = {
            key: sum(values)
            for key, values in self.series(name, stat="count", by=by, service=service, since=since).items()
        }
        return {key: count for key, count in found.items() if count > 0}

    def captures_per_order(self) -> int:
        """Return how often the card of one order was charged at most, by the books of the card processor."""
        query = (
            "SELECT max(captures) FROM (SELECT count(*) AS captures FROM processor_entries"
            " WHERE kind = 'CAPTURE' GROUP BY idempotency_key) AS by_order"
        )
        url = make_url(self.settings.database_url("payment"))
        engine = create_engine(url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url)
        try:
            with engine.connect() as connection:
                return int(connection.execute(text(query)).scalar() or 0)
        finally:
            engine.dispose()


def bottleneck_of(trace: Trace) -> str:
    """Return the name of the span that the request waited for most, as the explorer names it."""
    worst = bottleneck(trace.root, critical_path(trace.root))
    return worst.span.name if worst else ""
