"""The same log records arrive from the official SDK and from the lean one."""

import logging
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.sdk import _logs as sdk
from opentelemetry.sdk._logs import LogRecordLimits
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, InMemoryLogRecordExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from waybill_lean import logs as lean
from waybill_lean.otlp import logs_request

from .values import Broken, attributes, texts, values

IN_SPAN = trace.set_span_in_context(NonRecordingSpan(SpanContext(5, 7, False, TraceFlags(3))), Context())
bodies = st.one_of(texts, values.filter(lambda value: fits(value)))
records: st.SearchStrategy[dict[str, Any]] = st.builds(
    dict,
    timestamp=st.sampled_from([None, 0, 7]),
    observed_timestamp=st.just(9),
    context=st.sampled_from([IN_SPAN, Context({"other": 1})]),
    severity_number=st.one_of(st.none(), st.sampled_from(SeverityNumber)),
    severity_text=st.one_of(st.none(), texts),
    body=bodies,
    attributes=st.one_of(st.none(), attributes),
    event_name=st.one_of(st.none(), texts),
)
limits = st.builds(
    LogRecordLimits,
    max_log_record_attributes=st.sampled_from([LogRecordLimits.UNSET, 0, 2, 128]),
    max_log_record_attribute_length=st.sampled_from([LogRecordLimits.UNSET, 0, 4]),
)


def fits(value: Any) -> bool:
    """Return whether OTLP can hold a body; otherwise the official encoder fails the whole batch."""
    from opentelemetry.exporter.otlp.proto.common._internal import _encode_value

    try:
        _encode_value(value)
    except Exception:
        return False
    return True


def emitted(module: Any, records: list[dict[str, Any]], limits: LogRecordLimits) -> list[Any]:
    exporter = InMemoryLogRecordExporter()
    provider = module.LoggerProvider(
        Resource({"service.name": "kettle"}), shutdown_on_exit=False, log_record_limits=limits
    )
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    for number, record in enumerate(records):
        provider.get_logger(f"logger {number % 2}", "1").emit(LogRecord(**record))
    provider.force_flush()
    provider.shutdown()
    return [*exporter.get_finished_logs()]


@pytest.mark.filterwarnings("ignore:Log record attributes were dropped")
@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(records, min_size=1, max_size=4), limits)
def test_log_records_are_the_same_whatever_is_in_them(records: list[dict[str, Any]], limits: LogRecordLimits) -> None:
    official = str(encode_logs(emitted(sdk, records, limits)))
    sent = emitted(lean, records, limits)
    assert str(encode_logs(sent)) == official
    assert str(ExportLogsServiceRequest.FromString(logs_request(sent))) == official


def test_a_body_that_otlp_cannot_hold_costs_no_record() -> None:
    sent = emitted(lean, [{"body": body} for body in (2**70, "a\ud800b", {1, 2}, "plain")], LogRecordLimits())
    request = ExportLogsServiceRequest.FromString(logs_request(sent))
    scopes = request.resource_logs[0].scope_logs
    assert sorted(record.body.string_value for scope in scopes for record in scope.log_records) == [
        *(str(2**70), "a?b", "plain", "{1, 2}")
    ]


def test_the_logging_handler_leaves_the_same_records() -> None:
    def handled(module: Any) -> list[Any]:
        exporter = InMemoryLogRecordExporter()
        provider = module.LoggerProvider(shutdown_on_exit=False)
        provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
        handler = LoggingHandler(logger_provider=provider)
        record = logging.LogRecord("shop", logging.WARNING, __file__, 3, "%s left", ("one",), None)
        record.created, record.price = 5.0, {"cents": 3}
        handler.handle(record)
        provider.force_flush()
        provider.shutdown()
        (sent,) = exporter.get_finished_logs()
        found = sent.log_record
        return [
            *(found.body, dict(found.attributes or {}), found.severity_number, found.severity_text, found.timestamp),
            *(sent.instrumentation_scope, sent.dropped_attributes),
        ]

    assert handled(lean) == handled(sdk)


def test_an_attribute_that_cannot_be_read_costs_no_record() -> None:
    (sent,) = emitted(lean, [{"body": "b", "attributes": {"x": Broken(), "y": 1}}], LogRecordLimits())
    assert dict(sent.log_record.attributes or {}) == {"x": None, "y": 1}


def test_a_processor_that_may_change_records_gets_the_sdk_s(caplog: pytest.LogCaptureFixture) -> None:
    class Redact(sdk.LogRecordProcessor):
        def on_emit(self, log_record: sdk.ReadWriteLogRecord) -> None:
            log_record.log_record.body = "redacted"

        def shutdown(self) -> None:
            pass

        def force_flush(self, timeout_millis: int = 30000) -> bool:  # noqa: ARG002
            return True

    class Fail(Redact):
        def on_emit(self, log_record: sdk.ReadWriteLogRecord) -> None:
            raise RuntimeError(str(log_record.resource))

    exporter = InMemoryLogRecordExporter()
    provider = lean.LoggerProvider(shutdown_on_exit=False)
    for processor in (Fail(), Redact(), BatchLogRecordProcessor(exporter)):
        provider.add_log_record_processor(processor)
    lean.Logger._step_aside._told.clear()
    for _ in range(2):
        provider.get_logger("a").emit(LogRecord(body="secret"))
    provider.force_flush()
    provider.shutdown()
    assert [sent.log_record.body for sent in exporter.get_finished_logs()] == ["redacted"] * 2
    assert caplog.text.count("steps aside for logs") == 1
