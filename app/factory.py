"""create_service: the one call that makes blueprints a service."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import flask
import svcs
from flask import Blueprint, Flask, Response, request
from flask.json.provider import DefaultJSONProvider
from flask.typing import ResponseReturnValue
from flask_openapi3 import APIBlueprint, Info, OpenAPI
from gunicorn.http.errors import ParseException
from pydantic import ValidationError
from sqlalchemy import MetaData
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType

from . import database, errors, health, hosts, lifecycle, logs, telemetry
from .background import Task
from .blueprints import is_quiet
from .config import MAX_BODY, DatabaseSettings, ServiceSettings
from .health import Check
from .problems import InvalidField, Problem

logger = logging.getLogger(__name__)

BeforeRequest = Callable[[], ResponseReturnValue | None]


class StrictJSONProvider(DefaultJSONProvider):
    """JSON as RFC 8259 has it: NaN and Infinity are refused, and so is nesting deeper than Python's stack."""

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        """Decode `s`; raises ValueError."""
        try:
            return super().loads(s, parse_constant=_refuse_constant, **kwargs)
        except RecursionError:
            raise ValueError("nested too deeply") from None


class UnsupportedContentCoding(UnsupportedMediaType):
    """The body is compressed; the response names what is accepted (RFC 9110, 12.5.3)."""

    description = "The body has a Content-Encoding. Send it without."

    def get_headers(self, *args: Any) -> list[tuple[str, str]]:
        """Return the headers with Accept-Encoding."""
        return [*super().get_headers(*args), ("Accept-Encoding", "identity")]


def create_service(
    name: str,
    settings: ServiceSettings,
    *blueprints: Blueprint,
    version: str,
    metadata: MetaData | None = None,
    dependencies: Mapping[type, object] | None = None,
    checks: Mapping[str, Check] | None = None,
    before_request: Iterable[BeforeRequest] = (),
    background: tuple[Task, ...] = (),
) -> Flask:
    """Return a Flask app with everything around `blueprints`: logs, telemetry, database, errors, health, OpenAPI.

    - name: the service.name.
    - metadata: the tables that must exist for the service to be ready. Without it, there is no database; with it,
      `settings` inherit DatabaseSettings.
    - dependencies: what handlers get by type, e.g. `svcs.flask.get(Cache)`.
    - checks: what /readyz runs after the check of the database, by name. Each raises if the service cannot work.
    - before_request: called before each request that is for no QuietBlueprint, e.g. to authenticate it. Whatever is
      returned instead of None is the response.
    - background: tasks that run beside the requests of each worker.
    """
    logs.configure(settings.log_level, settings.log_format)
    telemetry.configure(name, version, settings.incoming_trace_context)
    telemetry.add_log_export()

    app = OpenAPI(
        name,
        info=Info(title=name, version=version),
        doc_ui=False,
        security_schemes={},  # left out, the document holds a null where OpenAPI asks for an object
        validation_error_model=Problem,
        validation_error_callback=_refuse_fields,
        static_folder=None,
    )
    app.json = StrictJSONProvider(app)
    # Werkzeug cuts a chunked body off at its limit instead of refusing it: one byte more tells.
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY + 1

    svcs.flask.init_app(app)
    for kind, value in (dependencies or {}).items():
        svcs.flask.register_value(app, kind, value)
    checks = dict(checks or {})
    if metadata is not None:
        # One connection more for /readyz, which has a thread of its own.
        service_database = _database(settings, metadata, pool_size=settings.threads + 1 + len(background))
        database.init_app(app, service_database)
        checks = {"database": service_database.check_ready, **checks}
    health.init_app(app, checks)
    for blueprint in blueprints:
        if isinstance(blueprint, APIBlueprint):
            app.register_api(blueprint)
        else:
            app.register_blueprint(blueprint)
    app.add_url_rule("/openapi.json", view_func=lambda: app.api_doc, endpoint="openapi")

    telemetry.instrument_app(app)
    errors.init_app(app)
    app.before_request(_start_clock)
    hosts.init_app(app, settings.allowed_hosts)
    for hook in before_request:
        app.before_request(partial(_unless_quiet, hook))
    app.before_request(_check_body)
    app.after_request(_log_request)
    lifecycle.init_app(app, background)
    return app


def _database(settings: ServiceSettings, metadata: MetaData, pool_size: int) -> database.Database:
    if not isinstance(settings, DatabaseSettings):
        raise TypeError(f"a service with tables needs settings that inherit DatabaseSettings, not {type(settings)}")
    return database.Database(settings.database_url.get_secret_value(), pool_size=pool_size, metadata=metadata)


def _unless_quiet(hook: BeforeRequest) -> ResponseReturnValue | None:
    return None if is_quiet() else hook()


def _start_clock() -> None:
    flask.g.started = time.perf_counter()


def _check_body() -> None:
    """Refuse, before any view, a body that is not one JSON object; pydantic then looks at its fields."""
    if request.method not in ("POST", "PUT", "PATCH") or request.url_rule is None:
        return
    if not request.is_json:
        raise UnsupportedMediaType("Send the body as Content-Type: application/json.")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedContentCoding
    try:
        if len(request.get_data()) > MAX_BODY:
            raise RequestEntityTooLarge
        body = request.get_json()
    except ParseException as error:
        raise BadRequest("The body breaks the chunked transfer coding.") from error
    except BadRequest as error:
        # Flask puts a bare BadRequest before the one that says what is wrong, except in debug mode.
        cause = error.__cause__ if isinstance(error.__cause__, BadRequest) else error
        raise BadRequest(cause.description) from None
    if not isinstance(body, dict):
        reason = "must be a JSON object"
        raise errors.InvalidRequest(f"body: {reason}", [InvalidField(field="body", reason=reason)])


def _log_request(response: Response) -> Response:
    if not is_quiet():
        route = request.url_rule.rule if request.url_rule else "(no route)"
        logger.info(
            "%s %s %d",
            request.method,
            route,
            response.status_code,
            extra={
                "http.request.method": request.method,
                "http.route": route,
                "http.response.status_code": response.status_code,
                "duration_ms": round((time.perf_counter() - flask.g.started) * 1000, 1),
            },
        )
    return response


def _refuse_fields(error: ValidationError) -> Response:
    raise errors.invalid_request(error)


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
