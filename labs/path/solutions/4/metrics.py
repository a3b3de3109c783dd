"""Metrics of gift-service. OTEL_METRIC_EXPORT_INTERVAL says how often they are sent."""

from opentelemetry import metrics
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from tracing import RESOURCE

meter = metrics.get_meter("gift-service")
suggested = meter.create_counter("gifts.suggested", unit="1", description="Requests for a suggestion, by status.")
processing_time = meter.create_histogram("gifts.processing_time", unit="ms", description="How long they took.")
active = meter.create_up_down_counter("gifts.active", unit="1", description="Those that are in progress.")


def init_metrics() -> None:
    """Send what is measured at an interval, and once more at the end of the process."""
    reader = PeriodicExportingMetricReader(OTLPMetricExporter())
    metrics.set_meter_provider(MeterProvider(resource=RESOURCE, metric_readers=[reader]))
