"""Baggage: the tenant of a request, set once at the edge, is an attribute of every span of every service behind it."""

from contextvars import Token
from typing import Any, Protocol, runtime_checkable

import flask
import svcs
from flask import Flask, request
from flask_openapi3 import APIBlueprint
from opentelemetry import baggage, context, trace
from opentelemetry.context import Context
from opentelemetry.processor.baggage import BaggageSpanProcessor
from pydantic import BaseModel
from werkzeug.exceptions import BadRequest

from app.config import HttpUrl, ServiceSettings, load_settings
from app.errors import problem_responses
from app.factory import create_service
from app.http_client import ServiceClient

TENANT = "tenant.id"
KNOWN_TENANTS = {"acme", "globex"}

tracer = trace.get_tracer(__name__)

# ----- in every service


@runtime_checkable
class SpanProcessors(Protocol):
    """A tracer provider of the SDK; that of OTEL_SDK_DISABLED takes no processor."""

    def add_span_processor(self, span_processor: BaggageSpanProcessor) -> None:
        """Have `span_processor` called for each span."""


def copy_tenant_to_spans() -> None:
    """Make the tenant in the baggage an attribute of each span that starts; call it after create_service.

    Only this key: anything else in the baggage is the sender's choice.
    """
    provider = trace.get_tracer_provider()
    if isinstance(provider, SpanProcessors):
        provider.add_span_processor(BaggageSpanProcessor(lambda key: key == TENANT))


# ----- at the edge only


def set_tenant() -> None:
    """Put the tenant into the baggage of this request; for create_service's `before_request`, after authentication.

    It comes from the verified token, never from the client's own `baggage` header.
    """
    tenant = _tenant_of_token()
    trace.get_current_span().set_attribute(TENANT, tenant)  # the server's span started before
    flask.g.baggage_token = context.attach(baggage.set_baggage(TENANT, tenant))


def forget_tenant(_error: BaseException | None) -> None:
    """End what set_tenant began: the thread serves another tenant next."""
    token: Token[Context] | None = flask.g.pop("baggage_token", None)
    if token is not None:
        context.detach(token)


def _tenant_of_token() -> str:
    """Stand in for a claim of the caller's token: see the recipe of authentication."""
    tenant = request.headers.get("X-Tenant", "")
    if tenant not in KNOWN_TENANTS:
        raise BadRequest("The tenant is unknown. Send one of yours.")
    return tenant


class Stock(BaseModel):
    """What the inner service returns."""

    pieces: int


edge = APIBlueprint("edge", __name__)


@edge.get("/offer", responses={200: Stock, **problem_responses(400, 503)})
def read_offer() -> dict[str, Any]:
    """Call the inner service."""
    with tracer.start_as_current_span("price_offer"):
        return svcs.flask.get(ServiceClient).call("GET", "/stock", Stock).model_dump()


class EdgeSettings(ServiceSettings):
    """The kit's settings and the inner service."""

    inner_url: HttpUrl


def create_edge() -> Flask:
    """Return the service at the edge. Settings come from the environment."""
    settings = load_settings(EdgeSettings)
    inner = ServiceClient("inner-service", settings.inner_url, pool_size=settings.threads)
    app = create_service(
        "edge-service",
        settings,
        edge,
        version="1.0.0",
        dependencies={ServiceClient: inner},
        before_request=[set_tenant],
    )
    app.teardown_request(forget_tenant)
    copy_tenant_to_spans()
    return app


inner = APIBlueprint("inner", __name__)


@inner.get("/stock")
def read_stock() -> dict[str, Any]:
    """Return something, with a span of its own; the code knows nothing of tenants."""
    with tracer.start_as_current_span("count_pieces"):
        return {"pieces": 3}


def create_inner() -> Flask:
    """Return the service behind it. Settings come from the environment."""
    app = create_service("inner-service", load_settings(ServiceSettings), inner, version="1.0.0")
    copy_tenant_to_spans()
    return app
