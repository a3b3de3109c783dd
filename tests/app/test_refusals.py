"""Whatever bytes arrive, the answer is a problem: from the application, or from the worker in front of it."""

import json
from pathlib import Path
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.glogging import Logger

from app.worker import Worker
from tests.app.conftest import PROBE
from tests.support.raw_http import connect, exchange, read
from tests.support.service_process import ServiceProcess, starting_service
from tests.support.waiting import until

HOST = b"Host: localhost\r\n"
JSON = b"Content-Type: application/json\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


def post(*fields: bytes, body: bytes = b"{}", length: bool = True) -> bytes:
    """A POST /things with more fields."""
    lengths = b"Content-Length: %d\r\n" % len(body) if length else b""
    return b"POST /things HTTP/1.1\r\n" + HOST + JSON + lengths + b"".join(fields) + b"\r\n" + body


def get(target: bytes, *fields: bytes, method: bytes = b"GET") -> bytes:
    """A request without a body."""
    return method + b" " + target + b" HTTP/1.1\r\n" + HOST + b"".join(fields) + b"\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        # the request line
        (get(b"/things/1", method=b"get"), 400),
        (get(b"/things/1", method=b"G\xc3\x8bT"), 400),
        (get(b"/" + b"x" * 5000), 414),
        (get(b"/" + b"x" * 100_000), 414),
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\n\n", 400),
        (b"\r\n\r\n", 400),
        (b"GET /things/1 HTTP/1.1\nHost: localhost\n\n", 400),
        # the target
        (get(b"//nowhere/1"), 404),
        (get(b"/things/1%00"), 404),
        (get(b"/things%2f..%2f1"), 404),
        (get(b"/%zz%"), 404),
        (get(b"/%ff%fe"), 404),
        (get(b"/../../etc/passwd"), 404),
        (get(b"/a\x00b"), 400),
        (get(b"/\xc3\xbc"), 400),
        (get(b"things"), 400),
        (get(b"*", method=b"OPTIONS"), 404),
        (get(b"localhost:443", method=b"CONNECT"), 404),
        (get(b"http://localhost/nowhere"), 404),
        (get(b"http://[localhost/nowhere"), 400),
        # the method
        (get(b"/things/1", method=b"TRACE"), 405),
        (get(b"/things/1", method=b"MADE-UP"), 405),
        (get(b"/things", method=b"DELETE"), 405),
        # the fields
        (get(b"/things/1", b"No colon\r\n"), 400),
        (get(b"/things/1", b"Sp ace: 1\r\n"), 400),
        (get(b"/things/1", b"X: a\x00b\r\n"), 400),
        (get(b"/things/1", b"X: a\r\n folded\r\n"), 400),
        (get(b"/things/1", b"X: 1\r\n" * 101), 431),
        (get(b"/things/1", b"X: " + b"x" * 9000 + b"\r\n"), 431),
        (get(b"/things/1", (b"X: " + b"x" * 8000 + b"\r\n") * 90), 431),
        (get(b"/things/1", b"Expect: a miracle\r\n"), 417),
        (get(b"/things/1", HOST), 400),
        (post(JSON), 400),
        (post(b"Idempotency-Key: a\r\n", b"Idempotency-Key: b\r\n"), 400),
        (post(b"Idempotency-Key: a\r\n", b"idempotency-key: a\r\n"), 400),
        (post(b"Authorization: a\r\n", b"Authorization: b\r\n"), 400),
        (get(b"/things/1", b"X-Forwarded-Proto: https\r\n", b"X-Forwarded-SSL: off\r\n"), 400),
        # the body
        (post(b"Content-Encoding: gzip\r\n"), 415),
        (post(b"Content-Encoding: identity, gzip\r\n"), 415),
        (post(b"Content-Length: 2\r\n"), 400),
        (post(b"Content-Length: -1\r\n", length=False), 400),
        (post(b"Content-Length: two\r\n", length=False), 400),
        (post(b"Content-Length: 70000\r\n", length=False), 413),
        (post(b"Content-Length: 99999999999999999999\r\n", length=False), 413),
        (post(CHUNKED), 400),
        (post(CHUNKED, body=b"zz\r\n{}\r\n0\r\n\r\n", length=False), 400),
        (post(CHUNKED, body=b"-2\r\n{}\r\n0\r\n\r\n", length=False), 400),
        (post(CHUNKED, body=b"2\r\n{}0\r\n\r\n", length=False), 400),
        (post(CHUNKED, body=b"2\r\n{}XX0\r\n\r\n", length=False), 400),
        (post(CHUNKED, body=b"2\n{}\n0\n\n", length=False), 400),
        (post(CHUNKED, body=b"2;=\r\n{}\r\n0\r\n\r\n", length=False), 400),
        (post(CHUNKED, body=b"2\r\n{}\r\n0\r\nbad trailer\r\n\r\n", length=False), 400),
        (post(CHUNKED, body=b"1" * 40_000, length=False), 400),
        (post(CHUNKED, body=b"20000\r\n", length=False), 413),
        (post(CHUNKED, body=b"1\r\n{\r\n" * 50_000, length=False), 413),
        (post(b"Transfer-Encoding: gzip\r\n", length=False), 400),
        (post(b"Transfer-Encoding: chunked, chunked\r\n", length=False), 400),
        (post(b"Transfer-Encoding: made-up\r\n", length=False), 501),
        (b"POST /things HTTP/1.0\r\n" + HOST + JSON + CHUNKED + b"\r\n2\r\n{}\r\n0\r\n\r\n", 400),
    ],
)
def test_what_is_wrong_is_answered_with_a_problem(probe: ServiceProcess, request_bytes: bytes, status: int) -> None:
    answer = exchange(probe.port, request_bytes)
    assert (answer.status, answer.problem["title"] != "") == (status, True)
    if status == 405:
        assert answer.headers["Allow"]
    if status in (408, 413, 414, 417, 431):
        assert answer.headers["Connection"] == "close"


