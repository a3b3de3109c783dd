"""An application that shows everything the hooks are to reproduce; run once for each side, in a process of its own.

python -m lean.tests.contract.probe SDK HOOKS, each `official` or `lean`; the standard OTEL_* variables are those of the
caller, PROBE_PORTS are the ports of the application, of the service that it calls and of its Redis.
"""

import http.client
import importlib
import json
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import flask
import redis
import requests
import sqlalchemy
from fakeredis import TcpFakeServer
from opentelemetry import _logs, baggage, context, metrics, trace
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.instrumentation.propagators import TraceResponsePropagator, set_global_response_propagator
from opentelemetry.instrumentation.utils import suppress_http_instrumentation, suppress_instrumentation
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from redis.backoff import NoBackoff
from redis.retry import Retry as RedisRetry
from requests.adapters import HTTPAdapter
from sqlalchemy.ext.asyncio import create_async_engine  # noqa: F401  (its wrapper must do no harm)
from urllib3.util.retry import Retry
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.serving import make_server

APP, UPSTREAM, REDIS, CLOSED = map(int, os.environ["PROBE_PORTS"].split(","))
NO_RETRY = RedisRetry(NoBackoff(), 0)
LOGGER = logging.getLogger("probe")
PARENT = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"
TRACED = {"traceparent": f"00-{PARENT}-01"}
INSTRUMENTORS = {
    "flask": "FlaskInstrumentor",
    "requests": "RequestsInstrumentor",
    "sqlalchemy": "SQLAlchemyInstrumentor",
    "redis": "RedisInstrumentor",
}


class Upstream(BaseHTTPRequestHandler):
    """The service that the application calls: a path is what it answers."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    attempts = 0

    def answer(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/slow":
            with suppress(OSError):
                self.rfile.read(1)  # until the client gives up
            self.close_connection = True
            return
        if path == "/broken":
            self.wfile.write(b"no HTTP at all\r\n\r\n")
            self.close_connection = True
            return
        status = int(path[1:]) if path[1:].isdigit() else 200
        if path == "/flaky":
            Upstream.attempts += 1
            status = 503 if Upstream.attempts % 3 else 200
        got = {name.lower(): text for name, text in self.headers.items()}
        body = json.dumps({name: got.get(name) for name in ("traceparent", "tracestate", "baggage")}).encode()
        self.send_response(status)
        if status in (301, 302, 303):
            self.send_header("Location", "/loop-302" if "again" in self.path else "/landed?here=1")
        self.send_header("X-Answer", "forty two")
        self.send_header("Set-Cookie", "secret=1")
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and status not in (204, 304):
            self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_HEAD = do_PURGE = do_QUERY = answer

    def log_message(self, *_: object) -> None:
        pass


def set_providers(sdk: str) -> list[Any]:
    """Set three providers of the official SDK or the lean one, which export over HTTP."""
    package = "opentelemetry.sdk" if sdk == "official" else "waybill_lean"
    logs = "_logs" if sdk == "official" else "logs"
    tracer_provider = importlib.import_module(f"{package}.trace").TracerProvider(shutdown_on_exit=False)
    tracer_provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), max_queue_size=100_000))
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(), export_interval_millis=3_600_000)
    meter_provider = importlib.import_module(f"{package}.metrics").MeterProvider([reader], shutdown_on_exit=False)
    logger_provider = importlib.import_module(f"{package}.{logs}").LoggerProvider(shutdown_on_exit=False)
    logger_provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(), max_queue_size=100_000))
    trace.set_tracer_provider(tracer_provider)
    metrics.set_meter_provider(meter_provider)
    _logs.set_logger_provider(logger_provider)
    logging.getLogger().addHandler(LoggingHandler())
    logging.getLogger().setLevel(logging.INFO)
    # What the servers and the exporters say of themselves is no part of the comparison.
    for name in ("werkzeug", "urllib3", "opentelemetry.sdk", "opentelemetry.attributes", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return [tracer_provider, meter_provider, logger_provider]


def instrumentor(hooks: str, library: str) -> Any:
    """Return the official instrumentor of a library or the lean one."""
    package = "opentelemetry.instrumentation" if hooks == "official" else "waybill_lean.hooks"
    return getattr(importlib.import_module(f"{package}.{library}"), INSTRUMENTORS[library])()


def instrument_libraries(hooks: str) -> None:
    """Instrument what is no application, with hooks that leave a mark."""
    instrumentor(hooks, "requests").instrument(
        request_hook=lambda span, request: span.set_attribute("hook.request", str(request.method)),
        response_hook=lambda span, _request, response: span.set_attribute("hook.response", response.status_code),
        excluded_urls="/excluded",
    )
    instrumentor(hooks, "sqlalchemy").instrument()
    instrumentor(hooks, "redis").instrument(
        request_hook=lambda span, _client, args, _kwargs: span.set_attribute("hook.length", len(args)),
        response_hook=lambda span, _client, response: span.set_attribute("hook.type", type(response).__name__),
    )


def request_hook(span: trace.Span, environ: dict[str, Any]) -> None:
    """Change what a hook may change: attributes of its own and others', links and the context."""
    if not span.is_recording():
        return
    span.set_attribute("hook.current", trace.get_current_span().get_span_context().is_remote)
    if environ.get("HTTP_X_HOOK"):
        span.set_attribute("url.path", "/changed")
        span.set_attribute("hook.own", environ["HTTP_X_HOOK"])
        span.add_link(trace.SpanContext(1, 2, is_remote=True), {"why": "hook"})
        span.add_event("hooked", {"n": 1})
        context.attach(baggage.set_baggage("from", "hook"))


