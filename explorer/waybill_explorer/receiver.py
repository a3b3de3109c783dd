"""OTLP's two front doors, gRPC and HTTP; both give the writer the body in protobuf and wait until it is stored.

Follows the OTLP specification 1.9: https://opentelemetry.io/docs/specs/otlp/
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from typing import Any

import grpc
from flask import Blueprint, Response, request
from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from gunicorn.http.errors import ParseException
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from werkzeug.exceptions import RequestEntityTooLarge

from waybill_explorer.decode import MAX_BODY, TOO_MANY_BYTES, BadData, TooLarge, gunzip, protobuf_of_json
from waybill_explorer.ingest import Rejected
from waybill_explorer.store import Sender, Unavailable, Writer

SERVICES = {
    "traces": "opentelemetry.proto.collector.trace.v1.TraceService",
    "metrics": "opentelemetry.proto.collector.metrics.v1.MetricsService",
    "logs": "opentelemetry.proto.collector.logs.v1.LogsService",
}
RESPONSES: dict[str, tuple[Any, str]] = {
    "traces": (ExportTraceServiceResponse, "rejected_spans"),
    "metrics": (ExportMetricsServiceResponse, "rejected_data_points"),
    "logs": (ExportLogsServiceResponse, "rejected_log_records"),
}
PROTOBUF = "application/x-protobuf"
JSON = "application/json"
GRPC_THREADS = 8
GRPC_STREAMS = 2 * GRPC_THREADS
"""Calls that one connection may have open: a body is read before its handler runs, and a sender holds the rest back."""


def export_response(signal: str, rejected: Rejected | None) -> Any:
    """Make the Export*ServiceResponse: empty when all was stored, a partial success when some was refused."""
    response_type, count_field = RESPONSES[signal]
    response = response_type()
    if rejected:
        response.partial_success.error_message = rejected.reason
        setattr(response.partial_success, count_field, rejected.count)
    return response


def status_message(code: int, message: str, retry_after: int = 0) -> Status:
    """Make the google.rpc.Status that tells a sender why its data was refused."""
    status = Status(code=code, message=message)
    if retry_after:
        status.details.add().Pack(RetryInfo(retry_delay={"seconds": retry_after}))
    return status


def otlp_http(writer: Writer, cors_origins: str) -> Blueprint:
    """Make the routes /v1/traces, /v1/metrics and /v1/logs, open to pages from `cors_origins` (patterns with *)."""
    routes = Blueprint("otlp", __name__)

    @routes.post("/v1/<any(traces, metrics, logs):signal>", provide_automatic_options=False)
    def export(signal: str) -> Response:
        if request.mimetype not in (PROTOBUF, JSON):
            return otlp_answer(415, status_message(Code.INVALID_ARGUMENT, f"send {PROTOBUF} or {JSON}"))
        encoding = request.headers.get("Content-Encoding", "identity").lower()
        if encoding not in ("identity", "gzip"):
            return otlp_answer(415, status_message(Code.INVALID_ARGUMENT, "send the body plain or in gzip"))
        try:
            request.max_content_length = MAX_BODY
            body = request.get_data(cache=False)
            body = gunzip(body) if encoding == "gzip" else body
            body = protobuf_of_json(signal, body) if request.mimetype == JSON else body
            sender = Sender(f"{request.remote_addr} {request.mimetype}", str(request.environ.get("REMOTE_PORT", "")))
            rejected = writer.store(signal, body, sender)
        except (BadData, ParseException) as error:
            return otlp_answer(400, status_message(Code.INVALID_ARGUMENT, str(error)))
        except RequestEntityTooLarge:
            return otlp_answer(413, status_message(Code.INVALID_ARGUMENT, TOO_MANY_BYTES))
        except TooLarge as error:
            return otlp_answer(413, status_message(Code.INVALID_ARGUMENT, str(error)))
        except Unavailable as error:
            response = otlp_answer(503, status_message(Code.UNAVAILABLE, str(error), error.retry_after))
            response.headers["Retry-After"] = str(error.retry_after)
            return response
        return otlp_answer(200, export_response(signal, rejected))

    @routes.route("/v1/<any(traces, metrics, logs):signal>", methods=["OPTIONS"])
    def preflight(signal: str) -> Response:  # noqa: ARG001
        return Response(status=204)

    @routes.after_request
    def allow_origin(response: Response) -> Response:
        origin = request.headers.get("Origin", "")
        response.headers["Vary"] = "Origin"
        if origin and any(fnmatchcase(origin, pattern) for pattern in cors_origins.split()):
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Allow-Methods"] = "POST"
            response.headers["Access-Control-Allow-Headers"] = request.headers.get(
                "Access-Control-Request-Headers", "*"
            )
            response.headers["Access-Control-Max-Age"] = "7200"
        return response

    return routes


def otlp_answer(status: int, message: Message) -> Response:
    """Make an answer in the encoding of the request, as OTLP/HTTP demands."""
    if request.mimetype == JSON:
        return Response(json_format.MessageToJson(message, indent=None), status, mimetype=JSON)
    return Response(message.SerializeToString(), status, mimetype=PROTOBUF)


def otlp_grpc(writer: Writer, address: str) -> grpc.Server:
    """Start the three OTLP services on an address; raises RuntimeError when it is taken."""
    server = grpc.server(
        ThreadPoolExecutor(GRPC_THREADS, thread_name_prefix="otlp-grpc"),
        options=[
            ("grpc.max_receive_message_length", MAX_BODY),
            ("grpc.max_concurrent_streams", GRPC_STREAMS),
            ("grpc.http2.bdp_probe", 0),  # else each waiting call gets a window of megabytes
            ("grpc.so_reuseport", 0),
        ],
    )
    for signal, service in SERVICES.items():
        # No deserializer: the writer decodes, so bad data gets a reason and the queue counts real bytes.
        handler: Any = grpc.unary_unary_rpc_method_handler(_exporter(writer, signal))
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {"Export": handler})])
    server.add_insecure_port(address)
    server.start()
    return server


def _exporter(writer: Writer, signal: str) -> Callable[[bytes, Any], bytes]:
    def export(body: bytes, context: Any) -> bytes:
        try:
            host = context.peer().rpartition(":")[0]  # ipv4:127.0.0.1:50123
            response = export_response(signal, writer.store(signal, body, Sender(host), context.add_callback))
            return bytes(response.SerializeToString())
        except TooLarge as error:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))
        except BadData as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except Unavailable as error:
            status = status_message(Code.UNAVAILABLE, str(error), error.retry_after)
            context.set_trailing_metadata([("grpc-status-details-bin", status.SerializeToString())])
            context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
        raise AssertionError("abort raises")

    return export
