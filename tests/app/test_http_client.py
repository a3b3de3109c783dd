"""Calls to a peer: over real sockets, to a small server that answers as a test tells it to."""

import gzip
import json
import socket
import ssl
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from requests.auth import HTTPBasicAuth
from urllib3.util.connection import create_connection

from app import circuit_breaker, http_adapter, http_client
from app.dependency_errors import (
    CircuitOpen,
    DependencyError,
    DependencyRefused,
    DependencyUnavailable,
    InvalidResponse,
)
from app.http_client import ServiceClient
from tests.support.servers import free_port
from tests.support.stub_server import Answer, StubHandler, StubServer, serving
from tests.support.waiting import until


class Greeting(BaseModel):
    """What the server says when all is well."""

    hello: str


BUSY = 8
"""Seconds that a busy machine may add; without a deadline these calls would take 16 s and more."""

JSON = {"Content-Type": "application/json"}
OK: Answer = (200, JSON, b'{"hello": "world"}')
REFUSAL = b'{"type": "urn:problem:out-of-stock", "title": "Out of stock", "status": 409, "detail": "2 left"}'


def problem(status: int, body: bytes, **headers: str) -> Answer:
    return status, {"Content-Type": "application/problem+json", **headers}, body


def greets(peer: ServiceClient) -> bool:
    """Whether the server answers in time, which on a busy machine it may do only after some attempts."""
    try:
        return peer.call("GET", "/", Greeting).hello == "world"
    except DependencyUnavailable:
        return False


def raw(*parts: bytes, pause: float = 0.0) -> Callable[[StubHandler], None]:
    """Send these bytes, and nothing else, for as long as the client listens."""
    return stream(parts, pause)


def stream(parts: Iterable[bytes], pause: float = 0.0) -> Callable[[StubHandler], None]:
    def send(handler: StubHandler) -> None:
        with suppress(OSError):
            for part in parts:
                handler.wfile.write(part)
                time.sleep(pause)

    return send


class ScriptedServer(StubServer):
    """Gives the answers of `script` one after the other, then OK; remembers when it was asked and by whom."""

    def __init__(self) -> None:
        super().__init__()
        self.script: list[Answer | Callable[[StubHandler], Answer | None]] = []
        self.asked_at: list[float] = []
        self.clients: set[Any] = set()

    def answer(self, handler: StubHandler) -> Answer | None:
        self.asked_at.append(time.monotonic())
        self.clients.add(handler.client_address)
        answer = self.script.pop(0) if self.script else OK
        return answer(handler) if callable(answer) else answer


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with serving(ScriptedServer()) as scripted:
        yield scripted


@pytest.fixture
def new_peer(server: ScriptedServer) -> Iterator[Callable[..., ServiceClient]]:
    """Make a peer, of the server unless another URL is given, and close its connections after the test."""
    peers: list[ServiceClient] = []

    def make(url: str = server.url, *, pool_size: int = 12, **seconds: Any) -> ServiceClient:
        peers.append(ServiceClient("greeter", url, pool_size=pool_size, **seconds))
        return peers[-1]

    yield make
    for peer in peers:
        peer.close()


@pytest.fixture
def peer(new_peer: Callable[..., ServiceClient]) -> ServiceClient:
    """What calls the server."""
    return new_peer()


def test_an_answer_is_given_as_the_type_that_was_asked_for(peer: ServiceClient) -> None:
    assert peer.call("GET", "/", Greeting) == Greeting(hello="world")


def test_a_clients_credentials_are_sent_with_each_call(
    new_peer: Callable[..., ServiceClient], server: ScriptedServer
) -> None:
    server.script = [lambda handler: (200, JSON, json.dumps({"hello": handler.headers["Authorization"]}).encode())]
    peer = new_peer(auth=HTTPBasicAuth("me", "pw"))
    assert peer.call("GET", "/", Greeting) == Greeting(hello="Basic bWU6cHc=")


def test_503_then_200_is_a_success_after_a_retry_for_an_idempotent_call(
    peer: ServiceClient, server: ScriptedServer
) -> None:
    server.script = [problem(503, b"")]
    peer.call("PUT", "/", Greeting, json={})
    assert len(server.asked_at) == 2


def test_a_post_that_is_not_idempotent_is_sent_once(peer: ServiceClient, server: ScriptedServer) -> None:
    server.script = [problem(503, b"")]
    with pytest.raises(DependencyUnavailable, match="greeter: POST /: HTTP 503"):
        peer.call("POST", "/", Greeting, json={})
    assert len(server.asked_at) == 1