def response_hook(span: trace.Span | None, status: str, headers: list[tuple[str, str]]) -> None:
    """Add to the response and to the span."""
    headers.append(("X-Hook", "response"))
    if span is not None and span.is_recording():
        span.set_attribute("hook.status", status)


def make_app(name: str) -> flask.Flask:
    """Make the application; all three of them have the same routes."""
    app = flask.Flask(name)
    engine = sqlalchemy.create_engine("sqlite:///probe.db")
    client: Any = redis.Redis("127.0.0.1", REDIS, socket_timeout=5)
    upstream = f"http://127.0.0.1:{UPSTREAM}"

    @app.get("/ok")
    @app.route("/any", methods=["GET", "HEAD", "PUT", "PURGE", "QUERY", "OPTIONS"])
    @app.get("/excluded/<path:rest>")
    @app.get("/items/<int:item>")
    @app.get("/caf\u00e9")
    def ok(**_: object) -> str:
        LOGGER.info("baggage %s", json.dumps(dict(baggage.get_all()), sort_keys=True, default=str))
        return "ok"

    @app.get("/status/<int:code>")
    def status(code: int) -> tuple[str, int]:
        return "", code

    @app.get("/status-line/<line>")
    def status_line(line: str) -> flask.Response:
        return flask.Response("", status=line)

    @app.get("/abort/<int:code>")
    def abort(code: int) -> str:
        flask.abort(code)

    @app.get("/raise/<name>")
    def raise_error(name: str) -> str:
        raise {"value": ValueError("bad \u2603"), "key": KeyError("k"), "stop": StopIteration("s")}[name]

    @app.get("/moved")
    def moved() -> Any:
        return flask.redirect("/ok")

    @app.get("/stream")
    def stream() -> Any:
        def parts() -> Iterator[str]:
            with trace.get_tracer("probe").start_as_current_span("part"):
                yield "a"
            yield "b"

        return flask.Response(flask.stream_with_context(parts()))

    @app.get("/stream-without-context")
    def stream_without_context() -> Any:
        return flask.Response(str(i) for i in range(3))

    @app.get("/nested")
    def nested() -> str:
        return app.test_client().get("/ok?nested=1").text

    @app.get("/copied")
    def copied() -> str:
        @flask.copy_current_request_context
        def work() -> str:
            return flask.request.path

        with ThreadPoolExecutor(1) as pool:
            return pool.submit(work).result()

    @app.get("/suppressed")
    def suppressed() -> str:
        with suppress_instrumentation():
            requests.get(f"{upstream}/200", timeout=5)
            with engine.connect() as connection:
                connection.execute(sqlalchemy.text("SELECT 1"))
            client.get("suppressed")
        with suppress_http_instrumentation():
            requests.get(f"{upstream}/200", timeout=5)
        return "ok"

    @app.get("/call")
    def call() -> str:
        response = requests.get(f"{upstream}/200", timeout=5)
        LOGGER.info("sent on: %s", response.text)
        return "ok"

    @app.get("/calls")
    def calls() -> str:
        session = requests.Session()
        for code in (200, 204, 304, 400, 404, 500, 503):
            session.get(f"{upstream}/{code}", timeout=5)
        for method in ("HEAD", "POST", "PUT", "PURGE", "query"):
            session.request(method, f"{upstream}/200", timeout=5)
        session.get(f"{upstream}/302", timeout=5)
        session.get(f"{upstream}/302?again", timeout=5)
        session.get(f"{upstream}/200?sig=secret&a=1#part", timeout=5)
        session.get(f"http://user:word@127.0.0.1:{UPSTREAM}/200;p=1/%C3%A9?x=y&Signature=s", timeout=5)
        session.get(f"http://localhost:{UPSTREAM}", timeout=5)
        session.get(f"http://LOCALHOST:{UPSTREAM}/200/caf\u00e9 x", timeout=5)
        session.get(f"{upstream}/excluded/1", timeout=5)
        for agent in ("Googlebot/2.1", "alwayson", "", b"bytes\xe9", None):
            session.get(f"{upstream}/200", headers={"User-Agent": agent}, timeout=5)
        session.get(f"{upstream}/200", headers={"X-Ask": "1", "Authorization": "secret"}, timeout=5)
        session.mount(upstream, HTTPAdapter(max_retries=Retry(3, status_forcelist=[503], backoff_factor=0)))
        session.get(f"{upstream}/flaky", timeout=5)
        return "ok"

    @app.get("/failed-calls")
    def failed_calls() -> str:
        session = requests.Session()
        session.max_redirects = 1
        bad = requests.Session()
        bad.hooks["response"].append(lambda *_, **__: 1 / 0)
        failing: tuple[Callable[[], object], ...] = (
            lambda: session.get(f"http://127.0.0.1:{CLOSED}/", timeout=5),
            lambda: session.get(f"{upstream}/slow", timeout=0.2),
            lambda: session.get(f"{upstream}/broken", timeout=5),
            lambda: session.get(f"{upstream}/302?again", timeout=5),
            lambda: session.get("http://[bad", timeout=5),
            lambda: session.get("no-scheme", timeout=5),
            lambda: session.get("mock://host/path", timeout=5),
            lambda: bad.get(f"{upstream}/200", timeout=5),
        )
        for work in failing:
            with suppress(Exception):
                work()
        session.mount(upstream, HTTPAdapter(max_retries=Retry(1, status_forcelist=[500], backoff_factor=0)))
        with suppress(requests.exceptions.RetryError):
            session.get(f"{upstream}/500", timeout=5)
        return "ok"

    @app.get("/sql")
    def sql() -> str:
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, name TEXT)"))
            connection.execute(sqlalchemy.text("DELETE FROM t"))
            connection.execute(sqlalchemy.text("INSERT INTO t (name) VALUES (:n)"), [{"n": "a"}, {"n": "b"}])
            connection.execute(sqlalchemy.text("/* comment */ select name from t where name = :n"), {"n": "a"}).all()
            connection.exec_driver_sql("  \n SELECT\tcount(*) FROM t").scalar()
            connection.exec_driver_sql("-- nothing")
        with suppress(sqlalchemy.exc.OperationalError), engine.connect() as connection:
            connection.exec_driver_sql("SELECT * FROM missing")
        with suppress(sqlalchemy.exc.IntegrityError), engine.begin() as connection:
            connection.exec_driver_sql("INSERT INTO t (id) VALUES (1), (1)")
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM")
        with engine.execution_options(stream_results=True).connect() as connection:
            connection.exec_driver_sql("SELECT 2").scalar()
        memory = sqlalchemy.create_engine("sqlite://", pool_logging_name="in-memory")
        with memory.connect() as connection:
            connection.exec_driver_sql("SELECT 3").scalar()
        memory.dispose()
        with suppress(sqlalchemy.exc.OperationalError):
            sqlalchemy.create_engine("sqlite:////no/such/folder/x.db").connect()
        return "ok"

    @app.get("/redis")
    def use_redis() -> str:
        client.set("k", "v", ex=60)
        client.get("k")
        client.mget(["k", "l", "m"])
        client.execute_command("GET k")
        with suppress(redis.ResponseError):
            client.lpush("k", "not a list")
        with suppress(redis.ResponseError):
            client.execute_command("FT.SEARCH", "index", "query")
        with suppress(redis.RedisError):
            client.execute_command("x" * 2000, *range(5))
        with client.pipeline() as pipeline:
            pipeline.set("a", 1).incr("a").get("a").execute()
            pipeline.execute()
        with client.pipeline(transaction=False) as pipeline, suppress(redis.ResponseError):
            pipeline.get("k").lpush("k", "not a list").execute()
        with client.pipeline() as pipeline:
            pipeline.lpush("k", "not a list").get("k").execute(raise_on_error=False)
        with client.pipeline() as pipeline, suppress(TypeError):
            pipeline.execute_command(b"GET", "k")
            pipeline.execute()
        with client.pipeline() as pipeline:
            for n in range(40):
                pipeline.get(f"k{n}")
            pipeline.execute()
        with redis.Redis("127.0.0.1", CLOSED, retry=NO_RETRY).pipeline() as pipeline, suppress(redis.ConnectionError):
            pipeline.get("k")
            pipeline.execute()
        with suppress_instrumentation(), client.pipeline() as pipeline:
            pipeline.get("suppressed")
            pipeline.execute()
        with client.pipeline() as pipeline, suppress(redis.WatchError):
            pipeline.watch("a")
            client.set("a", 5)
            pipeline.multi()
            pipeline.get("a").execute()
        with suppress(redis.ConnectionError):
            redis.Redis("127.0.0.1", CLOSED, db=3, retry=NO_RETRY).get("k")
        with suppress(redis.ConnectionError):
            redis.Redis(unix_socket_path="/no/such/socket", retry=NO_RETRY).get("k")
        return "ok"

    return app


