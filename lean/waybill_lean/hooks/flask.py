"""The lean hooks for Flask."""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, lru_cache
from time import time_ns
from timeit import default_timer
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import ref

import flask
import opentelemetry.instrumentation.flask as official
import opentelemetry.instrumentation.wsgi as otel_wsgi
from flask.globals import _cv_request
from opentelemetry.context import Context
from opentelemetry.instrumentation._semconv import (
    HTTP_DURATION_HISTOGRAM_BUCKETS_NEW,
    _get_schema_url,
    _OpenTelemetrySemanticConventionStability,
    _OpenTelemetryStabilitySignalType,
    _StabilityMode,
    set_int_attribute,
)
from opentelemetry.instrumentation.propagators import TraceResponsePropagator, get_global_response_propagator
from opentelemetry.metrics import get_meter
from opentelemetry.propagate import extract
from opentelemetry.semconv._incubating.attributes.user_agent_attributes import USER_AGENT_SYNTHETIC_TYPE
from opentelemetry.semconv._incubating.metrics.http_metrics import create_http_server_active_requests
from opentelemetry.semconv.attributes.client_attributes import CLIENT_ADDRESS, CLIENT_PORT
from opentelemetry.semconv.attributes.http_attributes import HTTP_RESPONSE_STATUS_CODE, HTTP_ROUTE
from opentelemetry.semconv.attributes.network_attributes import NETWORK_PROTOCOL_VERSION
from opentelemetry.semconv.attributes.server_attributes import SERVER_ADDRESS, SERVER_PORT
from opentelemetry.semconv.attributes.url_attributes import URL_PATH, URL_QUERY
from opentelemetry.semconv.attributes.user_agent_attributes import USER_AGENT_ORIGINAL
from opentelemetry.semconv.metrics.http_metrics import HTTP_SERVER_REQUEST_DURATION
from opentelemetry.trace import INVALID_SPAN, INVALID_SPAN_CONTEXT, Span, SpanKind, get_current_span, get_tracer
from opentelemetry.trace.propagation import _SPAN_KEY
from opentelemetry.util.http import (
    OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST,
    OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_RESPONSE,
    ExcludeList,
    detect_synthetic_user_agent,
    get_custom_headers,
    normalize_user_agent,
    parse_excluded_urls,
    sanitize_method,
)

from waybill_lean._context import attach, current_context, detach, with_span, with_value
from waybill_lean.attributes import fixed
from waybill_lean.propagation import traceparent

from .base import OFFICIAL_VERSION, LeanInstrumentor, record_error, run_hook

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_TRACED = "waybill_lean.flask.traced"
_COMMENTER = "SQLCOMMENTER_ORM_TAGS_AND_VALUES"

# What werkzeug leaves as it is when it puts a request's URL together.
_PLAIN_HOST = re.compile(r"(?!.*xn--)(?!.*:(?:80|443)$)[a-z0-9.-]+(?::(?:[1-9]\d{0,3}|[1-5]\d{4}))?", re.ASCII)
_PLAIN_PATH = re.compile(r"/(?!/)[A-Za-z0-9/_.~-]*")

synthetic_type = lru_cache(maxsize=256)(detect_synthetic_user_agent)


class _Request(NamedTuple):
    """What the method, scheme and protocol of a request say of it."""

    key: tuple[str, str | None, str]
    """These three."""
    name: str
    """The first word of the span's name."""
    method: dict[str, Any]
    version: dict[str, Any]
    active: dict[str, Any]
    duration: dict[str, Any]


