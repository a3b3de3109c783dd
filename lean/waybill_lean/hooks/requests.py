"""The lean hooks for requests."""

import re
from collections.abc import Callable
from functools import lru_cache, wraps
from timeit import default_timer
from typing import Any
from urllib.parse import urlparse

import opentelemetry.instrumentation.requests as official
from opentelemetry.context import _SUPPRESS_HTTP_INSTRUMENTATION_KEY, Context
from opentelemetry.instrumentation._semconv import (
    HTTP_DURATION_HISTOGRAM_BUCKETS_NEW,
    _get_schema_url,
    _OpenTelemetryStabilitySignalType,
    _set_http_method,
    _StabilityMode,
)
from opentelemetry.metrics import Histogram, get_meter
from opentelemetry.propagate import inject
from opentelemetry.semconv._incubating.attributes.user_agent_attributes import USER_AGENT_SYNTHETIC_TYPE
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.semconv.attributes.http_attributes import HTTP_REQUEST_METHOD, HTTP_RESPONSE_STATUS_CODE
from opentelemetry.semconv.attributes.network_attributes import (
    NETWORK_PEER_ADDRESS,
    NETWORK_PEER_PORT,
    NETWORK_PROTOCOL_VERSION,
)
from opentelemetry.semconv.attributes.server_attributes import SERVER_ADDRESS, SERVER_PORT
from opentelemetry.semconv.attributes.url_attributes import URL_FULL
from opentelemetry.semconv.attributes.user_agent_attributes import USER_AGENT_ORIGINAL
from opentelemetry.semconv.metrics.http_metrics import HTTP_CLIENT_REQUEST_DURATION
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, get_tracer
from opentelemetry.util.http import (
    OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_REQUEST,
    OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_RESPONSE,
    OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SANITIZE_FIELDS,
    ExcludeList,
    detect_synthetic_user_agent,
    get_custom_header_attributes,
    get_custom_headers,
    normalise_request_header_name,
    normalise_response_header_name,
    normalize_user_agent,
    parse_excluded_urls,
    redact_url,
    sanitize_method,
)
from opentelemetry.util.http.httplib import _STATE_KEY
from requests.models import PreparedRequest, Response
from requests.sessions import Session
from requests.structures import CaseInsensitiveDict

from waybill_lean._context import attach, current_context, detach, with_span, with_value
from waybill_lean.attributes import fixed

from .base import OFFICIAL_VERSION, LeanInstrumentor, http_instrumentation_enabled, record_error, run_hook

# A URL in which nothing is redacted and of which urlparse() has the same host and port.
_PLAIN_URL = re.compile(r"https?://([a-z0-9.-]+)(?::([1-9]\d{0,3}|[1-5]\d{4}))?(?:/[!-\"$-:<=>A-Z\\^-~]*)?", re.ASCII)

synthetic_type = lru_cache(maxsize=256)(detect_synthetic_user_agent)


@lru_cache(maxsize=64)
def _describe(method: str) -> tuple[str, dict[str, Any]]:
    """Return the span's name and the attributes of a method."""
    sanitized = sanitize_method(method.strip())
    attributes: dict[str, Any] = {}
    _set_http_method(attributes, method, sanitized, _StabilityMode.HTTP)
    return official.get_default_span_name(sanitized), attributes


Called = tuple[str, str | None, int | None]
"""Method, host and port."""


@lru_cache(maxsize=1000)
def _labels(
    method: str, host: str | None, port: int | None, status: int | None = None, version: str | None = None
) -> dict[str, Any]:
    """Return the attributes of the duration of a call."""
    labels: dict[str, Any] = {HTTP_REQUEST_METHOD: method}
    if host:
        labels[SERVER_ADDRESS] = host
    if port:
        labels[SERVER_PORT] = port
    if status is not None:
        labels[HTTP_RESPONSE_STATUS_CODE] = status
        if status >= 400:
            labels[ERROR_TYPE] = str(status)
    if version:
        labels[NETWORK_PROTOCOL_VERSION] = version
    return fixed(labels)