def send(method: str, target: str, headers: dict[str, str] | None = None, host: str = "127.0.0.1") -> None:
    """Send one request from outside any span; log what came back."""
    with closing(http.client.HTTPConnection("127.0.0.1", APP, timeout=30)) as connection:
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", host)
        for name, value in (headers or {}).items():
            connection.putheader(name, value.encode("latin-1"))
        connection.endheaders()
        try:
            response = connection.getresponse()
            body = response.read()
        except (http.client.HTTPException, OSError) as error:
            LOGGER.info("%s %s -> %s", method, target, type(error).__name__)
            return
    names = sorted(f"{name}: {value}" for name, value in response.getheaders() if name not in ("Date", "Server"))
    LOGGER.info("%s %s -> %s %s %s bytes", method, target, response.status, names, len(body))


def send_raw(text: bytes) -> None:
    """Send bytes as they are."""
    with socket.create_connection(("127.0.0.1", APP), timeout=30) as connection:
        connection.sendall(text)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass


GARBAGE = [
    *("", "garbage", "00-", f"00-{'0' * 32}-{'0' * 16}-01", f"ff-{PARENT}-01", f"00-{PARENT}-01-extra"),
    *(f"01-{PARENT}-01-extra", f"00-{PARENT}-0", f"00-{PARENT.upper()}-01", f" 00-{PARENT}-01 ", f"00-{PARENT}-ff"),
    *(f"00-{PARENT}-00", f"00-{PARENT}-02", "\xff\xfe", "00-" + "a" * 5000),
]
OTHER_HEADERS = [
    {"tracestate": "a=1,b=2", **TRACED},
    {"tracestate": "garbage", **TRACED},
    {"tracestate": "a=" + "x" * 600, **TRACED},
    {"tracestate": "a=1"},
    {"baggage": "user=ann,plan=a%20b;meta=1"},
    {"baggage": "=,;;==%zz,\xe9=1," + "x" * 5000},
    {"baggage": ",".join(f"k{i}=v" for i in range(200)), **TRACED},
    {"User-Agent": "Mozilla/5.0 (compatible; Googlebot/2.1)"},
    {"User-Agent": "alwayson"},
    {"User-Agent": "\xe9\xff"},
    {"X-Hook": "yes", **TRACED},
    {"X-Hook": "yes"},
    {"X-Ask": "one, two", "Authorization": "secret", "Cookie": "c=1"},
    {"X-Forwarded-For": "10.1.2.3", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "shop.example"},
]
HOSTS = ["localhost:80", "LOCALHOST", "[::1]:8080", "xn--bcher-kva.example", "bad host", "a" * 300, "h:99999", ""]
ROUTES = [
    *("/ok", "/ok?a=1&b=%C3%A9&sig=s", "/items/7", "/items/8?", "/caf%C3%A9", "//ok", "/ok/", "/%2e/ok", "/ok%00"),
    *("/excluded/1", "/excluded/2?x=1", "/ok?/excluded/", "/missing", "/missing/excluded/x", "/missing?q=1"),
    *("/status/200", "/status/204", "/status/304", "/status/404", "/status/500", "/status/503", "/status/99"),
    *("/status-line/200%20Fine", "/status-line/7", "/status-line/word", "/status-line/600%20Odd", "/abort/404"),
    *("/abort/500", "/abort/413", "/raise/value", "/raise/key", "/raise/stop", "/moved", "/stream", "/call"),
    *("/stream-without-context", "/nested", "/copied", "/suppressed", "/calls", "/failed-calls", "/sql", "/redis"),
]


