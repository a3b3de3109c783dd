"""JSON log lines on stdout, each with the trace_id and span_id of the span it was written in."""

import logging
import logging.config
from datetime import UTC, datetime
from typing import Any

from opentelemetry import trace
from pythonjsonlogger.json import JsonFormatter


class SafeLogRecord(logging.LogRecord):
    """A record whose message can always be had and written as UTF-8: a bad log call must not cost a request."""

    def getMessage(self) -> str:
        """The message, or what is known of it if its arguments do not fit."""
        try:
            message = super().getMessage()
        except Exception as error:
            message = f"{self.msg} (its arguments do not fit: {type(error).__name__})"
        return message.encode("utf-8", "backslashreplace").decode()


class TraceJsonFormatter(JsonFormatter):
    """One JSON object a record: timestamp level message logger module, the ids inside a span, and `extra`."""

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        head = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
        }
        log_data |= head
        super().add_fields(log_data, record, message_dict)
        # Once more, and last: no `extra` takes the place of a field that readers rely on.
        log_data |= head | {"logger": record.name, "module": record.module}
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            log_data["trace_id"] = trace.format_trace_id(context.trace_id)
            log_data["span_id"] = trace.format_span_id(context.span_id)


def configure(level: str) -> None:
    """Log in this form from now on; a second call changes nothing but the level."""
    logging.setLogRecordFactory(SafeLogRecord)
    logging.config.dictConfig(logging_config(level))


def logging_config(level: str) -> dict[str, Any]:
    """The `logging.config.dictConfig` of a service and of gunicorn alike: everything goes through the root."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": TraceJsonFormatter, "fmt": "%(message)s"}},
        "handlers": {
            "stdout": {
                "class": "logging.StreamHandler",
                "stream": "ext://sys.stdout",
                "formatter": "json",
            }
        },
        "root": {"level": level, "handlers": ["stdout"]},
        "loggers": {
            "gunicorn.error": {"level": level, "handlers": [], "propagate": True},
            # gunicorn writes this line after the span has ended; the factory writes one inside it.
            "gunicorn.access": {"level": "CRITICAL", "handlers": [], "propagate": False},
        },
    }