@lru_cache(maxsize=128)
def _describe(method: str, scheme: str | None, protocol: str) -> _Request:
    environ = {"REQUEST_METHOD": method, "wsgi.url_scheme": scheme, "SERVER_PROTOCOL": protocol}
    attributes = otel_wsgi.collect_request_attributes(environ, _StabilityMode.HTTP)
    version = {name: value for name, value in attributes.items() if name == NETWORK_PROTOCOL_VERSION}
    name = sanitize_method(method.strip())
    return _Request(
        key=(method, scheme, protocol),
        name="HTTP" if name == "_OTHER" else name,
        method={name: value for name, value in attributes.items() if name not in version},
        version=version,
        active=fixed(otel_wsgi._parse_active_request_count_attrs(attributes, _StabilityMode.HTTP)),
        duration=otel_wsgi._parse_duration_attrs(attributes, _StabilityMode.HTTP),
    )


@lru_cache(maxsize=1000)
def _labels(key: tuple[str, str | None, str], code: int, route: str | None) -> dict[str, Any]:
    """Return the attributes of the duration of a request that was answered with a status from 100 to 499."""
    return fixed({**_with_route(_describe(*key).duration, route), HTTP_RESPONSE_STATUS_CODE: code})


def _with_route(labels: dict[str, Any], route: str | None) -> dict[str, Any]:
    return dict(labels) if route is None else {**labels, HTTP_ROUTE: route}


def _describe_environ(environ: "WSGIEnvironment") -> _Request:
    method, protocol = environ.get("REQUEST_METHOD", ""), environ.get("SERVER_PROTOCOL", "")
    return _describe(method, environ.get("wsgi.url_scheme"), protocol)


class _Getter(otel_wsgi.WSGIGetter):
    """The official getter, which knows a propagator's names of headers after the first request."""

    def get(self, carrier: dict[str, Any], key: str) -> list[str] | None:
        value = carrier.get(_environ_key(key))
        return None if value is None else [value]


@lru_cache(maxsize=256)
def _environ_key(header: str) -> str:
    return "HTTP_" + header.upper().replace("-", "_")


_getter = _Getter()


