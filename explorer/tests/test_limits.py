"""No export keeps the others waiting, takes the room of all others, or is read by another site."""

import gzip
import json
import random
import secrets
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
import requests
from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from waybill_explorer.decode import MAX_ITEMS, BadData, gunzip

from .conftest import JSON, PROTOBUF, START, Backend, attributes, logs, metrics, span, spans, until

GZIP = PROTOBUF | {"Content-Encoding": "gzip"}
Launch = Callable[..., Backend]


def test_all_members_of_a_gzip_body_are_one_body(backend: Backend, service: str) -> None:
    parts = [gzip.compress(spans(service, span(secrets.token_bytes(16), name)).SerializeToString()) for name in "abc"]
    assert backend.post("traces", b"".join(parts), GZIP).status_code == 200
    assert backend.get(f"/api/services/{service}/operations") == ["a", "b", "c"]
    refused = backend.post("traces", parts[0] + b"garbage", GZIP)
    assert refused.status_code == 400
    assert f"not gzip from byte {len(parts[0])} on" in Status.FromString(refused.content).message


def test_gzip_members_are_bounded_in_number_and_size() -> None:
    started = time.monotonic()
    with pytest.raises(BadData, match="more than 1,000 gzip members"):
        gunzip(gzip.compress(b"") * 400_000)
    assert time.monotonic() - started < 5


def test_identical_exports_are_all_stored_unless_they_are_a_retry(backend: Backend, service: str) -> None:
    def lines(name: str) -> int:
        return len(backend.get("/api/logs", service=name))

    dated, undated = logs(service, {"body": "x"}), logs(service + "-undated", {"body": "x", "time_unix_nano": 0})
    for request in (dated, undated):
        for _ in range(2):
            backend.send(request)  # each through a connection of its own: the first answer may have got lost
    assert (lines(service), lines(service + "-undated")) == (1, 2)
    with requests.Session() as session:
        for _ in range(2):  # through one connection: the first answer has been read
            body = logs(service + "-kept", {"body": "x"}).SerializeToString()
            session.post(f"http://127.0.0.1:{backend.http_port}/v1/logs", body, headers=PROTOBUF, timeout=10)
    assert lines(service + "-kept") == 2


def many_resources(count: int) -> bytes:
    return b"\x0a\x02\x12\x00" * count


def many_traces(count: int) -> bytes:
    return spans("many", *(span(n.to_bytes(16), f"{n}", ms=1) for n in range(1, count + 1))).SerializeToString()


def test_an_export_of_too_many_items_is_refused_with_the_reason(backend: Backend) -> None:
    million = json.dumps({"resourceSpans": [{}] * 1_000_000})
    for body, headers in ((many_resources(2_000_000), PROTOBUF), (many_traces(MAX_ITEMS), PROTOBUF), (million, JSON)):
        refused = backend.post("traces", body, headers)
        assert refused.status_code == 413
        assert b"send smaller batches" in refused.content
    with pytest.raises(grpc.RpcError) as error:
        backend.export("traces", many_resources(2_000_000))
    assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    request, found = metrics("many")
    points = found.add(name="m").gauge.data_points
    for _ in range(MAX_ITEMS):
        points.add(as_int=1)
    assert backend.post("metrics", request.SerializeToString()).status_code == 413


@contextmanager
def others_are_answered(backend: Backend, within: float) -> Iterator[None]:
    """Send small exports all the while; each must be stored in time."""
    slowest = [0.0]
    failed: list[int] = []
    done = threading.Event()

    def send() -> None:
        with requests.Session() as session:
            while not done.is_set():
                body = logs("other", {"body": secrets.token_hex(4)}).SerializeToString()
                begin = time.monotonic()
                url = f"http://127.0.0.1:{backend.http_port}/v1/logs"
                answer = session.post(url, body, headers=PROTOBUF, timeout=30)
                failed.extend([answer.status_code] if answer.status_code != 200 else [])
                slowest[0] = max(slowest[0], time.monotonic() - begin)

    thread = threading.Thread(target=send)
    thread.start()
    yield
    done.set()
    thread.join()
    assert not failed
    assert 0 < slowest[0] < within


