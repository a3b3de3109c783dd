"""OTLP over gRPC and HTTP: what is taken, what is refused and how it is said."""

import base64
import gzip
import http.client
import json
import secrets
import socket
from collections.abc import Mapping
from typing import Any

import grpc
import pytest
import requests
from google.protobuf import json_format
from google.rpc.status_pb2 import Status
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from waybill_explorer.decode import MAX_BODY
from waybill_explorer.receiver import SERVICES

from .conftest import JSON, PROTOBUF, START, Backend, attributes, logs, span, spans

ALL_SIGNALS = pytest.mark.parametrize("signal", ["traces", "metrics", "logs"])


def otlp_json(trace_id: bytes, service: str) -> dict[str, Any]:
    """Write a request as the specification's OTLP/JSON: ids in hex, 64-bit integers as text, enums as numbers."""
    attribute = {"key": "service.name", "value": {"stringValue": service}}
    one = {
        "traceId": trace_id.hex().upper(),
        "spanId": "00f067aa0ba902b7",
        "parentSpanId": "",
        "name": "from a browser",
        "kind": 3,
        "startTimeUnixNano": str(START),
        "endTimeUnixNano": str(START + 1_000_000),
        "attributes": [{"key": "big", "value": {"intValue": "9007199254740993"}}],
        "status": {"code": 2},
    }
    return {"resourceSpans": [{"resource": {"attributes": [attribute]}, "scopeSpans": [{"spans": [one]}]}]}


@ALL_SIGNALS
def test_an_empty_export_succeeds_over_grpc_and_http(backend: Backend, signal: str) -> None:
    assert backend.export(signal, b"") == b""
    assert backend.post(signal, b"").content == b""
    answer = backend.post(signal, "{}", JSON)
    assert (answer.json(), answer.headers["Content-Type"]) == ({}, "application/json")


def test_a_trace_sent_over_grpc_is_readable_when_the_call_returns(backend: Backend, service: str) -> None:
    trace_id = secrets.token_bytes(16)
    assert backend.export("traces", spans(service, span(trace_id)).SerializeToString()) == b""
    assert backend.get(f"/api/traces/{trace_id.hex()}")[0]["processes"]["p1"]["serviceName"] == service


def test_gzip_is_understood_over_grpc_and_http(backend: Backend, service: str) -> None:
    first, second = secrets.token_bytes(16), secrets.token_bytes(16)
    body = gzip.compress(spans(service, span(first)).SerializeToString())
    assert backend.post("traces", body, PROTOBUF | {"Content-Encoding": "gzip"}).status_code == 200
    with grpc.insecure_channel(f"127.0.0.1:{backend.grpc_port}", compression=grpc.Compression.Gzip) as channel:
        export: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{SERVICES['traces']}/Export")
        export(spans(service, span(second)).SerializeToString(), timeout=5)
    found = {trace["traceID"] for trace in backend.get("/api/traces", service=service)}
    assert found == {first.hex(), second.hex()}


def test_json_has_hex_ids_and_unknown_fields_are_ignored(backend: Backend, service: str) -> None:
    trace_id = secrets.token_bytes(16)
    body = otlp_json(trace_id, service) | {"notYetInvented": {"traceId": 7}}
    assert (
        backend.post("traces", json.dumps(body), JSON | {"Content-Type": "application/json; charset=utf-8"}).json()
        == {}
    )
    stored = backend.get(f"/api/traces/{trace_id.hex()}")[0]["spans"][0]
    assert (stored["traceID"], stored["spanID"]) == (trace_id.hex(), "00f067aa0ba902b7")
    assert {"key": "big", "type": "int64", "value": "9007199254740993"} in stored["tags"]
    assert {"key": "span.kind", "type": "string", "value": "client"} in stored["tags"]


def test_a_browser_may_send_from_a_local_page_only(backend: Backend) -> None:
    def preflight(origin: str) -> Mapping[str, str]:
        headers = {
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type,traceparent",
        }
        url = f"http://127.0.0.1:{backend.http_port}/v1/traces"
        response = requests.options(url, headers=headers, timeout=5)
        assert response.status_code == 204
        return response.headers

    allowed = preflight("http://localhost:8080")
    assert allowed["Access-Control-Allow-Origin"] == "http://localhost:8080"
    assert "content-type" in allowed["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Origin" not in preflight("https://example.com")
    sent = backend.post("traces", "{}", JSON | {"Origin": "http://127.0.0.1:5173"})
    assert sent.headers["Access-Control-Allow-Origin"] == "http://127.0.0.1:5173"


def test_only_the_bad_spans_of_an_export_are_refused(backend: Backend, service: str) -> None:
    trace_id = secrets.token_bytes(16)
    request = spans(
        service,
        span(trace_id, "good"),
        span(trace_id, "short", span_id=b"123"),
        span(bytes(16), "zero"),
        span(trace_id, "stray", parent=b"1"),
    )
    answer = ExportTraceServiceResponse.FromString(backend.post("traces", request.SerializeToString()).content)
    assert answer.partial_success.rejected_spans == 3
    assert answer.partial_success.error_message.startswith(
        "resourceSpans[0].scopeSpans[0].spans[1].spanId: '313233' is not 8 bytes"
    )
    assert [s["operationName"] for s in backend.get(f"/api/traces/{trace_id.hex()}")[0]["spans"]] == ["good"]


@ALL_SIGNALS
def test_a_body_that_is_not_protobuf_is_refused_with_the_reason(backend: Backend, signal: str) -> None:
    response = backend.post(signal, b"\xff\xff not protobuf")
    assert response.status_code == 400
    assert "in protobuf" in Status.FromString(response.content).message
    with pytest.raises(grpc.RpcError) as refused:
        backend.export(signal, b"\xff\xff not protobuf")
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "in protobuf" in (refused.value.details() or "")


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "null",
        "{",
        '{"resourceSpans": 1}',
        '{"resourceSpans": [null]}',
        '{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "xyz"}]}]}]}',
        '{"resourceSpans": [{"resource": {"attributes": [{"key": "a", "value": {"intValue": "1e400"}}]}}]}',
        '{"resourceSpans": [{"schemaUrl": "\\ud800"}]}',
        "[" * 100_000,
        '{"a":' * 20_000,
    ],
)
def test_json_that_is_not_an_export_is_refused_with_the_reason(backend: Backend, body: str) -> None:
    response = backend.post("traces", body, JSON)
    assert response.status_code == 400
    assert response.json()["code"] == 3
    assert "ExportTraceServiceRequest" in response.json()["message"]