class Hooks:
    """The hooks of one application."""

    def __init__(
        self,
        wsgi_app: "WSGIApplication",
        request_hook: Callable[..., object] | None = None,
        response_hook: Callable[..., object] | None = None,
        tracer_provider: Any = None,
        excluded_urls: ExcludeList | None = None,
        enable_commenter: bool = True,
        commenter_options: Mapping[str, Any] | None = None,
        meter_provider: Any = None,
    ) -> None:
        schema = _get_schema_url(_StabilityMode.HTTP)
        self._tracer = get_tracer(official.__name__, OFFICIAL_VERSION, tracer_provider, schema_url=schema)
        meter = get_meter(official.__name__, OFFICIAL_VERSION, meter_provider, schema_url=schema)
        self._duration = meter.create_histogram(
            name=HTTP_SERVER_REQUEST_DURATION,
            unit="s",
            description="Duration of HTTP server requests.",
            explicit_bucket_boundaries_advisory=HTTP_DURATION_HISTOGRAM_BUCKETS_NEW,
        )
        self._active = create_http_server_active_requests(meter)
        self._wsgi_app = wsgi_app
        self._request_hook = request_hook
        self._response_hook = response_hook
        self._excluded = excluded_urls if excluded_urls and excluded_urls._excluded_urls else None
        self._commenter = (commenter_options or {}) if enable_commenter else None
        _labels.cache_clear()
        _describe.cache_clear()  # it depends on OTEL_PYTHON_INSTRUMENTATION_HTTP_CAPTURE_ALL_METHODS

    # The variables are read at the first request, as they may be set after the application is instrumented.
    @cached_property
    def _captures_request(self) -> bool:
        return bool(get_custom_headers(OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST))

    @cached_property
    def _captures_response(self) -> bool:
        return bool(get_custom_headers(OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_RESPONSE))

    def wsgi_app(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Count and time a request; all of it, routing and middleware included."""
        environ[official._ENVIRON_STARTTIME_KEY] = time_ns()
        start = default_timer()
        described = _describe_environ(environ)
        labels, traced = described.duration, True

        def start_response_of_span(status: str, headers: list[tuple[str, str]], *args: Any, **kwargs: Any) -> Any:
            nonlocal labels, traced
            request = _current_request()
            traced = request is not None and self._is_traced(request)
            if request is not None and traced:
                labels = self._describe_response(request, status, headers, described)
            return start_response(status, headers, *args, **kwargs)

        self._active.add(1, described.active)
        try:
            result = self._wsgi_app(environ, start_response_of_span)
            if traced:
                elapsed = default_timer() - start
                # The span has ended or is of a stream; given explicitly, it makes the exemplar.
                span: Any = environ.get(official._ENVIRON_SPAN_KEY)
                context = with_span(span, current_context())
                self._duration.record(max(elapsed, 0), labels, context=context)
            return result
        finally:
            self._active.add(-1, described.active)

    def before_request(self) -> None:
        """Start the span of a request and make it the current one."""
        request_context = _cv_request.get()
        request = request_context.request
        environ = request.environ
        if not self._is_traced(request):
            return
        described = _describe_environ(environ)
        attributes = _request_attributes(environ, described)
        rule = request.url_rule
        if rule is None:
            name = otel_wsgi.get_default_span_name(environ)
        else:
            name = f"{described.name} {rule.rule}"
            attributes[HTTP_ROUTE] = rule.rule

        context, kind, token = current_context(), SpanKind.INTERNAL, None
        if _SPAN_KEY not in context or get_current_span(context) is INVALID_SPAN:
            # Without any propagator the API returns None.
            context, kind = extract(environ, getter=_getter) or Context(), SpanKind.SERVER
        span = self._tracer.start_span(
            name=name,
            context=context,
            kind=kind,
            start_time=environ.get(official._ENVIRON_STARTTIME_KEY),
            attributes=attributes,
        )
        if self._request_hook is not None:
            # The hook runs in the caller's context, not yet in the span, and may change the context.
            if kind is SpanKind.SERVER:
                token = attach(context)
            run_hook(self._request_hook, span, environ)
            context = current_context()
        if span.is_recording():
            # The official instrumentor sets them again: it makes a difference after the hook or a limit.
            if getattr(span, "attributes", None) != attributes:
                for key, value in attributes.items():
                    span.set_attribute(key, value)
            if self._captures_request and getattr(span, "kind", kind) == SpanKind.SERVER:
                _set_captured(span, otel_wsgi.collect_custom_request_headers_attributes(environ))

        inside = with_span(span, context)
        if self._commenter is not None:
            inside = with_value(_COMMENTER, _commenter_values(request, self._commenter), inside)
        activation = attach(inside)
        # Detaching the older token undoes the newer one, too.
        environ[official._ENVIRON_TOKEN] = token or activation
        environ[official._ENVIRON_REQCTX_REF_KEY] = ref(request_context)
        environ[official._ENVIRON_SPAN_KEY] = span

    def teardown_request(self, error: BaseException | None) -> None:
        """End the span of a request, in the request context that started it."""
        request_context = _cv_request.get()
        environ = request_context.request.environ
        # A context pushed by hand, or a copy of the request's, has not started the span.
        if environ.get(official._ENVIRON_REQCTX_REF_KEY) != ref(request_context):
            return
        token = environ.pop(official._ENVIRON_TOKEN, None)
        if token is None:
            return
        span = environ[official._ENVIRON_SPAN_KEY]
        if error is not None:
            record_error(span, error)
        span.end()
        detach(token)

    def _describe_response(
        self,
        request: flask.Request,
        status: str,
        headers: list[tuple[str, str]],
        described: _Request,
    ) -> dict[str, Any]:
        """Put the status on the span and return the attributes of the duration."""
        propagator = get_global_response_propagator()
        if type(propagator) is TraceResponsePropagator:
            _inject_traceresponse(headers)
        elif propagator:
            propagator.inject(headers, setter=otel_wsgi.default_response_propagation_setter)
        route = None if request.url_rule is None else str(request.url_rule)
        span = request.environ.get(official._ENVIRON_SPAN_KEY)
        if span is None:
            labels = _with_route(described.duration, route)
            official._logger.warning("Flask environ's OpenTelemetry span missing at _start_response(%s)", status)
        else:
            code = status[:3]
            if code.isdecimal() and code.isascii() and "100" <= code < "500" and status[3:4] == " ":
                labels = _labels(described.key, int(code), route)
                if span.is_recording():
                    span.set_attribute(HTTP_RESPONSE_STATUS_CODE, int(code))
            else:
                labels = _with_route(described.duration, route)
                # Without a space the official function raises.
                status_line = status if " " in status else f"{status} "
                otel_wsgi.add_response_attributes(span, status_line, headers, labels, _StabilityMode.HTTP)
            if self._captures_response and span.is_recording() and span.kind == SpanKind.SERVER:
                _set_captured(span, otel_wsgi.collect_custom_response_headers_attributes(headers))
        if self._response_hook is not None:
            run_hook(self._response_hook, span, status, headers)
        return labels

    def _is_traced(self, request: flask.Request) -> bool:
        """Return whether the URL is not excluded; found out once for each request."""
        if self._excluded is None:
            return True
        environ = request.environ
        traced = environ.get(_TRACED)
        if traced is None:
            traced = environ[_TRACED] = not self._excluded.url_disabled(_url(request))
        return bool(traced)


def _inject_traceresponse(headers: list[tuple[str, str]]) -> None:
    """Do what the official TraceResponsePropagator does."""
    current = get_current_span(current_context()).get_span_context()
    if current != INVALID_SPAN_CONTEXT:
        headers.extend((("traceresponse", traceparent(current)), ("Access-Control-Expose-Headers", "traceresponse")))


def _set_captured(span: Span, attributes: Mapping[str, Any]) -> None:
    if attributes:
        span.set_attributes(attributes)


def _current_request() -> flask.Request | None:
    request_context = _cv_request.get(None)
    return None if request_context is None else request_context.request


def _url(request: flask.Request) -> str:
    """Return `request.url`, which takes werkzeug ten times as long where no part is quoted."""
    environ = request.environ
    scheme, host, path = environ.get("wsgi.url_scheme"), environ.get("HTTP_HOST", ""), environ.get("PATH_INFO", "")
    if (
        scheme in ("http", "https")
        and not environ.get("QUERY_STRING")
        and not environ.get("SCRIPT_NAME")
        and request.trusted_hosts is None
        and _PLAIN_HOST.fullmatch(host)
        and _PLAIN_PATH.fullmatch(path)
    ):
        return f"{scheme}://{host}{path}"
    try:
        return request.url
    except Exception:  # werkzeug refuses the host; Flask answers that
        return f"{scheme}://{host}{path}"


def _request_attributes(environ: "WSGIEnvironment", described: _Request) -> dict[str, Any]:
    """Return what collect_request_attributes() of the official WSGI instrumentor does, in its order."""
    get = environ.get
    attributes = dict(described.method)
    if host := get("HTTP_HOST"):
        attributes[SERVER_ADDRESS] = host
    set_int_attribute(attributes, SERVER_PORT, get("SERVER_PORT"))
    target = get("RAW_URI")
    if target is None:
        target = get("REQUEST_URI")
    if target:
        if path := get("PATH_INFO"):
            attributes[URL_PATH] = path
        if query := get("QUERY_STRING"):
            attributes[URL_QUERY] = query
    address = get("REMOTE_ADDR")
    if address:
        attributes[CLIENT_ADDRESS] = address
    set_int_attribute(attributes, CLIENT_PORT, get("REMOTE_PORT"))
    remote_host = get("REMOTE_HOST")
    if remote_host and remote_host != address:
        attributes[CLIENT_ADDRESS] = remote_host
    user_agent = normalize_user_agent(get("HTTP_USER_AGENT"))
    if user_agent:
        attributes[USER_AGENT_ORIGINAL] = user_agent
        if synthetic := synthetic_type(user_agent):
            attributes[USER_AGENT_SYNTHETIC_TYPE] = synthetic
    attributes.update(described.version)
    return attributes


def _commenter_values(request: flask.Request, options: Mapping[str, Any]) -> dict[str, str]:
    values = {}
    if options.get("framework", True):
        values["framework"] = f"flask:{official.flask_version}"
    if options.get("controller", True) and request.endpoint:
        values["controller"] = request.endpoint
    if options.get("route", True) and request.url_rule and request.url_rule.rule:
        values["route"] = request.url_rule.rule
    return values


# flask.Flask itself may be the official instrumentor's by now.
_Flask: Any = official._InstrumentedFlask.__base__


class _InstrumentedFlask(_Flask):  # type: ignore[misc]
    """The Flask of applications that are made after FlaskInstrumentor().instrument()."""

    _options: Mapping[str, Any] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _install(self, **_InstrumentedFlask._options)


def _install(app: Any, **options: Any) -> None:
    hooks = Hooks(app.wsgi_app, **options)
    # The names by which the official uninstrument_app() finds them.
    app._original_wsgi_app = app.wsgi_app
    app.wsgi_app = hooks.wsgi_app
    app._before_request = hooks.before_request
    app.before_request(hooks.before_request)
    app._teardown_request = hooks.teardown_request
    app.teardown_request(hooks.teardown_request)
    app._is_instrumented_by_opentelemetry = True


def _excluded(urls: str | None) -> ExcludeList:
    return official._excluded_urls_from_env if urls is None else parse_excluded_urls(urls)


class FlaskInstrumentor(LeanInstrumentor, official.FlaskInstrumentor):
    """The lean hooks for Flask, in the place of the official instrumentor."""

    library = "flask"
    versions = ">=3.1,<3.2"
    signals = (_OpenTelemetryStabilitySignalType.HTTP,)
    options = frozenset(
        {
            *("request_hook", "response_hook", "tracer_provider", "excluded_urls"),
            *("enable_commenter", "commenter_options", "meter_provider"),
        }
    )
    replaces = official.FlaskInstrumentor

    def _instrument_lean(self, **kwargs: Any) -> None:
        for hook in ("request_hook", "response_hook"):
            if not callable(kwargs.get(hook)):
                kwargs.pop(hook, None)
        _InstrumentedFlask._options = {**kwargs, "excluded_urls": _excluded(kwargs.get("excluded_urls"))}
        self.replaces()._original_flask = flask.Flask
        flask.Flask = _InstrumentedFlask  # type: ignore[misc]

    @staticmethod
    def instrument_app(
        app: Any,
        request_hook: Callable[..., object] | None = None,
        response_hook: Callable[..., object] | None = None,
        tracer_provider: Any = None,
        excluded_urls: str | None = None,
        enable_commenter: bool = True,
        commenter_options: Mapping[str, Any] | None = None,
        meter_provider: Any = None,
    ) -> None:
        """Trace and measure the requests of one application."""
        _OpenTelemetrySemanticConventionStability._initialize()
        options: dict[str, Any] = {
            "request_hook": request_hook,
            "response_hook": response_hook,
            "tracer_provider": tracer_provider,
            "enable_commenter": enable_commenter,
            "commenter_options": commenter_options,
            "meter_provider": meter_provider,
        }
        instrumented = getattr(app, "_is_instrumented_by_opentelemetry", False)
        if instrumented or FlaskInstrumentor.steps_aside({}):
            FlaskInstrumentor.replaces.instrument_app(app, excluded_urls=excluded_urls, **options)
        else:
            _install(app, excluded_urls=_excluded(excluded_urls), **options)
