"""The read API: Jaeger's query API and, beside it, logs, instruments, series and statistics (see README.md)."""

import re
import sqlite3
import time
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, request
from pydantic_core import from_json
from werkzeug.exceptions import HTTPException

from waybill_explorer import queries, service_map
from waybill_explorer import series as metric
from waybill_explorer.decode import compact_json
from waybill_explorer.logs import LEVELS
from waybill_explorer.otlp_json import TooLargeToExport, trace_export
from waybill_explorer.store import Writer, reading

MAX_LIMIT = 1500
MAX_STEPS = 11_000
MAX_TIME = 2**62
"""Microseconds: times beyond it could not be compared with stored ones."""
UNITS = {"ns": 0.001, "us": 1, "µs": 1, "μs": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000}
LEVEL_ALIASES = {"WARNING": "WARN", "CRITICAL": "FATAL"}
USAGE = """The read API of waybill-explorer

GET /api/services                        GET /api/services/<service>/operations
GET /api/traces?service=&operation=&tags=&minDuration=&maxDuration=&limit=&start=&end=
GET /api/traces/<trace id>               GET /api/traces/<trace id>/otlp
GET /api/summaries?text=&failed=1&minTotal=&maxTotal=&(as /api/traces)
GET /api/dependencies?endTs=&lookback=   GET /api/map?start=&end=
GET /api/services/<service>/requests?start=&end=&step=
GET /api/logs?trace_id=&service=&level=&text=&start=&end=&limit=
GET /api/instruments?text=               GET /api/series?name=&service=&stat=&by=&start=&end=&step=
GET /api/heatmap?(as /api/series)
GET /api/stats                           GET /healthz
"""


