"""The lean hooks for SQLAlchemy."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import opentelemetry.instrumentation.sqlalchemy as official
from opentelemetry.instrumentation._semconv import (
    _get_schema_url_for_signal_types,
    _OpenTelemetryStabilitySignalType,
    _set_db_operation,
    _set_db_statement,
    _set_db_system,
    _StabilityMode,
)
from opentelemetry.instrumentation.sqlalchemy import engine as official_engine
from opentelemetry.metrics import NoOpUpDownCounter, UpDownCounter, get_meter
from opentelemetry.semconv.metrics import MetricInstruments
from opentelemetry.trace import SpanKind, Tracer, get_tracer
from wrapt import wrap_function_wrapper

from waybill_lean._context import current_context
from waybill_lean.attributes import fixed

from .base import OFFICIAL_VERSION, LeanInstrumentor, instrumentation_enabled

_MODES = (_StabilityMode.DATABASE, _StabilityMode.HTTP)
_POOL_EVENTS = frozenset({"connect", "close", "checkin", "checkout"})
_DATABASE = "waybill_lean.database"


class EngineTracer(official_engine.EngineTracer):
    """The official listeners of an engine; a statement is described when it is first executed."""

    def __init__(self, tracer: Tracer, engine: Any, connections_usage: UpDownCounter) -> None:
        self._is_measured = not isinstance(connections_usage, NoOpUpDownCounter)
        super().__init__(tracer, engine, connections_usage)  # type: ignore[no-untyped-call]
        self._idle = fixed({**self._engine_attrs, "state": "idle"})
        self._used = fixed({**self._engine_attrs, "state": "used"})
        self._url = engine.url
        self._url_attributes, found = official_engine._get_attributes_from_url(self._url, *_MODES)
        # These tell their database from the connection, the others from the URL.
        self._asks_connection = any(name in self.vendor.lower() for name in ("postgres", "mysql", "mssql", "sqlserver"))
        self._has_one_database = self.vendor == "postgresql"  # per connection; others can change it
        # Without a host in its URL, PostgreSQL's address is that of the connection.
        self._is_lean = found or self.vendor != "postgresql"
        self._describe = lru_cache(maxsize=1000)(self._describe_statement)

    def _describe_statement(self, statement: str, database: str | None) -> tuple[str, dict[str, Any]]:
        """Return the span's name and its attributes."""
        name = self._operation_name(database, statement)  # type: ignore[no-untyped-call]
        attributes = dict(self._url_attributes)
        _set_db_statement(attributes, statement, _StabilityMode.DATABASE)
        _set_db_system(attributes, self.vendor, _StabilityMode.DATABASE)
        _set_db_operation(attributes, name, _StabilityMode.DATABASE)
        return name, fixed(attributes)

    _before_cur_exec_officially: Any = official_engine.EngineTracer._before_cur_exec

    def _before_cur_exec(
        self, conn: Any, cursor: Any, statement: Any, params: Any, context: Any, executemany: bool
    ) -> Any:
        if not (self._is_lean and type(statement) is str and conn.engine.url is self._url):
            return self._before_cur_exec_officially(conn, cursor, statement, params, context, executemany)
        if not instrumentation_enabled(current_context()):
            return statement, params
        database = self._url.database
        if self._asks_connection:
            database = self._database_of(conn, cursor)
        name, attributes = self._describe(statement, database)
        span = self.tracer.start_span(name, kind=SpanKind.CLIENT)
        if span.is_recording():
            span.set_attributes(attributes)
        context._otel_span = span
        return statement, params

    def _database_of(self, conn: Any, cursor: Any) -> str | None:
        """Return the name of the database that a connection has; PostgreSQL's client library is called for it once."""
        try:
            known = conn.connection.info if self._has_one_database else {}
        except Exception:  # it is of no pool
            known = {}
        if _DATABASE not in known:
            known[_DATABASE] = official_engine._get_db_name_from_cursor_or_conn(self.vendor, conn, cursor)
        database: str | None = known[_DATABASE]
        return database

    def _register_event_listener(self, target: Any, identifier: str, *args: Any, **kwargs: Any) -> None:  # type: ignore[override]
        if self._is_measured or identifier not in _POOL_EVENTS:
            super()._register_event_listener(target, identifier, *args, **kwargs)  # type: ignore[no-untyped-call]

    def _pool_connect(self, *_: object) -> None:
        if instrumentation_enabled(current_context()):
            self.connections_usage.add(1, attributes=self._idle)

    def _pool_close(self, *_: object) -> None:
        if instrumentation_enabled(current_context()):
            self.connections_usage.add(-1, attributes=self._idle)

    def _pool_checkin(self, *_: object) -> None:
        if instrumentation_enabled(current_context()):
            self.connections_usage.add(-1, attributes=self._used)
            self.connections_usage.add(1, attributes=self._idle)

    def _pool_checkout(self, *_: object) -> None:
        if instrumentation_enabled(current_context()):
            self.connections_usage.add(-1, attributes=self._idle)
            self.connections_usage.add(1, attributes=self._used)


def _tracing(tracer: Tracer, usage: UpDownCounter) -> Callable[..., Any]:
    """Return the wrapper of create_engine() and create_async_engine()."""

    def wrapper(create: Callable[..., Any], _module: object, args: Any, kwargs: Any) -> Any:
        engine = create(*args, **kwargs)
        if instrumentation_enabled(current_context()):
            EngineTracer(tracer, getattr(engine, "sync_engine", engine), usage)
        return engine

    return wrapper


class SQLAlchemyInstrumentor(LeanInstrumentor, official.SQLAlchemyInstrumentor):
    """The lean hooks for SQLAlchemy, in the place of the official instrumentor."""

    library = "sqlalchemy"
    versions = ">=2.0,<2.1"
    signals = (_OpenTelemetryStabilitySignalType.DATABASE, _OpenTelemetryStabilitySignalType.HTTP)
    # Those of the SQL commenter are not among them.
    options = frozenset({"engine", "engines", "tracer_provider", "meter_provider", "commenter_options"})
    replaces = official.SQLAlchemyInstrumentor

    def _instrument_lean(self, **kwargs: Any) -> Any:
        schema = _get_schema_url_for_signal_types(list(self.signals))
        name, version = official.__name__, OFFICIAL_VERSION
        tracer = get_tracer(name, version, kwargs.get("tracer_provider"), schema_url=schema)
        meter = get_meter(name, version, kwargs.get("meter_provider"), schema_url=schema)
        usage = meter.create_up_down_counter(
            name=MetricInstruments.DB_CLIENT_CONNECTIONS_USAGE,
            unit="connections",
            description="The number of connections that are currently in state described by the state attribute.",
        )
        for module in ("sqlalchemy", "sqlalchemy.engine", "sqlalchemy.engine.create"):
            wrap_function_wrapper(module, "create_engine", _tracing(tracer, usage))
        wrap_function_wrapper("sqlalchemy.ext.asyncio", "create_async_engine", _tracing(tracer, usage))
        wrap_function_wrapper("sqlalchemy.engine.base", "Engine.connect", official_engine._wrap_connect(tracer))
        engine, engines = kwargs.get("engine"), kwargs.get("engines")
        if engine is not None:
            return EngineTracer(tracer, engine, usage)
        if isinstance(engines, Sequence):
            return [EngineTracer(tracer, engine, usage) for engine in engines]
        return None