def test_attempts_are_bounded_and_their_pauses_jittered(peer: ServiceClient, server: ScriptedServer) -> None:
    pauses = set()
    for _ in range(4):
        server.script = [problem(503, b"")] * 9
        server.asked_at.clear()
        with pytest.raises(DependencyUnavailable):
            peer.call("GET", "/", Greeting)
        assert len(server.asked_at) == http_client.ATTEMPTS
        pauses.add(round(server.asked_at[1] - server.asked_at[0], 3))
        server.script = []
        peer.call("GET", "/", Greeting)  # or the circuit breaker opens
    assert len(pauses) > 1


def test_a_peer_is_left_alone_for_as_long_as_its_retry_after_asks(peer: ServiceClient, server: ScriptedServer) -> None:
    server.script = [problem(503, b"", **{"Retry-After": "1"})]
    peer.call("GET", "/", Greeting)
    assert server.asked_at[1] - server.asked_at[0] >= 1


def test_a_peer_that_asks_for_more_time_than_the_budget_is_not_asked_again(
    peer: ServiceClient, server: ScriptedServer
) -> None:
    server.script = [problem(503, b"", **{"Retry-After": "60"})]
    with pytest.raises(DependencyUnavailable):
        peer.call("GET", "/", Greeting)
    assert len(server.asked_at) == 1


@pytest.mark.parametrize(
    "text", ["soon", "-1", "9" * 5000, "Wed, 99 Foo 99999 99:99:99 GMT", "Wed, 01 Jan 99999999 00:00:00 GMT", ""]
)
def test_a_retry_after_that_makes_no_sense_is_ignored(peer: ServiceClient, server: ScriptedServer, text: str) -> None:
    server.script = [problem(503, b"", **{"Retry-After": text})]
    assert peer.call("GET", "/", Greeting).hello == "world"


def test_a_refused_connection_is_an_unavailable_peer() -> None:
    nobody = ServiceClient("nobody", f"http://127.0.0.1:{free_port()}", pool_size=1)
    with pytest.raises(DependencyUnavailable, match="nobody: GET /: ConnectionError"):
        nobody.call("GET", "/", Greeting)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(stream(repeat(b"", 1000), 0.02), id="silent"),
        pytest.param(stream(repeat(b"HTTP/1.1 100 Continue\r\n\r\n"), 0.02), id="100 Continue"),
        pytest.param(stream(repeat(b"HTTP/1.1 100 Continue\r\n\r\n")), id="100 Continue as fast as it can"),
        pytest.param(stream([b"HTTP/1.1 200 OK\r\n", *repeat(b"X", 1000)], 0.02), id="headers"),
        pytest.param(
            stream([HEAD, b"Content-Length: 90000\r\n\r\n", *repeat(b" ", 1000)], 0.02), id="body of a known length"
        ),
        pytest.param(stream([HEAD, b"Connection: close\r\n\r\n", *repeat(b" ", 1000)], 0.02), id="body until closed"),
        pytest.param(
            stream([HEAD, b"Transfer-Encoding: chunked\r\n\r\n", *repeat(b"1\r\n \r\n", 1000)], 0.02), id="chunks"
        ),
        pytest.param(
            stream([HEAD, b"Transfer-Encoding: chunked\r\n\r\n0\r\n", *repeat(b"a: b\r\n", 1000)], 0.02), id="trailers"
        ),
    ],
)
@pytest.mark.parametrize("kept", [False, True], ids=["new connection", "kept connection"])
def test_a_peer_that_goes_on_sending_a_little_is_given_up_at_the_deadline(
    new_peer: Callable[..., ServiceClient],
    server: ScriptedServer,
    script: Callable[[StubHandler], None],
    kept: bool,
) -> None:
    peer = new_peer(attempt_timeout=0.15, call_deadline=0.25)
    if kept:
        until(lambda: greets(peer))
    server.script = [script] * 9
    began = time.monotonic()
    with pytest.raises(DependencyUnavailable):
        peer.call("GET", "/", Greeting)
    assert time.monotonic() - began < 0.25 + BUSY  # the scripts go on for 20 s
    server.script = []
    until(lambda: greets(peer))


