"""Errors become `application/problem+json` (RFC 9457) and a span status here, and nowhere else."""

import logging
from http import HTTPStatus
from typing import Any

import flask
from flask import Flask, Response
from opentelemetry import trace
from opentelemetry.trace import Status, StatusCode
from pydantic import ValidationError
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from .dependency_errors import DependencyRefused, DependencyUnavailable, InvalidResponse
from .problems import CONTENT_TYPE, TYPE_PREFIX, InvalidField, Problem, ProblemError, reason_of

logger = logging.getLogger(__name__)


class InvalidRequest(
    ProblemError, name="invalid-request", status=HTTPStatus.UNPROCESSABLE_ENTITY, title="Invalid request"
):
    """A request whose fields do not have the form that the OpenAPI document asks for."""


def invalid_request(error: ValidationError) -> InvalidRequest:
    """Return what pydantic found, field by field; never the value, which may be a secret."""
    errors = [
        InvalidField(field=".".join(map(str, problem["loc"])) or "body", reason=reason_of(problem))
        for problem in error.errors(include_url=False, include_input=False, include_context=False)
    ]
    return InvalidRequest("; ".join(f"{error.field}: {error.reason}" for error in errors), errors)


def problem_responses(*statuses: int) -> dict[int | str, Any]:
    """Return the OpenAPI `responses` of an operation that may respond to a request with these problems."""
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schema["properties"]["errors"]["anyOf"][0]["items"] = schema.pop("$defs")["InvalidField"]
    return {status: {"content": {CONTENT_TYPE: {"schema": schema}}} for status in statuses}


def init_app(app: Flask) -> None:
    """Map every exception that leaves a view of `app`."""
    app.register_error_handler(ProblemError, _refusal)
    app.register_error_handler(HTTPException, _http_exception)
    for unavailable in (OperationalError, InterfaceError, PoolTimeout, DependencyUnavailable):
        app.register_error_handler(unavailable, _unavailable)
    for unusable in (DependencyRefused, InvalidResponse):
        app.register_error_handler(unusable, _bad_gateway)
    app.register_error_handler(Exception, _unexpected)


def _refusal(error: ProblemError) -> Response:
    return _response(TYPE_PREFIX + error.name, error.title, error.status, error.detail, error.errors)


def _http_exception(error: HTTPException) -> Response:
    if error.code is None or error.code < 400:
        return flask.current_app.make_response(error.get_response())
    response = _response("about:blank", error.name, error.code, error.description or error.name)
    for name, value in error.get_headers():
        if name not in ("Content-Type", "Content-Length"):
            response.headers[name] = value
    return response


def _unavailable(error: Exception) -> Response:
    logger.warning("cannot serve now: %s", error)
    trace.get_current_span().record_exception(error)
    status = HTTPStatus.SERVICE_UNAVAILABLE
    return _response("about:blank", status.phrase, status, "A dependency is temporarily unavailable. Please retry.")


def _bad_gateway(error: Exception) -> Response:
    """Answer 502 without Retry-After: the same request fails again until one of the two services is fixed."""
    logger.error("cannot use the response of a dependency: %s", error)
    trace.get_current_span().record_exception(error)
    status = HTTPStatus.BAD_GATEWAY
    detail = "A dependency refused the request or sent an invalid response. Use the trace_id to find the cause."
    return _response("about:blank", status.phrase, status, detail)


def _unexpected(error: Exception) -> Response:
    if _propagates(flask.current_app):
        raise error
    logger.exception("unexpected error")
    trace.get_current_span().record_exception(error)
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    return _response("about:blank", status.phrase, status, "Internal error. Use the trace_id to find the cause.")


def _propagates(app: Flask) -> bool:
    """Return whether an unexpected error leaves the app, as Flask decides it: in tests and under a debugger."""
    propagate = app.config["PROPAGATE_EXCEPTIONS"]
    return bool(app.testing or app.debug if propagate is None else propagate)


def _response(kind: str, title: str, status: int, detail: str, errors: list[InvalidField] | None = None) -> Response:
    span = trace.get_current_span()
    context = span.get_span_context()
    if status >= 500:
        span.set_status(Status(StatusCode.ERROR, detail))
    problem = Problem(
        type=kind,
        title=title,
        status=int(status),
        detail=detail,
        trace_id=trace.format_trace_id(context.trace_id) if context.is_valid else None,
        errors=errors,
    )
    body = problem.model_dump_json(exclude={"errors"} if errors is None else None)
    response = Response(body, status=int(status), content_type=CONTENT_TYPE)
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = "1"
    return response