def test_the_largest_export_does_not_keep_others_waiting(launch: Launch) -> None:
    backend = launch()
    body = many_traces(MAX_ITEMS - 10)
    with others_are_answered(backend, within=3):  # 0.5 s on an idle machine
        assert backend.post("traces", body).status_code == 200
        assert backend.post("traces", many_resources(2_000_000)).status_code == 413
    assert backend.get("/api/stats")["traces"] == MAX_ITEMS - 10


def test_a_huge_resource_without_spans_costs_nobody_a_trace(launch: Launch) -> None:
    backend = launch(WAYBILL_RETENTION_BYTES=4 * 2**20)
    backend.send(*(spans("kept", span(secrets.token_bytes(16))) for _ in range(20)))
    for _ in range(10):
        request = spans("huge", resource={"filler": secrets.token_hex(1_000_000)})
        assert backend.post("traces", request.SerializeToString()).status_code == 200
        request.resource_spans[0].scope_spans[0].spans.add(trace_id=b"t" * 16, span_id=b"s" * 8)
        answer = ExportTraceServiceResponse.FromString(backend.post("traces", request.SerializeToString()).content)
        assert answer.partial_success.rejected_spans == 1
        assert answer.partial_success.error_message.startswith("resourceSpans[0].resource: 2,000,")
    stats = backend.get("/api/stats")
    assert (stats["traces"], stats["bytes"] < 2**20) == (20, True)


def test_everything_that_is_stored_can_be_freed(launch: Launch) -> None:
    cap = 2 * 2**20
    backend = launch(WAYBILL_RETENTION_BYTES=cap)
    filler = "x" * 20_000
    for n in range(60):
        request, found = metrics(f"metered-{n}", instance=filler)
        point = found.add(name=f"m{n}").gauge.data_points.add(time_unix_nano=START, as_int=1)
        point.attributes.extend(attributes({"filler": filler}))
        point.exemplars.add(time_unix_nano=2**62, as_int=1, filtered_attributes=attributes({"filler": filler}))
        backend.send(request, spans(filler + str(n), span(secrets.token_bytes(16), filler + str(n))))
        until(lambda: backend.get("/api/stats")["bytes"] <= cap)
    assert backend.get("/api/stats")["traces"] > 2


def test_only_the_owner_can_read_the_files(launch: Launch) -> None:
    backend = launch()
    backend.send(logs("s", {"body": "private"}))
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in backend.data.glob("telemetry.db*")}
    assert modes == dict.fromkeys(("telemetry.db", "telemetry.db-wal", "telemetry.db-shm"), 0o600)


@pytest.mark.parametrize("host", ["rebound.attacker.example", "rebound.attacker.example:80", "10.0.0.7", "[", "x@y"])
def test_another_sites_name_is_refused_on_both_ports(backend: Backend, host: str) -> None:
    for port in (backend.http_port, backend.traces_port):
        read = requests.get(f"http://127.0.0.1:{port}/api/traces", headers={"Host": host}, timeout=10)
        assert (read.status_code, read.json()["errors"][0]["code"]) == (421, 421)
        url = f"http://127.0.0.1:{port}/v1/logs"
        written = requests.post(url, "{}", headers=JSON | {"Host": host}, timeout=10)
        assert (written.status_code, written.json()["code"]) == (421, 3)
        assert requests.get(f"http://127.0.0.1:{port}/", headers={"Host": host}, timeout=10).status_code == 421


def test_loopback_and_configured_names_are_served(launch: Launch) -> None:
    backend = launch(WAYBILL_ALLOWED_HOSTS="devbox *.Example.org")
    for host in ("localhost:1", "127.0.0.1", "[::1]:80", "LOCALHOST.", "devbox:9", "a.example.org"):
        url = f"http://127.0.0.1:{backend.traces_port}/api/services"
        assert requests.get(url, headers={"Host": host}, timeout=10).status_code == 200, host