def test_a_peer_that_drips_over_tls_is_given_up_at_the_deadline(
    new_peer: Callable[..., ServiceClient], server: ScriptedServer, tmp_path: Path
) -> None:
    certificate = tmp_path / "localhost.pem"
    certificate.write_text(CERTIFICATE)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    peer = new_peer(f"https://localhost:{server.server_port}", attempt_timeout=0.3, call_deadline=0.4)
    peer._session.verify = str(certificate)
    until(lambda: greets(peer))
    server.script = [stream([HEAD, b"Content-Length: 90000\r\n\r\n", *repeat(b" ", 1000)], 0.02)] * 9
    began = time.monotonic()
    with pytest.raises(DependencyUnavailable):  # the last attempt may be cut off at any point of the handshake
        peer.call("GET", "/", Greeting)
    assert time.monotonic() - began < 0.4 + BUSY


def test_a_tls_handshake_that_is_never_finished_is_given_up_at_the_deadline(
    new_peer: Callable[..., ServiceClient],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        peer = new_peer(url, connect_timeout=0.1, call_deadline=0.2)
        began = time.monotonic()
        with pytest.raises(DependencyUnavailable):
            peer.call("GET", "/", Greeting)
        assert time.monotonic() - began < 0.2 + BUSY


def test_a_name_that_is_not_resolved_is_given_up_at_the_deadline(
    new_peer: Callable[..., ServiceClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(*_args: object) -> list[object]:
        time.sleep(2 * BUSY)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    peer = new_peer("http://nobody.invalid", connect_timeout=0.1, call_deadline=0.15)
    began = time.monotonic()
    with pytest.raises(DependencyUnavailable, match="ConnectTimeout"):
        peer.call("GET", "/", Greeting)
    assert time.monotonic() - began < 0.15 + BUSY


def test_all_addresses_of_a_name_share_the_time_to_connect(
    new_peer: Callable[..., ServiceClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = create_connection

    waited: list[float] = []

    def time_out(address: tuple[str, int], timeout: float, *options: Any) -> socket.socket:
        if address[0].startswith("192.0.2."):
            time.sleep(timeout)
            waited.append(timeout)
            raise TimeoutError
        sock: socket.socket = real(address, timeout, *options)
        return sock

    monkeypatch.setattr(http_adapter, "create_connection", time_out)
    addresses = ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
    monkeypatch.setattr(http_adapter, "_look_up", lambda *_args: addresses)
    peer = new_peer(connect_timeout=0.3, call_deadline=0.3)
    with pytest.raises(DependencyUnavailable, match="ConnectTimeout"):
        peer.call("POST", "/", Greeting)
    assert sum(waited) < 2 * 0.3
    addresses[2] = "127.0.0.1"
    assert peer.call("POST", "/", Greeting).hello == "world"


def test_a_peer_that_does_not_read_is_given_up_at_the_deadline(new_peer: Callable[..., ServiceClient]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        peer = new_peer(url, connect_timeout=0.1, call_deadline=0.2)
        began = time.monotonic()
        with pytest.raises(DependencyUnavailable):
            peer.call("PUT", "/", Greeting, json={"padding": "x" * 30_000_000})
        assert time.monotonic() - began < 0.2 + BUSY


@pytest.mark.parametrize("encoding", ["identity", "gzip", "deflate", "gzip, gzip"])
def test_a_body_over_the_limit_is_refused_before_it_is_read_to_the_end(
    peer: ServiceClient, server: ScriptedServer, encoding: str
) -> None:
    size = 50 * http_client.MAX_BODY
    body = b" " * size
    if encoding == "deflate":
        body = zlib.compress(body)
    for _ in range(encoding.count("gzip")):
        body = gzip.compress(body)
    server.script = [(200, {**JSON, "Content-Encoding": encoding}, body)]
    tracemalloc.start()
    with pytest.raises(InvalidResponse, match="more than 1,048,576 bytes"):
        peer.call("GET", "/", Greeting)
    assert tracemalloc.get_traced_memory()[1] < 8 * http_client.MAX_BODY
    tracemalloc.stop()
    assert len(server.asked_at) == 1


def test_a_body_without_an_end_is_refused_and_its_connection_closed(
    peer: ServiceClient, server: ScriptedServer
) -> None:
    sent: list[bytes] = []
    block = b"10000\r\n" + b" " * 65536 + b"\r\n"

    def blocks() -> Iterator[bytes]:
        yield HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
        while True:
            sent.append(block)
            yield block

    server.script = [stream(blocks())]
    with pytest.raises(InvalidResponse, match="more than 1,048,576 bytes"):
        peer.call("GET", "/", Greeting)
    assert peer.call("GET", "/", Greeting).hello == "world"
    assert len(server.clients) == 2
    assert len(sent) < 1000


def test_a_body_up_to_the_limit_is_read(peer: ServiceClient, server: ScriptedServer) -> None:
    body = b'{"hello": "world"}'.ljust(http_client.MAX_BODY)
    server.script = [(200, JSON, body), (200, {**JSON, "Content-Encoding": "gzip"}, gzip.compress(body))]
    for _ in range(2):
        assert peer.call("GET", "/", Greeting).hello == "world"
    assert len(server.clients) == 1


def test_a_4xx_is_a_refusal_with_the_name_of_its_problem_and_is_not_retried(
    peer: ServiceClient, server: ScriptedServer
) -> None:
    server.script = [problem(409, REFUSAL)]
    with pytest.raises(DependencyRefused, match="greeter: 409 2 left") as refused:
        peer.call("GET", "/", Greeting)
    assert (refused.value.status, refused.value.problem) == (409, "out-of-stock")
    assert len(server.asked_at) == 1
    peer.call("GET", "/", Greeting)
    assert len(server.clients) == 1


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param((404, {"Content-Type": "text/html"}, b"<h1>404</h1>"), id="HTML"),
        pytest.param((401, {}, b""), id="nothing"),
        pytest.param((409, JSON, REFUSAL), id="no problem by its Content-Type"),
        pytest.param(problem(404, REFUSAL), id="a problem of another status"),
        pytest.param(problem(409, b'{"type": "about:blank", "status": 409}'), id="no title"),
        pytest.param(problem(409, b'{"type": [1], "title": "Conflict", "status": 409}'), id="a type that is a list"),
        pytest.param(problem(409, b"[" * 200_000), id="deep JSON"),
        pytest.param(problem(409, b'{"a": "\xff\xfe'), id="invalid UTF-8"),
        pytest.param(problem(409, b"null"), id="null"),
        *(pytest.param(problem(status, b"{}"), id=str(status)) for status in (408, 425, 429, 502, 503, 504)),
    ],
)
def test_a_4xx_that_the_peer_itself_did_not_decide_is_unavailability(
    peer: ServiceClient, server: ScriptedServer, answer: Answer
) -> None:
    """A gateway in the midst of a deployment must not have requests refused."""
    server.script = [answer]
    assert peer.call("GET", "/", Greeting).hello == "world"
    server.script = [answer]
    with pytest.raises(DependencyUnavailable, match=f"HTTP {answer[0]}"):
        peer.call("POST", "/", Greeting)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<html>", b"[]", b"{}", b'{"hello": 1}', b"\xff\xfe", b'{"hello": "wor', b"[" * 200_000,
        b'{"hello": "\\ud800"}', b'{"hello": ' + b"9" * 100_000 + b"}",
    ],
)  # fmt: skip
def test_a_body_of_another_shape_is_an_invalid_response(
    peer: ServiceClient, server: ScriptedServer, body: bytes
) -> None:
    server.script = [(200, JSON, body)]
    with pytest.raises(InvalidResponse, match="greeter: GET /: unexpected body"):
        peer.call("GET", "/", Greeting)
    assert len(server.asked_at) == 1


@pytest.mark.parametrize("content_type", ["", "text/html", "application/problem+json", "application/json5"])
def test_a_body_that_is_not_declared_as_json_is_an_invalid_response(
    peer: ServiceClient, server: ScriptedServer, content_type: str
) -> None:
    server.script = [(200, {"Content-Type": content_type}, OK[2])]
    with pytest.raises(InvalidResponse, match="unexpected Content-Type"):
        peer.call("GET", "/", Greeting)


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\n{}", id="two lengths"),
        pytest.param(b"HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 2\r\n\r\n{}", id="a header without a colon"),
        pytest.param(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", id="no gzip"),
        pytest.param(b"HTTP/1.1 103 Early Hints\r\n\r\n" + HEAD + b"Content-Length: 2\r\n\r\n{}", id="103"),
        pytest.param(b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n", id="999"),
        pytest.param(HEAD.replace(b"200", b"204") + b"\r\n", id="204"),
    ],
)
def test_a_message_that_cannot_be_read_is_an_invalid_response(
    peer: ServiceClient, server: ScriptedServer, message: bytes
) -> None:
    server.script = [raw(message)]
    with pytest.raises(InvalidResponse):
        peer.call("GET", "/", Greeting)
    assert peer.call("GET", "/", Greeting).hello == "world"


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", id="another protocol"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n{}", id="a chunk without a length"),
        pytest.param(HEAD + b"X: " + b"a" * 70_000 + b"\r\n\r\n", id="a header of 70 kB"),
        pytest.param(HEAD + b"X: a\r\n" * 200 + b"\r\n", id="200 headers"),
    ],
)
def test_a_broken_message_is_unavailability(peer: ServiceClient, server: ScriptedServer, message: bytes) -> None:
    server.script = [raw(message)]
    with pytest.raises(DependencyUnavailable):
        peer.call("POST", "/", Greeting)


