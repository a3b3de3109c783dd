#!/usr/bin/env python3
"""A stand-in for Loki (not Loki itself), so that the tests can query the logs that the Collector sends.

It receives log records over OTLP/HTTP, stores them in SQLite and supports the forms of LogQL that Waybill's dashboards
and tests use. It reads no configuration, so Loki's own configuration is not tested.
"""

import gzip
import json
import os
import re
import sqlite3
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse

PORT = 3100
FILE = "/loki/lines.db"
INDEX_LABELS = ("service.name", "deployment.environment.name")
"""As in loki/config.yaml; all else is structured metadata."""
UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}

Labels = dict[str, str]
Line = tuple[int, Labels, str]


class NotUnderstood(ValueError):
    """A form of LogQL that no query of Waybill has."""


def database() -> sqlite3.Connection:
    db = sqlite3.connect(FILE, timeout=10)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("CREATE TABLE IF NOT EXISTS lines (time INTEGER, labels TEXT, body TEXT)")
    db.execute("CREATE INDEX IF NOT EXISTS lines_by_time ON lines (time)")
    return db


def metrics() -> str:
    """What Prometheus scrapes of this process."""
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return (
        "# TYPE process_resident_memory_bytes gauge\n"
        f"process_resident_memory_bytes {resident}\n"
        "# TYPE process_cpu_seconds_total counter\n"
        f"process_cpu_seconds_total {time.process_time()}\n"
    )


def rows(export: ExportLogsServiceRequest) -> Iterator[tuple[int, str, str]]:
    for resource_logs in export.resource_logs:
        resource = {item.key: text(item.value) for item in resource_logs.resource.attributes}
        for scope_logs in resource_logs.scope_logs:
            for record in scope_logs.log_records:
                labels = resource | {item.key: text(item.value) for item in record.attributes}
                labels |= {"severity_text": record.severity_text, "severity_number": str(record.severity_number)}
                if record.trace_id:
                    labels |= {"trace_id": record.trace_id.hex(), "span_id": record.span_id.hex()}
                flat = {re.sub(r"\W", "_", name): value for name, value in labels.items()}
                yield record.time_unix_nano or record.observed_time_unix_nano, json.dumps(flat), text(record.body)


def text(value: Any) -> str:
    kind = value.WhichOneof("value")
    return str(getattr(value, kind)) if kind else ""


STRING = r'("(?:[^"\\]|\\.)*"|`[^`]*`)'
MATCHERS = {
    "=": str.__eq__,
    "!=": str.__ne__,
    "=~": lambda a, b: bool(re.fullmatch(b, a)),
    "!~": lambda a, b: not re.fullmatch(b, a),
}
FILTERS = {
    "|=": lambda line, b: b in line,
    "!=": lambda line, b: b not in line,
    "|~": lambda line, b: bool(re.search(b, line)),
    "!~": lambda line, b: not re.search(b, line),
}


def unquote(quoted: str) -> str:
    return quoted[1:-1] if quoted[0] == "`" else str(json.loads(quoted))


def log_query(query: str) -> Callable[[Labels, str], bool]:
    """`{a="b"} | c="d" |= "text"` -> whether a line is meant."""
    selector = re.match(r"\s*\{([^}]*)\}", query)
    if not selector:
        raise NotUnderstood(query)
    tests = [label_test(matcher) for matcher in re.split(r",\s*(?=\w+\s*[=!])", selector[1])]
    rest = query[selector.end() :].strip()
    while rest:
        if stage := re.match(rf"(\|=|!=|\|~|!~)\s*{STRING}", rest):
            compare, operand = FILTERS[stage[1]], unquote(stage[2])
            tests.append(lambda _labels, line, compare=compare, operand=operand: compare(line, operand))
        elif stage := re.match(
            rf"\|\s*(\w+\s*(?:=~|!~|!=|=)\s*{STRING}(?:\s+or\s+\w+\s*(?:=~|!~|!=|=)\s*{STRING})*)", rest
        ):
            any_of = [label_test(part) for part in re.split(r"\s+or\s+", stage[1])]
            tests.append(lambda labels, line, any_of=any_of: any(test(labels, line) for test in any_of))
        else:
            raise NotUnderstood(rest)
        rest = rest[stage.end() :].strip()
    return lambda labels, line: all(test(labels, line) for test in tests)


def label_test(matcher: str) -> Callable[[Labels, str], bool]:
    found = re.fullmatch(rf"\s*(\w+)\s*(=~|!~|!=|=)\s*{STRING}\s*", matcher)
    if not found:
        raise NotUnderstood(matcher)
    name, compare, operand = found[1], MATCHERS[found[2]], unquote(found[3])
    return lambda labels, _line: compare(labels.get(name, ""), operand)


