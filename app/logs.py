"""JSON log lines on stdout, each with the trace_id and span_id of the span it was written in."""

import json
import logging
import logging.config
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from opentelemetry import trace
from pythonjsonlogger.json import JsonFormatter

MAX_DEPTH = 6
MAX_INT = 2**63 - 1
"""What OTLP holds: https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/common/v1/common.proto"""


class SafeLogRecord(logging.LogRecord):
    """A record whose message can always be had and written as UTF-8: a bad log call must not cost a request."""

    def getMessage(self) -> str:
        """The message, or what is known of it if its arguments do not fit."""
        try:
            message = super().getMessage()
        except Exception as error:
            message = f"{plain(self.msg)} (its arguments do not fit: {type(error).__name__})"
        return _text(message)


class TraceJsonFormatter(JsonFormatter):
    """One JSON object a record: timestamp level message logger module, the ids inside a span, and `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of any record whatever; one that cannot be written whole says so in `log_error`."""
        try:
            return super().format(record)
        except Exception as error:
            line: dict[str, Any] = {}
            self._add_promised(line, record)
            return json.dumps(plain(line | {"message": record.msg, "log_error": type(error).__name__}))

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        """Add the promised fields and those of `extra`."""
        self._add_promised(log_data, record)
        super().add_fields(log_data, record, message_dict)
        # Once more, and last: no `extra` takes the place of a field that readers rely on.
        self._add_promised(log_data, record)

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """Make every value one that JSON has."""
        fields: dict[str, Any] = plain(log_data)
        return fields

    def _add_promised(self, line: dict[str, Any], record: logging.LogRecord) -> None:
        line |= {
            "timestamp": _timestamp(record),
            "level": record.levelname,
        }
        line.setdefault("message", None)
        line |= {"logger": record.name, "module": record.module}
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            line["trace_id"] = trace.format_trace_id(context.trace_id)
            line["span_id"] = trace.format_span_id(context.span_id)


def _timestamp(record: logging.LogRecord) -> str:
    try:
        created = datetime.fromtimestamp(record.created, UTC)
    except (ValueError, OverflowError, OSError, TypeError):
        created = datetime.now(UTC)
    return created.isoformat(timespec="milliseconds")


def plain(value: Any, depth: int = 0) -> Any:
    """The same value in types that both JSON and OTLP hold; what they cannot hold becomes its text.

    Lone surrogates, integers beyond 64 bits, NaN, cycles and objects whose text cannot be had all come out.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and -MAX_INT <= value <= MAX_INT:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if depth < MAX_DEPTH:
        if isinstance(value, Mapping):
            return {_text(key): plain(item, depth + 1) for key, item in list(value.items())}
        if isinstance(value, list | tuple | set | frozenset):
            return [plain(item, depth + 1) for item in value]
    return _text(value)


def _text(value: Any) -> str:
    try:
        return str(value).encode("utf-8", "backslashreplace").decode()
    except Exception as error:
        return f"<{type(value).__name__} without a text: {type(error).__name__}>"


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
