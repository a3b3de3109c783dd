"""Logs of gift-service: JSON lines with the ids of the span they were written in, and the same records over OTLP."""

import json
import logging

from opentelemetry import trace
from opentelemetry._logs import set_logger_provider
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from tracing import RESOURCE


class JSONFormatter(logging.Formatter):
    """Writes a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; it has `trace_id` and `span_id` inside a span only."""
        line = {
            "timestamp": self.formatTime(record),
            "level": record.levelname,
            "message": record.getMessage(),
            "logger": record.name,
            "module": record.module,
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        context = trace.get_current_span().get_span_context()
        if context.is_valid:  # not is_recording(): a request that is not sampled has ids too
            line["trace_id"] = trace.format_trace_id(context.trace_id)
            line["span_id"] = trace.format_span_id(context.span_id)
        return json.dumps(line)


def init_logs() -> None:
    """Write every record to the terminal and send it over OTLP, once each."""
    provider = LoggerProvider(resource=RESOURCE)
    provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    set_logger_provider(provider)
    lines = logging.StreamHandler()
    lines.setFormatter(JSONFormatter())
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    # Not by `basicConfig`: it gives both a formatter, and the body over OTLP would be "WARNING:gift:suggested ...".
    root.addHandler(lines)
    # This handler and no LoggingInstrumentor: that one adds a handler of its own, and each record would go twice.
    root.addHandler(LoggingHandler(logger_provider=provider))
