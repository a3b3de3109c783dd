"""The read API: Jaeger's query API and, beside it, trees, logs, instruments, series and statistics (see README.md)."""

import contextlib
import gc
import gzip
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException

from waybill_explorer import difference as differences
from waybill_explorer import log_queries, parameters, queries, service_map, trace_queries
from waybill_explorer import series as metric
from waybill_explorer.comparison import compare_traces
from waybill_explorer.decode import compact_json
from waybill_explorer.groups import compare_groups
from waybill_explorer.operations import operation_durations
from waybill_explorer.otlp_json import NotStored, TooLargeToExport, export
from waybill_explorer.paging import Page
from waybill_explorer.parameters import BadParameter
from waybill_explorer.score import scores
from waybill_explorer.store import Writer, reading
from waybill_explorer.suggestions import suggestions
from waybill_explorer.trace_tree import read_trace
from waybill_explorer.tree_json import tree_json
from waybill_explorer.versions import versions as known_versions

USAGE = """The read API of waybill-explorer

GET /api/services                        GET /api/services/<service>/operations
GET /api/traces?service=&operation=&tags=&minDuration=&maxDuration=&limit=&start=&end=
GET /api/traces/<trace id>               GET /api/traces/<trace id>/otlp
GET /api/traces/<trace id>/operations?start=&end=
GET /api/export?traceID=&(or as /api/summaries)
POST /api/import
GET /api/trees?traceID=
GET /api/summaries?q=&cursor=&text=&failed=1&refused=1&minTotal=&maxTotal=&(as /api/traces)
GET /api/suggestions?signal=traces|logs&q=
GET /api/difference?select=slow|failed|refused&ids=&box=<start>,<end>,<low>,<high>&against=<query>&(as /api/summaries)
GET /api/comparison?a=<query>&b=<query>&(as /api/summaries)
GET /api/comparison?traceID=<here>&traceID=<there>
GET /api/versions
GET /api/dependencies?endTs=&lookback=   GET /api/map?start=&end=
GET /api/services/<service>/requests?start=&end=&step=
GET /api/logs?q=&cursor=&after=&trace_id=&service=&level=&text=&start=&end=&limit=
GET /api/logs/histogram?step=&(as /api/logs) GET /api/logs/facets?(as /api/logs)
GET /api/logs/context?id=&before=&after=&all=1
GET /api/instruments?text=               GET /api/series?name=&service=&stat=&by=&start=&end=&step=&exemplars=0
GET /api/heatmap?(as /api/series)
GET /api/score?service=&start=&end=&lookback=&limit=
GET /api/stats                           GET /healthz
"""

STARTED = secrets.token_hex(4)
"""Part of every ETag: the next version of this program may make something else of the same data."""
Reader = Callable[..., Any]
"""Gets a reading connection and the path's variables; returns the `data` of the answer, or a whole answer."""
READERS: dict[str, Reader] = {}


def get(path: str) -> Callable[[Reader], Reader]:
    """Declare the function that reads what a path gives."""

    def register(reader: Reader) -> Reader:
        READERS[path] = reader
        return reader

    return register


def read_api(writer: Writer) -> Blueprint:
    """Make the routes that read; each request opens its own read-only connection."""
    routes = Blueprint("read", __name__)
    stats: dict[str, Reader] = {"/api/stats": lambda db: queries.stats(db) | _writer_stats(writer)}
    for path, reader in (READERS | stats).items():
        routes.add_url_rule(path, endpoint=path, view_func=_view(writer, reader))
    routes.add_url_rule("/healthz", view_func=healthz)
    routes.app_errorhandler(BadParameter)(lambda error: error_response(400, str(error), error.position))
    routes.app_errorhandler(sqlite3.Error)(
        lambda error: error_response(503, f"{writer.path} cannot be read: {error}"),
    )
    routes.app_errorhandler(HTTPException)(
        lambda error: error_response(error.code or 500, error.description or error.name),
    )
    return routes


def _view(writer: Writer, reader: Reader) -> Callable[..., Response]:
    def view(**variables: str) -> Response:
        with reading(writer.path) as db:
            data = reader(db, **variables)
        return data if isinstance(data, Response) else _data(data)

    return view