@given(
    head=st.sampled_from([HEAD, HEAD.replace(b"200 OK", b"409 No"), HEAD.replace(b"200 OK", b"503 Later")]),
    headers=st.dictionaries(
        st.sampled_from(
            [b"Content-Length", b"Transfer-Encoding", b"Content-Encoding", b"Retry-After", b"Set-Cookie", b"Connection"]
        ),
        st.sampled_from([b"-1", b"2", b"chunked", b"gzip", b"br, gzip", b"close", b"9" * 5000, b"\xff"]) | st.binary(),
    ),
    body=st.binary(max_size=80) | st.sampled_from([REFUSAL, OK[2], b"2\r\n{}\r\n0\r\n\r\n"]),
)
@settings(max_examples=60, deadline=None)
def test_whatever_a_peer_sends_is_an_answer_or_a_peer_error(
    head: bytes, headers: dict[bytes, bytes], body: bytes
) -> None:
    message = head + b"".join(b"%s: %s\r\n" % header for header in headers.items()) + b"\r\n" + body
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                connection.recv(65536)
                connection.sendall(message)

        threading.Thread(target=serve, daemon=True).start()
        peer = ServiceClient("greeter", f"http://127.0.0.1:{listener.getsockname()[1]}", pool_size=1)
        try:
            said = peer.call("POST", "/", Greeting).hello
        except DependencyError as error:
            said = str(error)
        peer.close()
    assert said.isprintable()
    assert len(said) < 400


