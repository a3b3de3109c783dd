"""A logger provider that queues log records with fewer copies."""

from __future__ import annotations

from typing import Any

from opentelemetry._logs import Logger as APILogger
from opentelemetry._logs import LogRecord
from opentelemetry.context import Context
from opentelemetry.sdk import _logs as sdk
from opentelemetry.sdk._logs._internal import SynchronousMultiLogRecordProcessor
from opentelemetry.sdk._logs._internal._logger_metrics import NoOpLoggerMetrics
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

from ._aside import StepAside, logger, name_of, untested_sdk
from .attributes import clean_all
from .exporters import send_encoded

_NO_CONTEXT = Context()
_new_record = object.__new__


class _GuardedProcessors(SynchronousMultiLogRecordProcessor):
    """The SDK's list of processors, none of which can fail the application or the other ones."""

    def on_emit(self, log_record: sdk.ReadWriteLogRecord) -> None:
        for processor in self._log_record_processors:
            try:
                processor.on_emit(log_record)
            except Exception:
                logger.exception("%s failed.", name_of(processor))


class Logger(sdk.Logger):
    """The SDK's logger; it puts records into the queues of its batch processors unless it has to step aside."""

    _step_aside = StepAside("logs")
    _processors: tuple[sdk.LogRecordProcessor, ...] | None = None
    _queues: list[Any]
    _aside: str | None

    def emit(self, record: LogRecord | None = None, **kwargs: Any) -> None:
        multi = self._multi_log_record_processor
        if self._processors is not multi._log_record_processors:
            self._plan()
        try:
            if self._aside is None and type(record) is LogRecord and record.exception is None:
                if self._is_enabled():
                    self._queue(record)
            else:
                super().emit(record, **kwargs)
        except Exception:
            logger.exception("A log record could not be read.")

    def _queue(self, record: LogRecord) -> None:
        """Queue a copy without the context, which may be large, with the attributes cleaned."""
        limits = self._log_record_limits
        attributes, invalid = clean_all(record.attributes or {}, limits.max_log_record_attribute_length)
        room = limits.max_log_record_attributes
        if invalid or (room is not None and len(attributes) > room):
            super().emit(record)  # it counts what is dropped, and warns
            return
        copy = _new_record(LogRecord)
        copy.__dict__.update(record.__dict__, context=_NO_CONTEXT, attributes=attributes)
        readable = _new_record(sdk.ReadableLogRecord)
        # Its __init__ sets each field with a call, since the class is frozen.
        readable.__dict__.update(
            log_record=copy, resource=self._resource, instrumentation_scope=self._instrumentation_scope, limits=limits
        )
        for emit in self._queues:
            emit(readable)

    def _plan(self) -> None:
        multi = self._multi_log_record_processor
        processors = multi._log_record_processors
        self._aside = self._reason(processors)
        self._queues = []
        if self._aside is None:
            batches: Any = processors
            self._queues = [processor._batch_processor.emit for processor in batches]
        else:
            self._step_aside(self._aside)
        self._processors = processors

    def _reason(self, processors: tuple[sdk.LogRecordProcessor, ...]) -> str | None:
        """Return why the SDK's records must be made, or None."""
        if reason := untested_sdk():
            return reason
        multi = self._multi_log_record_processor
        if type(multi) is not _GuardedProcessors:
            return f"the processors are called by {name_of(multi)}"
        if type(self._logger_metrics) is not NoOpLoggerMetrics:
            return "OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED counts its records"
        for processor in processors:
            if type(processor) is not BatchLogRecordProcessor:
                return f"the processor {name_of(processor)} may change records, or keep them"
        return None


class LoggerProvider(sdk.LoggerProvider):
    """The SDK's provider, with the same arguments, whose loggers are lean ones."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lean: dict[tuple[str, str | None, str | None], APILogger] = {}
        if type(self._multi_log_record_processor) is SynchronousMultiLogRecordProcessor:
            guard = _GuardedProcessors()  # type: ignore[no-untyped-call]
            guard._log_record_processors = self._multi_log_record_processor._log_record_processors
            self._multi_log_record_processor = guard

    def add_log_record_processor(self, log_record_processor: sdk.LogRecordProcessor) -> None:
        send_encoded(log_record_processor)
        super().add_log_record_processor(log_record_processor)

    def get_logger(
        self,
        name: str,
        version: str | None = None,
        schema_url: str | None = None,
        attributes: Any = None,
    ) -> APILogger:
        key = (name, version, schema_url)
        found = None if attributes is not None else self._lean.get(key)
        if found is None:
            found = super().get_logger(name, version, schema_url, attributes)
            if type(found) is sdk.Logger:
                # The SDK's method, which makes it, has no parameter for the class; a lean logger adds fields only.
                found.__class__ = Logger
                if attributes is None:
                    self._lean[key] = found
        return found