class BadParameter(Exception):
    """A query parameter cannot be used; the message names it."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"unable to parse param '{name}': {problem}")


def read_api(writer: Writer) -> Blueprint:
    """Make the routes that read; each opens its own read-only connection."""
    routes = Blueprint("read", __name__)

    def get(path: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Declare a route; its function gets a connection and the path's variables, and returns the `data`."""

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            def answer(**variables: str) -> Response:
                with reading(writer.path) as db:
                    return _data(function(db, **variables))

            routes.add_url_rule(path, function.__name__, answer)
            return function

        return register

    @get("/api/services")
    def services(db: Any) -> Any:
        return queries.services(db)

    @get("/api/services/<service>/operations")
    def operations(db: Any, service: str) -> Any:
        return queries.operations(db, service)

    @get("/api/traces")
    def traces(db: Any) -> Any:
        if ids := request.args.getlist("traceID"):
            return queries.traces_by_id(db, [_trace_id("traceID", trace_id) for trace_id in ids])
        return queries.find_traces(db, _trace_query())

    @get("/api/traces/<trace_id>")
    def trace(db: Any, trace_id: str) -> Any:
        return queries.traces_by_id(db, [_trace_id("traceID", trace_id)]) or error_response(404, "trace not found")

    @get("/api/traces/<trace_id>/otlp")
    def otlp(db: Any, trace_id: str) -> Any:
        try:
            found = trace_export(db, _trace_id("traceID", trace_id))
        except TooLargeToExport as error:
            return error_response(413, str(error))
        return _json(found) if found else error_response(404, "trace not found")

    @get("/api/summaries")
    def summaries(db: Any) -> Any:
        query = _trace_query()
        query.text = request.args.get("text", "")
        query.failed = bool(_integer("failed", 0, maximum=1))
        query.min_total, query.max_total = _duration("minTotal", 0), _duration("maxTotal", MAX_TIME)
        return queries.find_summaries(db, query)

    @get("/api/dependencies")
    def dependencies(db: Any) -> Any:
        end = _integer("endTs", time.time_ns() // 1_000_000, maximum=MAX_TIME // 1000)
        lookback = _integer("lookback", 86_400_000, maximum=MAX_TIME // 1000)
        return queries.dependencies(db, (end - lookback) * 1000, end * 1000)

    @get("/api/map")
    def requests_map(db: Any) -> Any:
        return service_map.service_map(db, *_window())

    @get("/api/services/<service>/requests")
    def service_requests(db: Any, service: str) -> Any:
        start, end = _window()
        step = _integer("step", 10, minimum=1, maximum=86_400) * 1_000_000
        if (end - start) // step > MAX_STEPS:
            raise BadParameter("step", f"more than {MAX_STEPS} points: choose a longer step or a shorter time")
        return service_map.service_detail(db, service, start, end, step)

    @get("/api/logs")
    def logs(db: Any) -> Any:
        trace_id = request.args.get("trace_id", "")
        level = request.args.get("level", "").upper()
        level = LEVEL_ALIASES.get(level, level)
        if level and level not in LEVELS:
            raise BadParameter("level", f"one of {', '.join(LEVELS)}")
        return queries.find_logs(
            db,
            queries.LogQuery(
                trace_id=_trace_id("trace_id", trace_id) if trace_id else None,
                service=request.args.get("service", ""),
                level=level,
                text=request.args.get("text", ""),
                **_times(),
                limit=_integer("limit", 1000 if trace_id else 100, minimum=1, maximum=queries.MAX_LOGS),
            ),
        )

    @get("/api/instruments")
    def instruments(db: Any) -> Any:
        return metric.instruments(db, request.args.get("text", ""))

    @get("/api/series")
    def series(db: Any) -> Any:
        try:
            return metric.series(db, _series_query())
        except metric.BadStat as error:
            raise BadParameter("stat", str(error)) from error
        except metric.TooManyValues as error:
            raise BadParameter("by", str(error)) from error

    @get("/api/heatmap")
    def heatmap(db: Any) -> Any:
        try:
            return metric.heatmap(db, _series_query())
        except metric.BadStat as error:
            raise BadParameter("name", str(error)) from error

    @get("/api/stats")
    def stats(db: Any) -> Any:
        return queries.stats(db) | {
            "queue": writer.waiting_bytes,
            "queue_limit": writer.queue_bytes,
            "retention": writer.retention_bytes,
            "refused": writer.refused,
        }

    @routes.get("/healthz")
    def healthz() -> Response:
        return Response('{"status":"ok"}', mimetype="application/json")

    @routes.app_errorhandler(BadParameter)
    def bad_parameter(error: BadParameter) -> Response:
        return error_response(400, str(error))

    @routes.app_errorhandler(sqlite3.Error)
    def unreadable(error: sqlite3.Error) -> Response:
        return error_response(503, f"{writer.path} cannot be read: {error}")

    @routes.app_errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        return error_response(error.code or 500, error.description or error.name)

    return routes


def _data(data: Any) -> Response:
    if isinstance(data, Response):
        return data
    total = len(data) if isinstance(data, list) else 1
    body = {"data": data, "total": total, "limit": 0, "offset": 0, "errors": None}
    return _json(body)


def _json(body: Any) -> Response:
    return Response(compact_json(body), mimetype="application/json")


def error_response(code: int, message: str) -> Response:
    """Make an answer in the shape in which Jaeger reports errors."""
    body = {"data": None, "total": 0, "limit": 0, "offset": 0, "errors": [{"code": code, "msg": message}]}
    return Response(compact_json(body), code, mimetype="application/json")


def _integer(name: str, default: int, minimum: int = 0, maximum: int = MAX_TIME) -> int:
    text = request.args.get(name, "")
    if not text:
        return default
    try:
        number = int(text)
    except ValueError:
        raise BadParameter(name, f"{text!r} is not a whole number") from None
    if not minimum <= number <= maximum:
        raise BadParameter(name, f"{number} is not between {minimum} and {maximum}")
    return number


def _times() -> dict[str, int]:
    start, end = _integer("start", 0), _integer("end", MAX_TIME)
    if start > end:
        raise BadParameter("start", "it is after end")
    return {"start": start, "end": end}


def _window() -> tuple[int, int]:
    """Start and end in microseconds; without a start, the `lookback` seconds before the end (an hour)."""
    end = _integer("end", time.time_ns() // 1000)
    lookback = _integer("lookback", 3600, minimum=1, maximum=MAX_TIME // 1_000_000)
    start = _integer("start", max(0, end - lookback * 1_000_000))
    if start >= end:
        raise BadParameter("start", "it does not lie before end")
    return start, end


def _trace_id(name: str, text: str) -> bytes:
    if not re.fullmatch(r"[0-9a-fA-F]{1,32}", text):
        raise BadParameter(name, f"{text!r} is not 1 to 32 hex digits")
    return bytes.fromhex(text.zfill(32))


def _duration(name: str, default: int) -> int:
    """Read a duration as Go writes it, such as 1.5ms or 1m30s, in microseconds."""
    text = request.args.get(name, "")
    if not text:
        return default
    if not re.fullmatch(r"(\d+(\.\d+)?(ns|us|µs|μs|ms|s|m|h))+", text, re.ASCII) or len(text) > 40:
        raise BadParameter(name, f"{text!r} is not a duration such as 1.5ms, 2s or 1m30s")
    parts = re.findall(r"([\d.]+)([a-zµμ]+)", text)
    return min(int(sum(float(number) * UNITS[unit] for number, unit in parts)), MAX_TIME)


def _tags() -> dict[str, str]:
    tags = {}
    for text in request.args.getlist("tags"):
        try:
            given = from_json(text)  # unlike json.loads it refuses half a surrogate pair, which no database takes
        except ValueError as error:
            raise BadParameter("tags", f"not JSON: {error}") from None
        if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
            raise BadParameter("tags", "a JSON object with text values is expected")
        tags.update(given)
    for text in request.args.getlist("tag"):
        key, colon, value = text.partition(":")
        if not colon:
            raise BadParameter("tag", f"key:value is expected, not {text!r}")
        tags[key] = value
    return tags


def _trace_query() -> queries.TraceQuery:
    times = _times()
    query = queries.TraceQuery(
        service=request.args.get("service", ""),
        operation=request.args.get("operation", ""),
        tags=_tags(),
        min_duration=_duration("minDuration", 0),
        max_duration=_duration("maxDuration", MAX_TIME),
        start=times["start"],
        end=times["end"],
        limit=_integer("limit", 100, minimum=1, maximum=MAX_LIMIT),
    )
    if query.min_duration > query.max_duration:
        raise BadParameter("maxDuration", "it should be greater than minDuration")
    if query.operation and not query.service:
        raise BadParameter("service", "an operation needs its service")
    return query


def _series_query() -> metric.SeriesQuery:
    name, stat = request.args.get("name", ""), request.args.get("stat", "value")
    if not name:
        raise BadParameter("name", "it is required")
    if stat not in metric.STATS:
        raise BadParameter("stat", f"one of {', '.join(metric.STATS)}")
    start, end = _window()
    step = _integer("step", max(10, (end - start) // 120_000_000), minimum=1, maximum=86_400 * 365) * 1_000_000
    if (end - start) // step > MAX_STEPS:
        raise BadParameter("step", f"more than {MAX_STEPS} points: choose a longer step or a shorter time")
    by = tuple(key for key in request.args.get("by", "").split(",") if key)
    return metric.SeriesQuery(name, stat, start, end, step, request.args.get("service", ""), by)