def send_all() -> None:
    """Send every request."""
    for target in ROUTES:
        send("GET", target)
        send("GET", target, TRACED)
    for target in ("/ok", "/call"):
        for traceparent in GARBAGE:
            send("GET", target, {"traceparent": traceparent})
        for headers in OTHER_HEADERS:
            send("GET", target, headers)
    send("GET", "/sql", {"traceparent": f"00-{PARENT}-00"})
    send("GET", "/redis", {"traceparent": f"00-{PARENT}-00"})
    for method in ("HEAD", "POST", "PUT", "PURGE", "QUERY", "OPTIONS", "get", "BREW"):
        send(method, "/any")
        send(method, "/missing")
    for host in HOSTS:
        send("GET", "/ok", host=host)
        send("GET", "/excluded/1", host=host)
    send_raw(b"GET /ok HTTP/1.0\r\n\r\n")
    send_raw(b"GET /excluded/1 HTTP/1.0\r\n\r\n")
    send_raw(b"GET http://other.example/ok HTTP/1.1\r\nHost: other.example\r\nConnection: close\r\n\r\n")


def send_some() -> None:
    """Send one request of each sort."""
    for target in ("/ok", "/call", "/sql", "/redis", "/missing", "/raise/value"):
        send("GET", target, TRACED)