def test_an_error_holds_little_of_what_the_peer_sent_and_nothing_unprintable(
    peer: ServiceClient, server: ScriptedServer
) -> None:
    long = "\\u001b[31m\\n" + "x" * 100_000
    body = f'{{"type": "{long}", "title": "{long}", "status": 409, "detail": "{long}"}}'
    server.script = [problem(409, body.encode())]
    with pytest.raises(DependencyRefused) as refused:
        peer.call("GET", "/", Greeting)
    for text in (str(refused.value), refused.value.problem, refused.value.detail):
        assert text.isprintable()
        assert len(text) < 400


def test_a_500_is_an_invalid_response_and_is_not_retried(peer: ServiceClient, server: ScriptedServer) -> None:
    server.script = [problem(500, b"")]
    with pytest.raises(InvalidResponse, match="greeter: GET /: HTTP 500"):
        peer.call("GET", "/", Greeting)
    assert len(server.asked_at) == 1


def test_a_502_of_a_service_is_an_invalid_response_and_one_of_a_gateway_is_retried(
    peer: ServiceClient, server: ScriptedServer
) -> None:
    server.script = [(502, {"Content-Type": "text/html"}, b"<h1>Bad Gateway</h1>")]
    assert peer.call("GET", "/", Greeting).hello == "world"
    server.script = [problem(502, REFUSAL.replace(b"409", b"502"))]
    with pytest.raises(InvalidResponse, match="greeter: GET /: HTTP 502"):
        peer.call("GET", "/", Greeting)
    assert len(server.asked_at) == 3


def test_a_redirect_is_an_invalid_response_and_is_not_followed(peer: ServiceClient, server: ScriptedServer) -> None:
    server.script = [(302, {"Location": "/elsewhere"}, b'{"hello": "trap"}')]
    with pytest.raises(InvalidResponse, match="HTTP 302"):
        peer.call("GET", "/", Greeting)
    assert len(server.asked_at) == 1


