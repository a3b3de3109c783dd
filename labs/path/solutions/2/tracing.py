"""Traces of gift-service. OTEL_EXPORTER_OTLP_ENDPOINT says where they go."""

from flask import Flask
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from sqlalchemy import Engine

# `create` also reads OTEL_RESOURCE_ATTRIBUTES; `Resource(...)` alone does not.
RESOURCE = Resource.create({"service.name": "gift-service", "service.version": "1.0.0"})


def init_tracing(app: Flask, engine: Engine) -> None:
    """Send a span for each request, each outgoing call and each SQL statement."""
    provider = TracerProvider(resource=RESOURCE)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    FlaskInstrumentor().instrument_app(app)
    RequestsInstrumentor().instrument()
    # `create_engine` was imported before this: only an engine that is handed over gets SQL spans.
    SQLAlchemyInstrumentor().instrument(engine=engine)
