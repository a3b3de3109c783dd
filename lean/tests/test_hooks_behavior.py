"""The hooks never fail the application, whatever a client sends and a user's hook raises, and keep spans apart."""

import os
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any
from urllib.parse import urlparse

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lean.tests.fresh_process import fresh_process
from lean.tests.hooks_support import Lines, answering_server, exporting, instrumentors, make_app, names

HEADER = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=60)
NAMES = st.sampled_from(
    ["Traceparent", "Tracestate", "Baggage", "User-Agent", "Host", "X-Forwarded-For", "Cookie", "Content-Length", "X"]
)
URLS = st.one_of(
    st.text(max_size=40),
    st.builds(
        "{}://{}{}{}".format,
        st.sampled_from(["http", "https", "HTTP", "mock", ""]),
        st.sampled_from(["host", "HOST", "a.b-c", "u:p@h", "[::1]", "[bad", "h\u00e9", "1.2.3.4", ""]),
        st.sampled_from(["", ":80", ":0", ":65535", ":65536", ":99999", ":", ":x", ":080"]),
        st.one_of(
            st.sampled_from(["", "/", "/a?sig=x", "/a?b#c", "?Signature=1", "#f", "//x", "/;p"]),
            st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20).map("/".__add__),
        ),
    ),
)
FUZZED = settings(
    max_examples=300, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


def _environ(path: str, **variables: Any) -> dict[str, Any]:
    from werkzeug.test import EnvironBuilder

    return {**EnvironBuilder(path="/").get_environ(), "PATH_INFO": path, **variables}


def _answer(app: Any, environ: dict[str, Any]) -> tuple[str, bytes]:
    """Return (status, body); raises what a WSGI server would see."""
    started: list[str] = []
    body = app.wsgi_app(environ, lambda status, _headers, *_: started.append(status))
    try:
        return started[0], b"".join(body)
    finally:
        getattr(body, "close", lambda: None)()


@fresh_process()
def test_garbage_in_a_request_changes_nothing_that_the_client_gets() -> None:
    exporter = exporting()
    plain, instrumented = make_app(), make_app()
    instrumentors()[0][1].instrument_app(instrumented, excluded_urls="/excluded,x$")

    @FUZZED
    @given(
        headers=st.dictionaries(NAMES, HEADER, max_size=5),
        method=st.one_of(st.sampled_from(["GET", "HEAD", "get", ""]), HEADER),
        path=HEADER.map("/".__add__),
        variables=st.fixed_dictionaries(
            {},
            optional={
                "SERVER_PORT": st.sampled_from(["", "80", "x", "-1", "\u0663"]),
                "REMOTE_PORT": st.sampled_from(["", "x", "99999999999999999999"]),
                "REMOTE_ADDR": st.sampled_from(["", "unix:", "10.0.0.1"]),
                "SERVER_PROTOCOL": HEADER,
                "QUERY_STRING": HEADER,
                "RAW_URI": HEADER,
                "SCRIPT_NAME": HEADER,
                "wsgi.url_scheme": st.sampled_from(["http", "https", "ws", ""]),
            },
        ),
    )
    def fuzz(headers: dict[str, str], method: str, path: str, variables: dict[str, str]) -> None:
        carried = {"HTTP_" + name.upper().replace("-", "_"): value for name, value in headers.items()}
        environ = {"REQUEST_METHOD": method, **variables, **carried}
        try:
            expected = _answer(plain, _environ(path, **environ))
        except Exception as error:  # Flask itself refuses it
            expected = type(error)  # type: ignore[assignment]
        try:
            got = _answer(instrumented, _environ(path, **environ))
        except Exception as error:
            got = type(error)  # type: ignore[assignment]
        assert got == expected

    fuzz()
    assert len(exporter.get_finished_spans()) > 100


@fresh_process()
def test_the_url_that_is_matched_for_exclusion_is_that_of_werkzeug() -> None:
    from flask import Request

    from waybill_lean.hooks.flask import _url

    @FUZZED
    @given(
        host=st.one_of(
            st.sampled_from(
                ["h", "H.x", "h:80", "h:443", "h:8080", "h:70000", "xn--bcher-kva.x", "[::1]:1", "a b", ""]
            ),
            HEADER,
        ),
        path=st.one_of(HEADER.map("/".__add__), st.from_regex(r"/[a-z0-9/_.~%-]*", fullmatch=True)),
        query=st.sampled_from(["", "a=1", "%C3%A9"]),
        scheme=st.sampled_from(["http", "https"]),
    )
    def fuzz(host: str, path: str, query: str, scheme: str) -> None:
        environ = _environ(path, HTTP_HOST=host, QUERY_STRING=query)
        environ["wsgi.url_scheme"] = scheme
        assert _url(Request(dict(environ))) == Request(dict(environ)).url

    fuzz()


@fresh_process()
def test_a_url_is_described_as_the_official_functions_do() -> None:
    from opentelemetry.util.http import redact_url

    from waybill_lean.hooks.requests import _describe_url

    def officially(url: str) -> tuple[str, str | None, int | None]:
        url = redact_url(url)
        host = port = None
        try:
            parsed = urlparse(url)
            host = parsed.hostname
            port = parsed.port
        except ValueError:
            pass
        return url, host, port

    @FUZZED
    @given(URLS)
    def fuzz(url: str) -> None:
        assert _describe_url(url) == officially(url)

    fuzz()


@fresh_process()
def test_what_a_hook_raises_is_logged_and_does_not_reach_the_application() -> None:
    import requests

    exporter = exporting()
    lines = Lines("waybill_lean").lines

    def hook(*_: object) -> None:
        raise RuntimeError("hook")

    (_, flask), (_, lean_requests), *_ = instrumentors()
    app = make_app()
    flask.instrument_app(app, request_hook=hook, response_hook=hook)
    assert app.test_client().get("/").status_code == 200
    assert names(exporter) == ["GET /"]
    lean_requests.instrument(request_hook=hook, response_hook=hook)
    with answering_server() as url:
        assert requests.get(url, timeout=5).status_code == 200
    assert names(exporter) == ["GET"]
    assert len(lines) == 4


@fresh_process()
def test_an_exception_that_cannot_be_recorded_reaches_the_caller_as_it_is() -> None:
    import requests
    from requests.adapters import BaseAdapter

    class Unprintable(Exception):
        def __str__(self) -> str:
            raise ZeroDivisionError

    class Failing(BaseAdapter):
        def send(self, *_: object, **__: object) -> Any:
            raise Unprintable

    exporter = exporting()
    instrumentors()[1][1].instrument()
    session = requests.Session()
    session.mount("http://", Failing())
    try:
        session.get("http://host/")
    except Unprintable:
        assert names(exporter) == ["GET"]
    else:
        raise AssertionError("nothing was raised")


@fresh_process()
def test_requests_in_threads_keep_their_spans_apart() -> None:
    import sqlalchemy
    from sqlalchemy.pool import StaticPool

    exporter = exporting()
    (_, flask), _, (_, lean_sqlalchemy), _ = instrumentors()
    lean_sqlalchemy.instrument()
    engine = sqlalchemy.create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    app = make_app()
    app.add_url_rule("/n/<int:n>", "n", lambda n: str(engine.connect().exec_driver_sql(f"SELECT {n}").scalar()))
    flask.instrument_app(app)

    def get(n: int) -> None:
        assert app.test_client().get(f"/n/{n}").text == str(n)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(get, range(200)))
    spans = exporter.get_finished_spans()
    servers = {span.context.span_id: span for span in spans if span.name == "GET /n/<int:n>"}
    statements = [span for span in spans if span.name == "SELECT"]
    assert len(servers) == len(statements) == 200
    for span in statements:
        assert span.parent is not None
        assert span.attributes is not None
        path = dict(servers[span.parent.span_id].attributes or {})["url.path"]
        assert span.attributes["db.query.text"] == f"SELECT {str(path).removeprefix('/n/')}"