def lines(query: str, start: int, end: int) -> Iterator[Line]:
    meant = log_query(query)
    for at, labels, body in database().execute(
        "SELECT time, labels, body FROM lines WHERE time > ? AND time <= ? ORDER BY time DESC", (start, end)
    ):
        found = json.loads(labels)
        if meant(found, body):
            yield at, found, body


def streams(query: str, start: int, end: int, limit: int) -> dict[str, Any]:
    grouped: dict[str, list[list[str]]] = defaultdict(list)
    for count, (at, labels, body) in enumerate(lines(query, start, end)):
        if count == limit:
            break
        grouped[json.dumps(labels, sort_keys=True)].append([str(at), body])
    return {
        "resultType": "streams",
        "result": [{"stream": json.loads(key), "values": values} for key, values in grouped.items()],
    }


METRIC = re.compile(
    r"\s*sum\s*(?:by\s*\(([\w\s,]*)\))?\s*\(\s*(count_over_time|rate)\s*\((.*)\[(\d+)(ms|s|m|h|d)\]\s*\)\s*\)\s*(?:by\s*\(([\w\s,]*)\))?\s*",
    re.S,
)


def samples(query: str, times: list[float]) -> list[tuple[Labels, list[tuple[float, float]]]]:
    """`sum by (x) (count_over_time({...}[1m]))`, or rate, at each of `times` (seconds)."""
    counting, or_zero, _ = query.partition(" or vector(0)")
    found = METRIC.fullmatch(counting)
    if not found:
        raise NotUnderstood(query)
    names = [name.strip() for name in (found[1] or found[6] or "").split(",") if name.strip()]
    width = int(found[4]) * UNITS[found[5]]
    counts: dict[str, dict[float, float]] = defaultdict(lambda: defaultdict(float))
    for at, labels, _ in lines(found[3], int((times[0] - width) * 1e9), int(times[-1] * 1e9)):
        key = json.dumps({name: labels[name] for name in names if name in labels})
        for moment in times:
            if moment - width < at / 1e9 <= moment:
                counts[key][moment] += 1 / width if found[2] == "rate" else 1
    if or_zero and not counts:
        counts["{}"] = dict.fromkeys(times, 0.0)
    return [(json.loads(key), sorted(values.items())) for key, values in counts.items()]


def answer(path: str, params: dict[str, str]) -> Any:
    now = time.time()
    query = params.get("query", "")
    start = nanoseconds(params.get("start"), now - 3600)
    end = nanoseconds(params.get("end"), now)
    is_log_query = query.lstrip().startswith("{")
    if path.endswith("/query_range") and is_log_query:
        return streams(query, start, end, int(params.get("limit", "100")))
    if path.endswith("/query_range"):
        step = float(re.sub(r"s$", "", params.get("step", "15")))
        times = [start / 1e9 + number * step for number in range(int((end - start) / 1e9 / step) + 1)]
        result = [{"metric": m, "values": [[at, str(v)] for at, v in values]} for m, values in samples(query, times)]
        return {"resultType": "matrix", "result": result}
    moment = nanoseconds(params.get("time"), now) / 1e9
    result = [{"metric": m, "value": [moment, str(values[-1][1])]} for m, values in samples(query, [moment])]
    return {"resultType": "vector", "result": result}


def nanoseconds(value: str | None, default: float) -> int:
    if value is None:
        return int(default * 1e9)
    return int(value) if value.isdigit() and len(value) > 12 else int(float(value) * 1e9)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/ready":
            self.reply(200, b"ready\n", "text/plain")
        elif url.path == "/metrics":
            self.reply(200, metrics().encode(), "text/plain; version=0.0.4")
        elif url.path in ("/loki/api/v1/query_range", "/loki/api/v1/query"):
            try:
                data = answer(url.path, dict(parse_qsl(url.query)))
                self.reply(200, json.dumps({"status": "success", "data": data}).encode())
            except NotUnderstood as error:
                self.reply(400, f"not understood: {error}\n".encode(), "text/plain")
        else:
            self.reply(404, b"no such page\n", "text/plain")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path != "/otlp/v1/logs":
            self.reply(404, b"no such page\n", "text/plain")
            return
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        with database() as db:
            db.executemany("INSERT INTO lines VALUES (?, ?, ?)", rows(ExportLogsServiceRequest.FromString(body)))
        self.reply(200, ExportLogsServiceResponse().SerializeToString(), "application/x-protobuf")

    def reply(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Be silent."""


def healthy() -> bool:
    connection = HTTPConnection("127.0.0.1", PORT, timeout=4)
    connection.request("GET", "/ready")
    return connection.getresponse().status == 200


if __name__ == "__main__":
    if "-health" in sys.argv:
        sys.exit(0 if healthy() else 1)
    database().close()
    ThreadingHTTPServer(("0.0.0.0", PORT), Handler).serve_forever()  # noqa: S104 (in a container)
