"""`POST /api/import` takes a file as its body, `GET /api/export` gives traces as one: both read and send in pieces."""

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import IO

from flask import Blueprint, Response, request
from gunicorn.http.errors import ParseException

from waybill_explorer import parameters
from waybill_explorer.api import error_response
from waybill_explorer.decode import compact_json
from waybill_explorer.hosts import is_same_origin
from waybill_explorer.otlp_between import export_logs, export_metrics
from waybill_explorer.otlp_json import NotStored, TooLargeToExport, export
from waybill_explorer.store import Unavailable, Writer, reading
from waybill_explorer.trace_queries import find_ids
from waybill_explorer.transfer.files import BadFile, FileTooLarge, spool
from waybill_explorer.transfer.importing import Import, ImportJson

Between = Callable[[sqlite3.Connection, int, int], Iterator[str]]
LINES = "application/x-ndjson"
"""Accepted by a client that wants to see progress: lines with `done` (0 to 1), the last one the usual response."""
WAIT = 60.0
"""Seconds that a file waits for the one before it: two at a time would take twice the memory."""


def transfer_api(writer: Writer) -> Blueprint:
    """Make the routes; importing is for pages of this explorer and for programs that are no browsers."""
    routes = Blueprint("transfer", __name__)
    one_at_a_time = threading.Lock()

    @routes.post("/api/import")
    def import_file() -> Response:
        if not is_same_origin(request.headers, request.host_url):
            return error_response(403, "a page of another site may not import files here")
        try:
            file = spool(request.stream, writer.path.parent)
        except (BadFile, ParseException) as error:
            return error_response(413 if isinstance(error, FileTooLarge) else 400, str(error))
        lines = _progress(writer, file, one_at_a_time)
        if LINES in request.accept_mimetypes.values():
            return Response((f"{line}\n" for _, line in lines), mimetype=LINES)
        *_, (status, last) = lines
        return Response(last, status, mimetype="application/json")

    @routes.get("/api/export")
    def export_traces() -> Response:
        with ExitStack() as opened:
            db = opened.enter_context(reading(writer.path))
            try:
                ids = parameters.trace_ids() or _found(db)
                pieces = export(db, list(dict.fromkeys(ids)))
            except TooLargeToExport as error:
                return error_response(413, str(error))
            except NotStored as error:
                return error_response(404, str(error))
            response = Response(pieces, mimetype="application/json")
            response.call_on_close(opened.pop_all().close)
        response.headers["Content-Disposition"] = 'attachment; filename="traces.json"'
        return response

    @routes.get("/api/export/logs")
    def logs_of_a_time() -> Response:
        return _of_a_time(writer, export_logs)

    @routes.get("/api/export/metrics")
    def metrics_of_a_time() -> Response:
        return _of_a_time(writer, export_metrics)

    return routes


def _of_a_time(writer: Writer, export_between: Between) -> Response:
    """Return all of a signal between the parameters `start` and `end`."""
    with ExitStack() as opened:
        db = opened.enter_context(reading(writer.path))
        start, end = parameters.integer("start", 0), parameters.integer("end", parameters.MAX_TIME)
        try:
            pieces = export_between(db, start, end)
        except TooLargeToExport as error:
            return error_response(413, str(error))
        response = Response(pieces, mimetype="application/json")
        response.call_on_close(opened.pop_all().close)
    return response


def _found(db: sqlite3.Connection) -> list[bytes]:
    """Return the ids of all that the search finds, up to its limit."""
    rows = find_ids(db, parameters.summary_query())
    return [db.execute("SELECT trace_id FROM traces WHERE id = ?", (row,)).fetchone()[0] for row in rows]


def _progress(writer: Writer, file: IO[bytes], one_at_a_time: threading.Lock) -> Iterator[tuple[int, str]]:
    """Yield lines of progress and then the response, each with a status."""
    if not one_at_a_time.acquire(timeout=WAIT):
        file.close()
        yield 503, _body(503, "another file is being imported: try again when it is done")
        return
    try:
        with file, reading(writer.path) as db:
            running = Import(writer, db)
            for done in running.run(file):
                yield 200, json.dumps({"done": round(done, 4)})
            yield 200, _body(200, "", running.result())
    except FileTooLarge as error:
        yield 413, _body(413, str(error))
    except BadFile as error:
        yield 400, _body(400, str(error))
    except Unavailable as error:
        yield 503, _body(503, f"not all of it could be stored: {error}. Import it again: what is stored is left out")
    finally:
        one_at_a_time.release()


def _body(status: int, message: str, data: ImportJson | None = None) -> str:
    errors = [{"code": status, "msg": message}] if message else None
    total = data["traceCount"] if data else 0
    return compact_json({"data": data, "total": total, "limit": 0, "offset": 0, "errors": errors})