def test_an_answer_that_breaks_off_is_asked_for_again_if_that_is_safe(
    peer: ServiceClient, server: ScriptedServer
) -> None:
    def half(handler: StubHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100")
        handler.end_headers()
        handler.wfile.write(b'{"hello"')

    server.script = [half]
    assert peer.call("GET", "/", Greeting).hello == "world"
    server.script = [half]
    with pytest.raises(DependencyUnavailable):
        peer.call("POST", "/", Greeting, json={})


def test_calls_one_after_the_other_share_a_connection(peer: ServiceClient, server: ScriptedServer) -> None:
    for _ in range(5):
        peer.call("GET", "/", Greeting)
    assert len(server.clients) == 1


def test_the_pool_keeps_as_many_connections_as_it_was_made_for(peer: ServiceClient, server: ScriptedServer) -> None:
    together = threading.Barrier(12)

    def wait_for_all(_handler: StubHandler) -> Answer:
        together.wait(60)
        return OK

    for _ in range(2):
        server.script = [wait_for_all] * 12
        with ThreadPoolExecutor(12) as threads:
            list(threads.map(lambda _: peer.call("GET", "/", Greeting), range(12)))
    assert len(server.clients) == 12


def test_a_kept_connection_that_the_peer_has_closed_does_not_fail_an_idempotent_call(
    peer: ServiceClient, server: ScriptedServer
) -> None:
    def answer_then_hang_up(handler: StubHandler) -> Answer:
        handler.close_connection = True  # without saying `Connection: close`
        return OK

    server.script = [answer_then_hang_up]
    peer.call("GET", "/", Greeting)
    peer.call("GET", "/", Greeting)

    def hang_up(_handler: StubHandler) -> None:
        """Close at the moment the next request arrives."""

    server.script = [hang_up]
    peer.call("PUT", "/", Greeting, json={})


def test_proxy_variables_are_for_the_outside_world(peer: ServiceClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    assert peer.call("GET", "/", Greeting).hello == "world"


@pytest.fixture
def breaker_opens_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """One call, with its three attempts, opens a circuit; for less than a second."""
    monkeypatch.setattr(circuit_breaker, "THRESHOLD", 3)
    monkeypatch.setattr(circuit_breaker, "MIN_PAUSE", 0.3)


@pytest.mark.usefixtures("breaker_opens_early")
def test_calls_to_a_peer_that_failed_repeatedly_are_not_sent_for_a_while(
    peer: ServiceClient, server: ScriptedServer
) -> None:
    server.script = [problem(503, b"")] * 3
    with pytest.raises(DependencyUnavailable, match="HTTP 503"):
        peer.call("GET", "/", Greeting)
    with pytest.raises(CircuitOpen, match=r"greeter: GET / was not sent: .* the next is sent in 0\.\d s") as unsent:
        peer.call("GET", "/", Greeting)
    assert 0 < unsent.value.retry_after <= 0.3
    assert len(server.asked_at) == 3
    time.sleep(unsent.value.retry_after)
    assert peer.call("GET", "/", Greeting).hello == "world"
    assert peer.call("GET", "/", Greeting).hello == "world"


@pytest.mark.usefixtures("breaker_opens_early")
def test_refusals_and_invalid_responses_do_not_open_the_circuit(peer: ServiceClient, server: ScriptedServer) -> None:
    server.script = [problem(409, REFUSAL), problem(500, b"")] * 4
    for _ in range(8):
        with pytest.raises((DependencyRefused, InvalidResponse)):
            peer.call("GET", "/", Greeting)
    assert len(server.asked_at) == 8


CERTIFICATE = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgq3ZYP3/zIYXxrgxU
hkmL/pskX/zUTiMc8mn3HW/Kv7WhRANCAASO6eyP3xGDBElCgkVSzjMsqtDQaaAd
+w4USkRRVej06UUrki+XngRGkYW/sGoPg7GoLh/WObrchO2uhw/AhAD3
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBpjCCAUugAwIBAgIUP8BQHSndc9EljK7Ex5URGWPpKiUwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyNTA4MjYwN1oYDzIxMjYxMTAx
MDgyNjA3WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAASO6eyP3xGDBElCgkVSzjMsqtDQaaAd+w4USkRRVej06UUrki+XngRG
kYW/sGoPg7GoLh/WObrchO2uhw/AhAD3o3kwdzAdBgNVHQ4EFgQUA0cnXKTf2Rb0
3zmCrrhyMHgAPPkwHwYDVR0jBBgwFoAUA0cnXKTf2Rb03zmCrrhyMHgAPPkwFAYD
VR0RBA0wC4IJbG9jYWxob3N0MA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0PAQH/BAQD
AgKEMAoGCCqGSM49BAMCA0kAMEYCIQCUHUVmiQush1wNXBfjGIdvRDYcQM6ZoM9t
bJLSJ62rMAIhANyfSiPL+94DEhkaLJ7cltqjJ/vSKamHJr3nJImE1uVY
-----END CERTIFICATE-----
"""