def _describe_url(url: str) -> tuple[str, str | None, int | None]:
    """Return the URL without secrets, its host and its port."""
    plain = _PLAIN_URL.fullmatch(url)
    if plain is not None:
        host, port = plain.groups()
        return url, host, int(port) if port else None
    url = redact_url(url)
    try:
        parsed = urlparse(url)
        return url, parsed.hostname, _port(parsed)
    except ValueError:
        return url, None, None


def _port(parsed: Any) -> int | None:
    try:
        port: int | None = parsed.port
    except ValueError:
        return None
    return port


class Hooks:
    """The hooks of all sessions."""

    def __init__(
        self,
        tracer: Tracer,
        duration: Histogram,
        request_hook: Callable[..., object] | None,
        response_hook: Callable[..., object] | None,
        excluded_urls: ExcludeList,
    ) -> None:
        self._tracer = tracer
        self._duration = duration
        self._request_hook = request_hook if callable(request_hook) else None
        self._response_hook = response_hook if callable(response_hook) else None
        self._excluded = excluded_urls if excluded_urls._excluded_urls else None
        self._captured_of_request = get_custom_headers(OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_REQUEST)
        self._captured_of_response = get_custom_headers(OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_RESPONSE)
        self._sensitive = get_custom_headers(OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SANITIZE_FIELDS)
        _describe.cache_clear()  # it depends on OTEL_PYTHON_INSTRUMENTATION_HTTP_CAPTURE_ALL_METHODS

    def wrap(self, send: Callable[..., Response]) -> Callable[..., Response]:
        """Return Session.send with a span and a measurement of each call."""

        @wraps(send)
        def instrumented_send(session: Session, request: PreparedRequest, **kwargs: Any) -> Response:
            context = current_context()
            if (self._excluded and self._excluded.url_disabled(request.url or "")) or not http_instrumentation_enabled(
                context
            ):
                return send(session, request, **kwargs)
            return self._send(context, send, session, request, kwargs)

        instrumented_send.opentelemetry_instrumentation_requests_applied = True  # type: ignore[attr-defined]
        return instrumented_send

    def _send(
        self,
        context: Context,
        send: Callable[..., Response],
        session: Session,
        request: PreparedRequest,
        kwargs: dict[str, Any],
    ) -> Response:
        name, attributes, called = self._describe_request(request)
        labels = _labels(*called)
        span = self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)
        # What HttpClientInstrumentor of opentelemetry.util.http looks for; as in its set_ip_on_next_http_connection().
        waiting = context.get(_STATE_KEY)
        inside = with_span(span, context)
        if not waiting:
            inside = with_value(_STATE_KEY, {"need_ip": [span]}, inside)
        elif isinstance(waiting, dict):
            waiting["need_ip"].append(span)
        token = attach(inside)
        try:
            if self._request_hook is not None:
                run_hook(self._request_hook, span, request)
            inject(request.headers)
            result, error, elapsed = _call(send, session, request, kwargs)
            if isinstance(result, Response):
                labels = self._describe_response(span, result, called)
                if self._response_hook is not None:
                    run_hook(self._response_hook, span, request, result)
            if error is not None:
                labels = {**labels, ERROR_TYPE: type(error).__qualname__}
                span.set_attribute(ERROR_TYPE, type(error).__qualname__)
            self._duration.record(elapsed, attributes=labels)
            if error is not None:
                raise error
            return result  # type: ignore[return-value]
        except BaseException as raised:
            record_error(span, raised)
            raise
        finally:
            if isinstance(waiting, dict) and span in waiting["need_ip"]:
                waiting["need_ip"].remove(span)
            detach(token)
            span.end()

    def _describe_request(self, request: PreparedRequest) -> tuple[str, dict[str, Any], Called]:
        """Return the span's name, its attributes, and what is called."""
        name, method = _describe(request.method or "")
        url, host, port = _describe_url(request.url or "")
        attributes = dict(method)
        if url:
            attributes[URL_FULL] = url
        if request.headers is None:
            request.headers = CaseInsensitiveDict()
        user_agent = normalize_user_agent(request.headers.get("User-Agent"))
        if user_agent:
            if synthetic := synthetic_type(user_agent):
                attributes[USER_AGENT_SYNTHETIC_TYPE] = synthetic
            attributes[USER_AGENT_ORIGINAL] = user_agent
        if self._captured_of_request:
            attributes |= get_custom_header_attributes(
                request.headers, self._captured_of_request, self._sensitive, normalise_request_header_name
            )
        if host:
            attributes[SERVER_ADDRESS] = attributes[NETWORK_PEER_ADDRESS] = host
        if port:
            attributes[SERVER_PORT] = attributes[NETWORK_PEER_PORT] = port
        return name, attributes, (method[HTTP_REQUEST_METHOD], host, port)

    def _describe_response(self, span: Span, response: Response, called: Called) -> dict[str, Any]:
        """Put status and version on the span and return the attributes of the duration."""
        status = response.status_code
        version = getattr(response.raw, "version", None)
        if version:
            version = "1.1" if version == 11 else "1.0"  # requests has HTTP/1 only
        attributes: dict[str, Any] = {}
        if type(status) is int and status >= 100:
            labels = _labels(*called, status, version or None)
            attributes[HTTP_RESPONSE_STATUS_CODE] = status
            if status >= 400:
                attributes[ERROR_TYPE] = str(status)
                if span.is_recording():
                    span.set_status(Status(StatusCode.ERROR))
        else:
            labels = dict(_labels(*called, None, version or None))
            official._set_http_status_code_attribute(span, status, labels, _StabilityMode.HTTP)
        if version:
            attributes[NETWORK_PROTOCOL_VERSION] = version
        if self._captured_of_response:
            attributes |= get_custom_header_attributes(
                response.headers, self._captured_of_response, self._sensitive, normalise_response_header_name
            )
        if attributes and span.is_recording():
            span.set_attributes(attributes)
        return labels