def test_an_error_in_json_names_the_field(backend: Backend) -> None:
    def message(one: dict[str, Any]) -> str:
        body = {"resourceSpans": [{"scopeSpans": [{"spans": []}, {"spans": [{}, one]}]}]}
        return str(backend.post("traces", json.dumps(body), JSON).json()["message"])

    assert "resourceSpans[0].scopeSpans[1].spans[1].traceId: 'xyz' is not an id in hex" in message({"traceId": "xyz"})
    assert "resourceSpans.scopeSpans.spans.name: text is expected" in message({"name": 7})
    assert "spans.startTimeUnixNano: 'soon' is not a whole number" in message({"startTimeUnixNano": "soon"})
    assert "resourceSpans[0].scopeSpans[1].spans[1]: repeated field attributes" in message({"attributes": 1})


def examples() -> list[tuple[str, Message]]:
    trace_id = secrets.token_bytes(16)
    one = span(trace_id, parent=b"12345678", attributes={"a": 1, "b": [1, "x"], "c": b"\0"})
    one.events.add(name="event")
    request, found = metrics("fuzzed")
    found.add(name="h").histogram.data_points.add(bucket_counts=[1, 2], explicit_bounds=[1], count=3)
    found.add(name="e").exponential_histogram.data_points.add(scale=3, zero_count=1, count=1)
    found.add(name="s").summary.data_points.add(count=1, sum=2)
    found.add(name="g").gauge.data_points.add(as_double=1).exemplars.add(trace_id=trace_id, span_id=b"12345678")
    return [("traces", spans("fuzzed", one)), ("logs", logs("fuzzed", {"body": "x"})), ("metrics", request)]


def mutated(rng: random.Random, body: bytes) -> bytes:
    """Change a body as broken senders and networks do: cut it, flip bits, claim lengths, repeat, nest."""
    at = rng.randrange(len(body))
    return rng.choice(
        [
            body[:at],
            body[:at] + bytes([body[at] ^ 1 << rng.randrange(8)]) + body[at + 1 :],
            body[:at] + rng.choice([b"\xff\xff\xff\xff\x0f", b"\xff" * 9 + b"\x01", b"\x80" * 40]) + body[at:],
            body[:at] + body[at:] * rng.randrange(1, 50),
            body[:at] + rng.choice([b"[", b'{"a":', b"\x0a\x7f", b"-1e999", b"null", b'"\\ud800"']) * 300 + body[at:],
            rng.randbytes(at),
        ]
    )


def test_no_mutated_export_gives_a_server_error(launch: Launch) -> None:
    backend = launch()
    rng = random.Random(7)
    as_json = {signal: json.dumps(json_format.MessageToDict(message)).encode() for signal, message in examples()}
    with others_are_answered(backend, within=3), requests.Session() as session:
        for _ in range(300):
            signal, message = rng.choice(examples())
            is_json = rng.random() < 0.5
            body = mutated(rng, as_json[signal] if is_json else message.SerializeToString())
            url = f"http://127.0.0.1:{backend.http_port}/v1/{signal}"
            answer = session.post(url, body, headers=JSON if is_json else PROTOBUF, timeout=10)
            assert answer.status_code in (200, 400, 413)
            if answer.status_code != 200:
                assert answer.json()["message"] if is_json else Status.FromString(answer.content).message
    assert "Traceback" not in (backend.data / "stderr").read_text()


def test_a_mutation_is_not_a_valid_export_by_chance() -> None:
    rng = random.Random(7)
    body = examples()[0][1].SerializeToString()
    assert sum(mutated(rng, body) != body for _ in range(100)) == 100
    assert ExportTraceServiceRequest.FromString(body).resource_spans
