"""The official OTLP exporters for spans and logs, sending bytes that are encoded here.

Connection, TLS, headers, compression, retries and metrics of its own stay the official exporter's. An exporter of
another type gets spans and records like any other, and encodes them itself. Metrics are encoded by the official
exporter: what that costs depends on the number of series and the interval, not on the load.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from ._aside import name_of, untested_sdk
from .otlp import logs_request, spans_request

Encode = Callable[[Sequence[Any]], bytes]

_OTLP = "opentelemetry.exporter.otlp.proto"
_COLLECTOR = "/opentelemetry.proto.collector"


def send_encoded(processor: Any) -> None:
    """Make the exporter of the SDK's batch or simple processor encode by itself, if it is an official OTLP exporter."""
    batch = getattr(processor, "_batch_processor", None)
    exporter = batch._exporter if batch is not None else getattr(processor, "span_exporter", None)
    if exporter is None:
        exporter = getattr(processor, "_exporter", None)
    lean = _LEAN.get(name_of(exporter))
    if lean is not None and untested_sdk() is None:
        lean(exporter)


def _grpc_spans(exporter: Any) -> None:
    _send_over_grpc(exporter, spans_request, f"{_COLLECTOR}.trace.v1.TraceService/Export")


def _grpc_logs(exporter: Any) -> None:
    _send_over_grpc(exporter, logs_request, f"{_COLLECTOR}.logs.v1.LogsService/Export")


class _BytesStub:
    """A stub like the generated ones, whose requests are bytes already."""

    path: ClassVar[str]

    def __init__(self, channel: Any) -> None:
        self.Export = channel.unary_unary(self.path)


def _send_over_grpc(exporter: Any, encode: Encode, path: str) -> None:
    # Both are fields of the exporter: it makes a new client from the stub's class when it has to reconnect.
    exporter._translate_data = encode
    exporter._stub = type("_Stub", (_BytesStub,), {"path": path})
    exporter._client = exporter._stub(exporter._channel)


def _http_spans(exporter: Any) -> None:
    from opentelemetry.sdk.trace.export import SpanExportResult

    exporter.export = _HttpExport(exporter, spans_request, "span", SpanExportResult)


def _http_logs(exporter: Any) -> None:
    from opentelemetry.sdk._logs.export import LogRecordExportResult

    exporter.export = _HttpExport(exporter, logs_request, "logs", LogRecordExportResult)


class _HttpExport:
    """What the official HTTP exporters do in `export`, from the encoder on."""

    def __init__(self, exporter: Any, encode: Encode, what: str, result: Any) -> None:
        self._exporter = exporter
        self._encode = encode
        self._what = what
        self._result = result

    def __call__(self, batch: Sequence[Any]) -> Any:
        from opentelemetry.exporter.otlp.proto.http import _common

        exporter = self._exporter
        logger = exporter._client._logger
        if exporter._shutdown:
            logger.warning("Exporter already shutdown, ignoring batch")
            return self._result.FAILURE
        with exporter._metrics.export_operation(len(batch)) as operation:
            data = self._encode(batch)
            limit = exporter._max_request_size
            if _common._is_request_too_large(data, limit):
                logger.warning(
                    "Dropping %s batch: serialized size %d bytes exceeds max_request_size %d bytes.",
                    self._what,
                    len(data),
                    limit,
                )
                operation.error = _common.RequestPayloadTooLargeError(
                    f"Serialized {self._what} request size {len(data)} bytes exceeds max_request_size {limit} bytes."
                )
                return self._result.FAILURE
            sent = exporter._client.export(data)
            if not sent.success:
                operation.error = sent.error
                if sent.status_code is not None:
                    operation.error_attrs = {"http.response.status_code": sent.status_code}
                return self._result.FAILURE
        return self._result.SUCCESS


_LEAN: dict[str, Callable[[Any], None]] = {
    f"{_OTLP}.grpc.trace_exporter.OTLPSpanExporter": _grpc_spans,
    f"{_OTLP}.grpc._log_exporter.OTLPLogExporter": _grpc_logs,
    f"{_OTLP}.http.trace_exporter.OTLPSpanExporter": _http_spans,
    f"{_OTLP}.http._log_exporter.OTLPLogExporter": _http_logs,
}