def test_other_content_types_and_encodings_are_refused(backend: Backend) -> None:
    assert backend.post("traces", b"", {"Content-Type": "text/plain"}).status_code == 415
    assert backend.post("traces", b"", PROTOBUF | {"Content-Encoding": "br"}).status_code == 415


def test_bodies_over_the_limit_and_gzip_bombs_are_refused(backend: Backend) -> None:
    zipped = PROTOBUF | {"Content-Encoding": "gzip"}
    assert backend.post("traces", bytes(MAX_BODY + 1)).status_code == 413
    assert backend.post("traces", gzip.compress(bytes(3 * MAX_BODY)), zipped).status_code == 413
    assert backend.post("traces", b"not gzip", zipped).status_code == 400
    assert backend.post("traces", gzip.compress(b"cut short")[:-9], zipped).status_code == 400
    with pytest.raises(grpc.RpcError) as refused:
        backend.export("traces", bytes(MAX_BODY + 1))
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    ("headers", "length", "status"),
    [(PROTOBUF, MAX_BODY + 1, 413), ({"Content-Type": "text/plain"}, MAX_BODY, 415), ({"Host": "evil"}, MAX_BODY, 421)],
)
def test_the_connection_of_a_refused_export_takes_the_next(
    backend: Backend, headers: dict[str, str], length: int, status: int
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", backend.http_port, timeout=10)
    connection.request("POST", "/v1/traces", bytes(length), headers)
    refused = connection.getresponse()
    refused.read()
    assert (refused.status, refused.headers["Connection"]) == (status, "keep-alive")
    connection.request("POST", "/v1/traces", b"", PROTOBUF)
    assert connection.getresponse().status == 200
    connection.close()


def test_a_key_that_is_there_twice_counts_with_its_last_value_whatever_the_types(
    backend: Backend, service: str
) -> None:
    request = logs(service, {"attributes": {"key": 1}})
    found = request.resource_logs[0]
    for repeated in (found.resource.attributes, found.scope_logs[0].log_records[0].attributes):
        repeated.extend(attributes({"key": "text"}) + attributes({"key": [1, 2]}))
    backend.send(request)
    (record,) = backend.get("/api/logs", service=service)
    assert record["attributes"]["key"] == [1, 2]


GOOD = spans("fuzzed", span(b"f" * 16)).SerializeToString()
KEYS = (
    "resourceSpans scopeSpans spans resourceLogs scopeLogs logRecords resourceMetrics scopeMetrics metrics gauge"
    " histogram dataPoints asInt traceId attributes key value name"
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS.split()), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    signal=st.sampled_from(["traces", "metrics", "logs"]),
    body=st.binary(max_size=200)
    | st.tuples(st.integers(0, len(GOOD)), st.binary(max_size=8)).map(
        lambda cut: GOOD[: cut[0]] + cut[1] + GOOD[cut[0] + 1 :]
    )
    | JSON_VALUES.map(json.dumps),
    gzipped=st.booleans(),
)
def test_no_body_makes_it_fail(backend: Backend, signal: str, body: bytes | str, gzipped: bool) -> None:
    headers = JSON if isinstance(body, str) else PROTOBUF
    raw = body.encode() if isinstance(body, str) else body
    if gzipped:
        headers, raw = headers | {"Content-Encoding": "gzip"}, gzip.compress(raw)
    assert backend.post(signal, raw, headers).status_code in (200, 400)
    assert backend.ask("/healthz").status_code == 200


def test_what_is_not_http_does_not_disturb_it(backend: Backend) -> None:
    for port in (backend.http_port, backend.traces_port, backend.grpc_port):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"\x00\xff" * 50 + b"\r\n\r\n")
    assert backend.ask("/healthz").status_code == 200


def test_a_body_whose_chunks_are_broken_is_refused(backend: Backend) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", backend.http_port, timeout=10)
    connection.request("POST", "/v1/traces", b"zz\r\n", PROTOBUF | {"Transfer-Encoding": "chunked"})
    assert connection.getresponse().status == 400
    connection.close()


def test_logs_sent_as_protobufs_json_are_the_same_as_protobuf(backend: Backend, service: str) -> None:
    trace_id = secrets.token_bytes(16)
    request = logs(service, {"trace_id": trace_id, "span_id": b"12345678", "body": "hello"})
    as_json = json_format.MessageToDict(request)
    record = as_json["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]
    for key in ("traceId", "spanId"):
        record[key] = base64.b64decode(record[key]).hex()
    record["severityNumber"] = 9
    assert backend.post("logs", json.dumps(as_json), JSON).json() == {}
    backend.send(request)
    first, second = backend.get("/api/logs", trace_id=trace_id.hex())
    assert first.pop("id") < second.pop("id")
    assert first == second