def _call(
    send: Callable[..., Response], session: Session, request: PreparedRequest, kwargs: dict[str, Any]
) -> tuple[object, Exception | None, float]:
    """Return (response, exception, seconds); the layers below leave no spans of the call."""
    token = attach(with_value(_SUPPRESS_HTTP_INSTRUMENTATION_KEY, True, current_context()))
    start = default_timer()
    try:
        return send(session, request, **kwargs), None, max(default_timer() - start, 0)
    except Exception as error:
        return getattr(error, "response", None), error, max(default_timer() - start, 0)
    finally:
        detach(token)


class RequestsInstrumentor(LeanInstrumentor, official.RequestsInstrumentor):
    """The lean hooks for requests, in the place of the official instrumentor."""

    library = "requests"
    versions = ">=2.31,<3"
    signals = (_OpenTelemetryStabilitySignalType.HTTP,)
    options = frozenset(
        {
            *("tracer_provider", "meter_provider", "request_hook", "response_hook"),
            *("excluded_urls", "duration_histogram_boundaries"),
        }
    )
    replaces = official.RequestsInstrumentor

    def _instrument_lean(self, **kwargs: Any) -> None:
        schema = _get_schema_url(_StabilityMode.HTTP)
        name, version, urls = official.__name__, OFFICIAL_VERSION, kwargs.get("excluded_urls")
        meter = get_meter(name, version, kwargs.get("meter_provider"), schema_url=schema)
        boundaries = kwargs.get("duration_histogram_boundaries") or HTTP_DURATION_HISTOGRAM_BUCKETS_NEW
        hooks = Hooks(
            get_tracer(name, version, kwargs.get("tracer_provider"), schema_url=schema),
            meter.create_histogram(
                name=HTTP_CLIENT_REQUEST_DURATION,
                unit="s",
                description="Duration of HTTP client requests.",
                explicit_bucket_boundaries_advisory=boundaries,
            ),
            kwargs.get("request_hook"),
            kwargs.get("response_hook"),
            official._excluded_urls_from_env if urls is None else parse_excluded_urls(urls),
        )
        Session.send = hooks.wrap(Session.send)  # type: ignore[method-assign]
