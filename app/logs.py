"""Log lines on stdout, JSON or for a terminal, each with the trace_id and span_id of the span it was written in."""

import json
import logging
import logging.config
import math
import os
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from opentelemetry import trace
from pythonjsonlogger.json import JsonFormatter

MAX_DEPTH = 6
MAX_INT = 2**63 - 1
"""What OTLP holds: https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/common/v1/common.proto"""

CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""What a terminal would obey, besides tab and newline: a message may hold what a client sent."""
LEVEL_STYLES = {"DEBUG": "2", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}
"""Level -> parameters of SGR, ECMA-48's escape sequence for colors."""
ON_CONSOLE = ("timestamp", "level", "message", "logger", "module", "span_id")
"""Fields that are not among the `extra` of a console line."""


class SafeLogRecord(logging.LogRecord):
    """A record whose message can always be had and written as UTF-8: a bad log call must not cost a request."""

    def getMessage(self) -> str:
        """Return the message, or what is known of it if its arguments do not fit."""
        try:
            message = super().getMessage()
        except Exception as error:
            message = f"{plain(self.msg)} (its arguments do not fit: {type(error).__name__})"
        return _text(message)


class TraceJsonFormatter(JsonFormatter):
    """One JSON object a record: timestamp level message logger module, the ids inside a span, and `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of any record; one that cannot be written in full says so in `log_error`."""
        try:
            return super().format(record)
        except Exception as error:
            return json.dumps(plain(_promised(record) | {"message": record.msg, "log_error": type(error).__name__}))

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        """Add the promised fields and those of `extra`."""
        promised = _promised(record)
        log_data |= promised
        super().add_fields(log_data, record, message_dict)
        # Once more, and last: no `extra` takes the place of a field that readers rely on.
        del promised["message"]
        log_data |= promised

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """Make every value one that JSON has."""
        fields: dict[str, Any] = plain(log_data)
        return fields


class ConsoleFormatter(TraceJsonFormatter):
    """The same fields for a person: one line of time, level, message, `extra` and trace_id, then any traceback."""

    def serialize_log_record(self, log_data: dict[str, Any]) -> str:
        """Return the fields as text, in color if stdout is a terminal; NO_COLOR (https://no-color.org) turns it off."""
        fields = {name: CONTROL_CHARACTERS.sub("\N{REPLACEMENT CHARACTER}", str(log_data[name])) for name in log_data}
        time = datetime.fromisoformat(fields["timestamp"]).astimezone().strftime("%H:%M:%S.%f")[:-3]
        level, message = fields["level"], fields["message"]
        tracebacks = [fields.pop(name) for name in ("exc_info", "stack_info") if name in fields]
        extra = [f"{name}={text}" for name, text in fields.items() if name not in ON_CONSOLE]
        line = f"{_styled('2', time)} {_styled(LEVEL_STYLES.get(level, ''), f'{level:<8}')} {message}"
        return "\n".join(["  ".join([line, *(_styled("2", text) for text in extra)]), *tracebacks])


def _styled(style: str, text: str) -> str:
    colored = style and sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    return f"\x1b[{style}m{text}\x1b[0m" if colored else text


def _promised(record: logging.LogRecord) -> dict[str, Any]:
    """Return the fields of every line in their order; the message follows."""
    line = {
        "timestamp": _timestamp(record),
        "level": record.levelname,
        "message": None,
        "logger": record.name,
        "module": record.module,
    }
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        line["trace_id"] = trace.format_trace_id(context.trace_id)
        line["span_id"] = trace.format_span_id(context.span_id)
    return line


def _timestamp(record: logging.LogRecord) -> str:
    try:
        created = datetime.fromtimestamp(record.created, UTC)
    except (ValueError, OverflowError, OSError, TypeError):
        created = datetime.now(UTC)
    return created.isoformat(timespec="milliseconds")


def plain(value: Any, depth: int = 0) -> Any:
    """Return the same value in types that both JSON and OTLP hold; what they cannot hold becomes its text.

    Lone surrogates, integers beyond 64 bits, NaN, cycles and objects whose text cannot be had all come out.
    """
    kind = type(value)
    if kind is str:
        return value if value.isascii() else _text(value)
    if value is None or kind is bool:
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
    if type(value) is str and value.isascii():
        return value
    try:
        return str(value).encode("utf-8", "backslashreplace").decode()
    except Exception as error:
        return f"<{type(value).__name__} without a text: {type(error).__name__}>"


FORMATTERS = {"json": TraceJsonFormatter, "console": ConsoleFormatter}


def configure(level: str, form: str) -> None:
    """Log in this form from now on; a second call replaces level and form."""
    logging.setLogRecordFactory(SafeLogRecord)
    logging.config.dictConfig(logging_config(level, form))


def logging_config(level: str, form: str) -> dict[str, Any]:
    """Return the `logging.config.dictConfig` of a service and of gunicorn: all records go through the root."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"stdout": {"()": FORMATTERS[form], "fmt": "%(message)s"}},
        "handlers": {
            "stdout": {
                "class": "logging.StreamHandler",
                "stream": "ext://sys.stdout",
                "formatter": "stdout",
            }
        },
        "root": {"level": level, "handlers": ["stdout"]},
        "loggers": {
            "gunicorn.error": {"level": level, "handlers": [], "propagate": True},
            # gunicorn writes this line after the span has ended; the factory writes one inside it.
            "gunicorn.access": {"level": "CRITICAL", "handlers": [], "propagate": False},
        },
    }