def test_a_compressed_body_is_refused_with_what_is_accepted(probe: ServiceProcess) -> None:
    assert exchange(probe.port, post(b"Content-Encoding: gzip\r\n")).headers["Accept-Encoding"] == "identity"


def test_the_body_of_a_refused_upload_is_read_so_that_the_client_reads_the_refusal(probe: ServiceProcess) -> None:
    """Closing with unread bytes resets the connection, and a reset takes the response with it."""
    for _ in range(5):
        with connect(probe.port) as sock:
            sock.sendall(post(b"Content-Length: 4000000\r\n", length=False, body=b""))
            sock.sendall(b"x" * 4_000_000)
            assert read(sock, "POST").status == 413
            assert sock.recv(1) == b""


def test_a_refusal_is_one_line_of_the_log_without_what_was_sent(probe: ServiceProcess) -> None:
    exchange(probe.port, b"GET /4111111111111111 HTTP/3.1\r\nX-Card: 4111111111111111\r\n\r\n")

    def line() -> dict[str, Any] | None:
        lines = [line for line in probe.log_lines() if "InvalidHTTPVersion" in line["message"]]
        return lines[0] if lines else None

    logged = until(line)
    assert logged["level"] == "INFO"
    assert logged["message"] == "refused a request: 400 InvalidHTTPVersion"
    assert "4111111111111111" not in json.dumps(probe.log_lines())


@pytest.mark.parametrize("name", [b"SCRIPT_NAME", b"PATH_INFO", b"REMOTE_USER"])
def test_no_field_stands_for_a_variable_of_the_server(probe: ServiceProcess, name: bytes) -> None:
    assert exchange(probe.port, get(b"/healthz", name + b": /elsewhere\r\n")).status == 200


def test_head_and_options_are_answered(probe: ServiceProcess) -> None:
    assert exchange(probe.port, get(b"/healthz", method=b"HEAD")).status == 200
    head = exchange(probe.port, get(b"/nowhere", method=b"HEAD"))
    assert (head.status, head.headers["Content-Type"], head.body) == (404, "application/problem+json", b"")
    options = exchange(probe.port, get(b"/things", method=b"OPTIONS"))
    assert (options.status, "POST" in options.headers["Allow"]) == (200, True)


def test_a_path_outside_the_mount_point_is_not_found(database_url: str, tmp_path: Path) -> None:
    with starting_service(PROBE, tmp_path, DATABASE_URL=database_url, SCRIPT_NAME="/api") as service:
        until(lambda: b"Booting" in service.stdout.read_bytes())
        assert until(lambda: exchange(service.port, get(b"/api/healthz")).status == 200)
        assert exchange(service.port, get(b"/healthz")).problem["status"] == 404


def test_the_worker_refuses_to_speak_tls(tmp_path: Path) -> None:
    """It would shake hands in the event loop, and a slow client would stop all others."""
    config = Config()
    config.set("certfile", str(tmp_path / "certificate.pem"))
    with pytest.raises(SystemExit, match="Terminate TLS in a proxy"):
        Worker.check_config(config, Logger(config))
