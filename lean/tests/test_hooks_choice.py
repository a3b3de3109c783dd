"""Which instrumentor is active: never two of them, and the official one wherever the hooks do not know an option."""

from lean.tests.fresh_process import fresh_process
from lean.tests.hooks_support import (
    Lines,
    answering_server,
    exporting,
    instrumentors,
    make_app,
    names,
    patched,
)


def _load_as_the_agent_does() -> None:
    from opentelemetry.instrumentation.auto_instrumentation._load import _load_instrumentors
    from opentelemetry.instrumentation.distro import DefaultDistro  # type: ignore[attr-defined]

    _load_instrumentors(DefaultDistro())


@fresh_process(OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="logging,system_metrics")
def test_installed_alone_the_hooks_change_nothing() -> None:
    _load_as_the_agent_does()

    for official, lean in instrumentors():
        assert official.is_instrumented_by_opentelemetry
        assert not lean.is_lean


@fresh_process(
    OTEL_PYTHON_TRACER_PROVIDER="lean",
    OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="logging,system_metrics",
)
def test_the_hooks_go_along_with_the_lean_provider_and_leave_one_span_each() -> None:
    import flask
    import requests
    import sqlalchemy

    exporter = exporting()
    _load_as_the_agent_does()

    assert all(lean.is_lean for _, lean in instrumentors())
    app = flask.Flask("tested")
    app.add_url_rule("/", view_func=lambda: "ok")
    app.test_client().get("/")
    assert names(exporter) == ["GET /"]
    with answering_server() as url:
        requests.get(url, timeout=5)
    assert names(exporter) == ["GET"]
    with sqlalchemy.create_engine("sqlite://").connect() as connection:
        connection.exec_driver_sql("SELECT 1")
    assert names(exporter) == ["connect", "SELECT"]


@fresh_process(
    OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="flask, requests ,sqlalchemy,redis,logging,system_metrics",
)
def test_the_hooks_take_the_place_of_disabled_instrumentors() -> None:
    _load_as_the_agent_does()

    assert all(lean.is_lean for _, lean in instrumentors())


@fresh_process(
    OTEL_PYTHON_TRACER_PROVIDER="lean",
    OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="lean_flask,lean_requests,lean_sqlalchemy,lean_redis,logging,system_metrics",
)
def test_the_lean_provider_can_have_the_official_hooks() -> None:
    _load_as_the_agent_does()

    for official, lean in instrumentors():
        assert official.is_instrumented_by_opentelemetry
        assert not lean.is_lean


@fresh_process()
def test_whichever_is_called_second_does_nothing() -> None:
    for official, lean in instrumentors():
        official.instrument()
        before = patched()
        lean.instrument()
        assert patched() == before
        assert not lean.is_lean
        lean.uninstrument()

        lean.instrument()
        before = patched()
        official.instrument()
        assert patched() == before
        assert lean.is_lean
        official.uninstrument()


@fresh_process()
def test_uninstrumenting_restores_everything() -> None:
    before = patched()
    for official, lean in instrumentors():
        for end in (official.uninstrument, lean.uninstrument):
            lean.instrument()
            assert patched() != before
            end()
            assert patched() == before
            assert not lean.is_instrumented_by_opentelemetry


@fresh_process()
def test_an_application_has_one_span_whoever_instruments_it() -> None:
    (official, lean), *_ = instrumentors()
    exporter = exporting()
    app = make_app()
    lean.instrument_app(app)
    official.instrument_app(app)
    app.test_client().get("/")
    assert names(exporter) == ["GET /"]

    official.uninstrument_app(app)
    app.test_client().get("/")
    assert names(exporter) == []
    assert not app.before_request_funcs[None]
    assert not app.teardown_request_funcs[None]


@fresh_process()
def test_what_the_hooks_do_not_support_is_left_to_the_official_instrumentor_with_one_line() -> None:
    lines = Lines("waybill_lean").lines
    (_, flask), (_, requests), (_, sqlalchemy), (_, redis) = instrumentors()

    for instrumentor, options in (
        (sqlalchemy, {"enable_commenter": True}),
        (requests, {"name_callback": str}),
        (redis, {"sanitize_query": True}),
        (flask, {"span_name": "x"}),
    ):
        instrumentor.instrument(**options)
        assert not instrumentor.is_lean
        assert instrumentor.is_instrumented_by_opentelemetry
        assert len(lines) == 1
        assert next(iter(options)) in lines.pop()
        instrumentor.uninstrument()


@fresh_process(OTEL_SEMCONV_STABILITY_OPT_IN="http/dup,database")
def test_other_conventions_are_left_to_the_official_instrumentors() -> None:
    lines = Lines("waybill_lean").lines
    for _, lean in instrumentors():
        lean.instrument()
        assert not lean.is_lean
        assert "it is 'http/dup,database'" in lines.pop()
        assert not lines
        lean.uninstrument()
    lean_flask = instrumentors()[0][1]
    lean_flask.instrument_app(make_app())
    assert len(lines) == 1


@fresh_process()
def test_versions_that_nobody_has_compared_are_left_to_the_official_instrumentors() -> None:
    from waybill_lean.hooks import base

    lines = Lines("waybill_lean").lines
    for _, lean in instrumentors():
        type(lean).versions = "<0.1"
        lean.instrument()
        assert not lean.is_lean
        assert "<0.1" in lines.pop()
        lean.uninstrument()
    base.official_version = "0.67b0"  # type: ignore[attr-defined]
    for _, lean in instrumentors():
        lean.instrument()
        assert not lean.is_lean
        assert "0.67b0 is installed" in lines.pop()
        lean.uninstrument()


NO_EXPORT = {f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "METRICS", "LOGS")}


@fresh_process(OTEL_PYTHON_TRACER_PROVIDER="lean", OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="lean_redis", **NO_EXPORT)
def test_the_services_have_the_hooks_that_go_along_with_their_provider() -> None:
    from app import telemetry

    telemetry.configure("tested", "1", "accept")
    flask, *others = instrumentors()

    assert [lean.is_lean for _, lean in others] == [True, True, False]
    assert all(official.is_instrumented_by_opentelemetry for official, _ in others)
    assert telemetry._instrumentor("flask") is flask[1]


@fresh_process(**NO_EXPORT)
def test_the_services_have_the_official_hooks_by_default() -> None:
    from app import telemetry

    telemetry.configure("tested", "1", "accept")
    flask, *others = instrumentors()

    assert not any(lean.is_lean for _, lean in others)
    assert all(official.is_instrumented_by_opentelemetry for official, _ in others)
    assert telemetry._instrumentor("flask") is flask[0]