def serve(app: Any, requests: Callable[[], None] = send_all) -> None:
    """Serve `app` while the requests are sent."""
    server = make_server("127.0.0.1", APP, app, threaded=True)
    server.daemon_threads = False  # type: ignore[attr-defined]
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        requests()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()  # waits for the threads of the requests


def main(sdk: str, hooks: str) -> None:
    """Run all applications of one side and export what they leave."""
    providers = set_providers(sdk)
    set_global_response_propagator(TraceResponsePropagator())
    upstream = ThreadingHTTPServer(("127.0.0.1", UPSTREAM), Upstream)
    upstream.daemon_threads = True
    Thread(target=upstream.serve_forever, daemon=True).start()
    fake = TcpFakeServer(("127.0.0.1", REDIS), server_type="redis")
    Thread(target=fake.serve_forever, daemon=True).start()
    flask_instrumentor = instrumentor(hooks, "flask")

    # An engine and an application that are older than their instrumentors.
    older = sqlalchemy.create_engine("sqlite:///older.db")
    app = make_app("older")
    instrument_libraries(hooks)
    with older.connect() as connection:
        connection.exec_driver_sql("SELECT 'older'").scalar()
    serve(app, send_some)

    app = make_app("by-hand")
    app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1)  # type: ignore[method-assign]
    flask_instrumentor.instrument_app(
        app,
        excluded_urls=r"^https?://[^/]+/excluded/1(\?|$),/excluded/2",
        request_hook=request_hook,
        response_hook=response_hook,
        enable_commenter=False,
    )
    serve(app)
    flask_instrumentor.uninstrument_app(app)
    serve(app, send_some)

    flask_instrumentor.instrument()
    serve(make_app("automatic"))
    flask_instrumentor.uninstrument()
    for library in ("requests", "sqlalchemy", "redis"):
        instrumentor(hooks, library).uninstrument()
    serve(make_app("afterwards"), send_some)
    for provider in providers:
        provider.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
    os._exit(0)  # fakeredis' threads would keep the process