def healthz() -> Response:
    """Say that the server answers."""
    return Response('{"status":"ok"}', mimetype="application/json")


def _writer_stats(writer: Writer) -> dict[str, Any]:
    return {
        "queue": writer.waiting_bytes,
        "queue_limit": writer.queue_bytes,
        "retention": writer.retention_bytes,
        "refused": writer.refused,
    }


@get("/api/services")
def services(db: sqlite3.Connection) -> Any:
    """Name the services."""
    return queries.services(db)


@get("/api/services/<service>/operations")
def operations(db: sqlite3.Connection, service: str) -> Any:
    """Name the operations of a service."""
    return queries.operations(db, service)


@get("/api/traces")
def traces(db: sqlite3.Connection) -> Any:
    """Return the traces of the given ids, else those that fit the query."""
    if ids := parameters.trace_ids():
        return queries.traces_by_id(db, ids)
    return trace_queries.find_traces(db, parameters.trace_query())


@get("/api/traces/<trace_id>")
def trace(db: sqlite3.Connection, trace_id: str) -> Any:
    """Return one trace."""
    found = queries.traces_by_id(db, [parameters.trace_id("traceID", trace_id)])
    return found or error_response(404, "trace not found")


@get("/api/traces/<trace_id>/otlp")
def otlp(db: sqlite3.Connection, trace_id: str) -> Any:
    """Return one trace with its logs as the OTLP/JSON that it was."""
    try:
        pieces = export(db, [parameters.trace_id("traceID", trace_id)])
    except TooLargeToExport as error:
        return error_response(413, str(error))
    except NotStored:
        return error_response(404, "trace not found")
    return Response("".join(pieces), mimetype="application/json")


@get("/api/traces/<trace_id>/operations")
def trace_operations(db: sqlite3.Connection, trace_id: str) -> Any:
    """Return how long each operation and statement of a trace takes in the traces of a time; without one, in all."""
    found = operation_durations(db, parameters.trace_id("traceID", trace_id), **parameters.times())
    return found or error_response(404, "trace not found")


@get("/api/trees")
def trees(db: sqlite3.Connection) -> Any:
    """Return the traces of the given ids, ready to be drawn, or 304 if the client has them as they are."""
    ids = parameters.trace_ids()
    etag = f"{STARTED}.{queries.revision(db, ids)}"
    if request.if_none_match.contains(etag):
        response = Response(status=304)
    else:
        with _without_garbage_collection():
            found = queries.traces_by_id(db, ids)
            response = _compressed(_data([tree_json(read_trace(trace)) for trace in found]))
    response.set_etag(etag)
    response.cache_control.no_cache = True  # to be kept, and asked for again with the ETag
    return response


@get("/api/summaries")
def summaries(db: sqlite3.Connection) -> Any:
    """Return one line for each trace that fits the query."""
    return trace_queries.find_summaries(db, parameters.summary_query())


@get("/api/difference")
def difference(db: sqlite3.Connection) -> Any:
    """Return what some traces have more often than the others."""
    with _without_garbage_collection():
        return differences.difference(db, parameters.difference_query())


@get("/api/comparison")
def comparison(db: sqlite3.Connection) -> Any:
    """Compare two traces, or two groups of traces."""
    ids = parameters.trace_ids()
    if not ids:
        return compare_groups(db, *parameters.groups_query())
    if len(ids) != 2:
        raise BadParameter("traceID", f"two are compared, not {len(ids)}")
    found = {trace["traceID"]: trace for trace in queries.traces_by_id(db, ids)}
    traces = [found.get(one.hex()) for one in ids]
    missing = [one.hex() for one, trace in zip(ids, traces, strict=True) if not trace]
    if missing:
        return error_response(404, f"trace {missing[0]} not found")
    with _without_garbage_collection():
        return _compressed(_data(compare_traces(*(read_trace(trace) for trace in traces if trace))))


@get("/api/versions")
def versions(db: sqlite3.Connection) -> Any:
    """Return the versions of the services and when they first appeared."""
    return known_versions(db)


@get("/api/dependencies")
def dependencies(db: sqlite3.Connection) -> Any:
    """Count the calls between services."""
    return queries.dependencies(db, *parameters.lookback_window())