@fresh_process()
def test_requests_in_greenlets_keep_their_spans_apart() -> None:
    greenlets: Any = import_module("greenlet")  # it has no types

    exporter = exporting()
    hub = greenlets.getcurrent()
    app = make_app()
    app.add_url_rule("/pause/<n>", "pause", lambda n: hub.switch() or n)
    instrumentors()[0][1].instrument_app(app)
    workers = [greenlets.greenlet(lambda n=n: app.test_client().get(f"/pause/{n}")) for n in range(3)]
    for _ in range(2):
        for worker in workers:
            worker.switch()
    assert all(worker.dead for worker in workers)
    spans = exporter.get_finished_spans()
    assert [span.parent for span in spans] == [None] * 3
    assert len({span.context.trace_id for span in spans}) == 3


@fresh_process()
def test_a_fork_has_spans_of_its_own() -> None:
    exporter = exporting()
    app = make_app()
    instrumentors()[0][1].instrument_app(app)
    app.test_client().get("/")
    child = os.fork()
    if not child:
        app.test_client().get("/x")
        os._exit(0 if names(exporter) == ["GET /", "GET /<path:rest>"] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert names(exporter) == ["GET /"]


@fresh_process()
def test_an_engine_for_asyncio_is_traced() -> None:
    from opentelemetry.metrics import NoOpMeterProvider
    from sqlalchemy.event import contains
    from sqlalchemy.ext import asyncio

    from waybill_lean.hooks.sqlalchemy import EngineTracer

    instrumentors()[2][1].instrument(meter_provider=NoOpMeterProvider())
    engine = asyncio.create_async_engine("postgresql+psycopg://127.0.0.1:1/shop")
    (_, _, listener), *_ = EngineTracer._remove_event_listener_params
    assert isinstance(listener.__self__, EngineTracer)
    assert contains(engine.sync_engine, "before_cursor_execute", listener)


@fresh_process()
def test_statements_of_any_number_take_a_bounded_memory() -> None:
    import sqlalchemy

    exporting()
    engine = sqlalchemy.create_engine("sqlite://")
    tracer = instrumentors()[2][1].instrument(engine=engine)
    with engine.connect() as connection:
        for n in range(1500):
            connection.exec_driver_sql(f"SELECT {n}")
    assert tracer._describe.cache_info().currsize == 1000
