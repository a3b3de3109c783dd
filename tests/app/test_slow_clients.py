"""A client that is slow, silent or gone costs a connection for some seconds, and nobody else anything."""

import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from app.worker import REQUEST_TIMEOUT
from tests.app.conftest import PROBE
from tests.support.raw_http import connect, exchange, read
from tests.support.service_process import ServiceProcess, running_service

HEAD = b"POST /things HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
NO_BODY = HEAD + b"Content-Length: 100\r\n\r\n"
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
THING = b'{"name": "tea"}'


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, module_database_url: str) -> Iterator[ServiceProcess]:
    """A probe with two threads, so that it is soon busy."""
    folder = tmp_path_factory.mktemp("slow")
    settings = {"DATABASE_URL": module_database_url, "THREADS": "2", "OTEL_SDK_DISABLED": "true"}
    with running_service(PROBE, folder, **settings) as running:
        yield running


def test_clients_that_never_finish_a_request_hold_up_nobody_and_are_told_at_the_deadline(
    service: ServiceProcess,
) -> None:
    with ExitStack() as stack:
        start = time.monotonic()
        slow = [stack.enter_context(connect(service.port)) for _ in range(60)]
        for n, sock in enumerate(slow):
            sock.sendall((HEAD, NO_BODY, HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{")[n % 3])
        assert exchange(service.port, HEALTH).status == 200
        assert exchange(service.port, HEAD + b"Content-Length: 15\r\n\r\n" + THING).status == 200
        assert time.monotonic() - start < REQUEST_TIMEOUT, "a request waited for the slow ones"
        while time.monotonic() - start < REQUEST_TIMEOUT / 2:  # a byte now and then gives no new deadline
            time.sleep(0.5)
            slow[0].send(b"x")
        for sock in slow:
            answer = read(sock, "POST")
            assert (answer.status, answer.headers["Connection"]) == (408, "close")
            assert answer.problem["detail"].startswith("The request was not complete")
        assert time.monotonic() - start >= REQUEST_TIMEOUT - 1


def test_a_connection_that_is_old_ends_with_a_response_that_says_so(tmp_path: Path, module_database_url: str) -> None:
    settings = {"DATABASE_URL": module_database_url, "MAX_CONNECTION_AGE": "2", "OTEL_SDK_DISABLED": "true"}
    with running_service(PROBE, tmp_path, **settings) as running, connect(running.port) as sock:
        kept = 0
        while True:
            sock.sendall(HEALTH)
            answer = read(sock)
            assert answer.status == 200
            if answer.headers["Connection"] == "close":
                break
            kept += 1
            time.sleep(0.05)
        assert sock.recv(1) == b"", "the connection is closed"
        assert kept > 0


def test_silent_connections_over_the_limit_make_room_for_a_new_one(service: ServiceProcess) -> None:
    with ExitStack() as stack:
        silent = [stack.enter_context(connect(service.port)) for _ in range(1100)]
        assert exchange(service.port, HEALTH).status == 200
        assert silent[0].recv(1) == b"", "the oldest connection was closed"


def test_health_is_answered_while_every_thread_is_busy(service: ServiceProcess) -> None:
    with ThreadPoolExecutor(3) as threads:
        busy = [threads.submit(service.get, "/sleep?seconds=3") for _ in range(3)]
        time.sleep(0.5)
        for path in ("/healthz", "/readyz"):
            assert service.get(path).status_code == 200
        assert not any(request.done() for request in busy)


def test_clients_that_do_not_read_their_response_hold_no_thread(service: ServiceProcess) -> None:
    with ExitStack() as stack:
        for _ in range(8):
            sock = stack.enter_context(socket.socket())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(("127.0.0.1", service.port))
            sock.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20)
        start = time.monotonic()
        assert service.get("/sleep?seconds=0").status_code == 200
        assert time.monotonic() - start < 10


def test_a_response_is_read_whole_however_slowly(service: ServiceProcess) -> None:
    with connect(service.port) as sock:
        sock.sendall(b"GET /large?size=3000000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(0.5)
        assert read(sock).body == b'"' + b"x" * 3_000_000 + b'"\n'


def test_requests_sent_without_waiting_are_answered_in_their_order(service: ServiceProcess) -> None:
    with connect(service.port) as sock:
        sock.sendall(
            HEAD + b"Content-Length: 15\r\n\r\n" + THING + HEALTH + b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n"
        )
        sock.sendall(b"Connection: close\r\n\r\n" + HEALTH)
        answers = b"".join(iter(lambda: sock.recv(65536), b""))
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"200", b"200", b"404"], "nothing follows a closed connection"


def test_a_body_may_come_in_pieces(service: ServiceProcess) -> None:
    request = (
        HEAD
        + b"Transfer-Encoding: chunked\r\n\r\n8;a=b\r\n"
        + THING[:8]
        + b"\r\n7\r\n"
        + THING[8:]
        + b"\r\n0\r\nT: 1\r\n\r\n"
    )
    with connect(service.port) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in request:
            sock.sendall(bytes([byte]))
        assert read(sock, "POST").status == 200
        sock.sendall(HEALTH)
        assert read(sock).status == 200


def test_a_client_that_expects_100_continue_is_told_to_go_on_or_why_not(service: ServiceProcess) -> None:
    expect = b"Expect: 100-continue\r\n"
    with connect(service.port) as sock:
        sock.sendall(HEAD + expect + b"Content-Length: 15\r\n\r\n")
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(THING)
        assert read(sock, "POST").status == 200
        sock.sendall(HEAD + expect + b"Content-Length: 15\r\n\r\n" + THING)  # it did not wait: one response only
        assert sock.recv(15).startswith(b"HTTP/1.1 200")
    with connect(service.port) as sock:
        sock.sendall(HEAD + expect + b"Content-Length: 70000\r\n\r\n")
        assert sock.recv(12) == b"HTTP/1.1 413"


@pytest.mark.parametrize(("field", "kept"), [(b"", False), (b"Connection: keep-alive\r\n", True)])
def test_http_1_0_closes_unless_asked_not_to(service: ServiceProcess, field: bytes, kept: bool) -> None:
    with connect(service.port) as sock:
        sock.sendall(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n" + field + b"\r\n")
        assert read(sock).status == 200
        if kept:
            sock.sendall(HEALTH)
            assert read(sock).status == 200
        else:
            assert sock.recv(1) == b""


def test_a_stopping_worker_waits_for_requests_and_not_for_slow_clients(database_url: str, tmp_path: Path) -> None:
    with (
        running_service(PROBE, tmp_path, DATABASE_URL=database_url, OTEL_SDK_DISABLED="true") as service,
        connect(service.port) as slow,
        connect(service.port) as silent,
        ThreadPoolExecutor(1) as thread,
    ):
        slow.sendall(NO_BODY)
        answer = thread.submit(service.get, "/sleep?seconds=2")
        time.sleep(0.5)
        start = time.monotonic()
        assert service.terminate() == 0
        assert answer.result().status_code == 200
        assert read(slow, "POST").status == 408
        assert silent.recv(1) == b""
        assert time.monotonic() - start < 10, "it waited for all of graceful_timeout"