@get("/api/map")
def requests_map(db: sqlite3.Connection) -> Any:
    """Return the services and the calls between them, with rates, errors and percentiles."""
    return service_map.service_map(db, *parameters.window())


@get("/api/services/<service>/requests")
def service_requests(db: sqlite3.Connection, service: str) -> Any:
    """Return the requests of one service over time."""
    start, end = parameters.window()
    return service_map.service_detail(db, service, start, end, parameters.step_of(start, end))


@get("/api/logs")
def logs(db: sqlite3.Connection) -> Any:
    """Return the log lines that fit the query."""
    return log_queries.find_logs(db, parameters.log_query())


@get("/api/logs/histogram")
def log_histogram(db: sqlite3.Connection) -> Any:
    """Count the log lines that fit the query over time, by level."""
    return log_queries.log_histogram(db, *parameters.log_times())


@get("/api/logs/facets")
def log_facets(db: sqlite3.Connection) -> Any:
    """Count the values of the fields and attributes of the log lines that fit the query."""
    return log_queries.log_facets(db, parameters.log_query())


@get("/api/logs/context")
def log_context(db: sqlite3.Connection) -> Any:
    """Return a log line with those before and after it, of its service or, with `all=1`, of all."""
    number = parameters.integer("id", 0)
    before, after = (parameters.integer(name, 20, maximum=1_000) for name in ("before", "after"))
    of_all = bool(parameters.integer("all", 0, maximum=1))
    found = log_queries.log_context(db, number, before, after, of_all=of_all)
    return found or error_response(404, "log line not found")


@get("/api/suggestions")
def suggest(db: sqlite3.Connection) -> Any:
    """Return what the last word of `q`, the text up to the caret, may become."""
    return suggestions(db, parameters.signal(), parameters.text("q"))


@get("/api/instruments")
def instruments(db: sqlite3.Connection) -> Any:
    """Describe the instruments whose names have `text` in them."""
    return metric.instruments(db, parameters.text("text"))


@get("/api/series")
def series(db: sqlite3.Connection) -> Any:
    """Return the series of an instrument."""
    try:
        return metric.series(db, parameters.series_query())
    except metric.BadStat as error:
        raise BadParameter("stat", str(error)) from error
    except metric.TooManyValues as error:
        raise BadParameter("by", str(error)) from error


@get("/api/heatmap")
def heatmap(db: sqlite3.Connection) -> Any:
    """Return the buckets of a histogram over time."""
    try:
        return metric.heatmap(db, parameters.series_query())
    except metric.BadStat as error:
        raise BadParameter("name", str(error)) from error


@get("/api/score")
def score(db: sqlite3.Connection) -> Any:
    """Return the Instrumentation Score of each service."""
    return scores(db, parameters.score_query())


def _data(data: Any) -> Response:
    if isinstance(data, Page):
        more = {"next": str(data.next) if data.next else None}
        return _json(_envelope(data.items) | more)
    return _json(_envelope(data))


def _envelope(data: Any) -> dict[str, Any]:
    total = len(data) if isinstance(data, list) else 1
    return {"data": data, "total": total, "limit": 0, "offset": 0, "errors": None}


def _json(body: Any) -> Response:
    return Response(compact_json(body), mimetype="application/json")


@contextlib.contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Pause the search for cycles: a large trace has none, and the search takes a third of the time to read it."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _compressed(response: Response) -> Response:
    """Compress a response for a client that accepts gzip, quickly rather than well: most are on this machine."""
    response.vary.add("Accept-Encoding")
    if request.accept_encodings["gzip"]:
        response.set_data(gzip.compress(response.get_data(), compresslevel=1, mtime=0))
        response.content_encoding = "gzip"
    return response


def error_response(code: int, message: str, position: int | None = None) -> Response:
    """Make an answer in the shape in which Jaeger reports errors; `position` is the place in the text of a query."""
    error = {"code": code, "msg": message} | ({} if position is None else {"position": position})
    body = {"data": None, "total": 0, "limit": 0, "offset": 0, "errors": [error]}
    return Response(compact_json(body), code, mimetype="application/json")
