"""Calls to a peer: over real sockets, to a small server that answers as a test tells it to."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pydantic import BaseModel

from app import http_client
from app.http_client import BadAnswer, Peer, PeerRefused, PeerUnavailable
from tests.servers import free_port


class Greeting(BaseModel):
    """What the server says when all is well."""

    hello: str


Answer = tuple[int, dict[str, str], bytes]
OK: Answer = (200, {}, b'{"hello": "world"}')


def problem(status: int, body: bytes, **headers: str) -> Answer:
    return status, {"Content-Type": "application/problem+json", **headers}, body


class ScriptedServer(ThreadingHTTPServer):
    """Gives the answers of `script` one after the other, then OK; remembers when it was asked and by whom."""

    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), ScriptedHandler)
        self.script: list[Answer | Callable[[ScriptedHandler], Answer | None]] = []
        self.asked_at: list[float] = []
        self.clients: set[Any] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class ScriptedHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ScriptedServer

    def do_GET(self) -> None:
        self.server.asked_at.append(time.monotonic())
        self.server.clients.add(self.client_address)
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer = self.server.script.pop(0) if self.server.script else OK
        if callable(answer):
            answer = answer(self)
        if answer is None:
            self.close_connection = True
            return
        status, headers, body = answer
        self.send_response(status)
        for name, text in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as scripted:
        thread = threading.Thread(target=scripted.serve_forever, args=(0.05,))
        thread.start()
        yield scripted
        scripted.shutdown()
        thread.join()


@pytest.fixture
def peer(server: ScriptedServer) -> Iterator[Peer]:
    peer = Peer("greeter", server.url, pool_size=12)
    yield peer
    peer.close()


def test_an_answer_is_given_as_the_type_that_was_asked_for(peer: Peer) -> None:
    assert peer.call("GET", "/", Greeting) == Greeting(hello="world")


def test_503_then_200_is_a_success_after_a_retry_for_an_idempotent_call(peer: Peer, server: ScriptedServer) -> None:
    server.script = [problem(503, b"")]
    peer.call("POST", "/", Greeting, json={}, idempotent=True)
    assert len(server.asked_at) == 2


def test_a_post_that_is_not_idempotent_is_sent_once(peer: Peer, server: ScriptedServer) -> None:
    server.script = [problem(503, b"")]
    with pytest.raises(PeerUnavailable, match="greeter: POST /: HTTP 503"):
        peer.call("POST", "/", Greeting, json={})
    assert len(server.asked_at) == 1


def test_attempts_are_bounded_and_their_pauses_jittered(peer: Peer, server: ScriptedServer) -> None:
    pauses = set()
    for _ in range(4):
        server.script = [problem(503, b"")] * 9
        server.asked_at.clear()
        with pytest.raises(PeerUnavailable):
            peer.call("GET", "/", Greeting)
        assert len(server.asked_at) == http_client.ATTEMPTS
        pauses.add(round(server.asked_at[1] - server.asked_at[0], 3))
    assert len(pauses) > 1


def test_a_peer_is_left_alone_for_as_long_as_its_retry_after_asks(peer: Peer, server: ScriptedServer) -> None:
    server.script = [problem(503, b"", **{"Retry-After": "1"})]
    peer.call("GET", "/", Greeting)
    assert server.asked_at[1] - server.asked_at[0] >= 1


def test_a_peer_that_asks_for_more_time_than_the_budget_is_not_asked_again(peer: Peer, server: ScriptedServer) -> None:
    server.script = [problem(503, b"", **{"Retry-After": "60"})]
    with pytest.raises(PeerUnavailable):
        peer.call("GET", "/", Greeting)
    assert len(server.asked_at) == 1


def test_a_retry_after_that_makes_no_sense_is_ignored(peer: Peer, server: ScriptedServer) -> None:
    server.script = [problem(503, b"", **{"Retry-After": "soon"})]
    assert peer.call("GET", "/", Greeting).hello == "world"


def test_a_refused_connection_is_an_unavailable_peer() -> None:
    nobody = Peer("nobody", f"http://127.0.0.1:{free_port()}", pool_size=1)
    with pytest.raises(PeerUnavailable, match="nobody: GET /: ConnectionError"):
        nobody.call("GET", "/", Greeting)


def test_a_peer_that_does_not_answer_is_given_up_within_the_bound(
    peer: Peer, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_client, "TIMEOUT", (0.1, 0.2))
    monkeypatch.setattr(http_client, "BUDGET", 0.3)
    released = threading.Event()

    def silence(_handler: ScriptedHandler) -> None:
        released.wait(10)

    server.script = [silence] * 9
    began = time.monotonic()
    with pytest.raises(PeerUnavailable, match="ReadTimeout"):
        peer.call("GET", "/", Greeting)
    took = time.monotonic() - began
    released.set()
    assert len(server.asked_at) >= 1
    assert server.asked_at[-1] - began <= 0.3 + 0.1
    assert took < 0.3 + 0.1 + 0.2 + 1  # a second for a busy machine


def test_a_4xx_is_a_refusal_with_the_name_of_its_problem_and_is_not_retried(peer: Peer, server: ScriptedServer) -> None:
    server.script = [problem(409, b'{"type": "urn:problem:out-of-stock", "detail": "2 left"}')]
    with pytest.raises(PeerRefused, match="greeter: 409 2 left") as refused:
        peer.call("GET", "/", Greeting)
    assert (refused.value.status, refused.value.problem) == (409, "out-of-stock")
    assert len(server.asked_at) == 1


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'"text"', b"{}", b"\xff", b'{"type": null}', b"null"])
def test_a_4xx_without_a_problem_is_a_refusal_all_the_same(peer: Peer, server: ScriptedServer, body: bytes) -> None:
    server.script = [problem(404, body)]
    with pytest.raises(PeerRefused) as refused:
        peer.call("GET", "/", Greeting)
    assert refused.value.status == 404


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"hello": 1}', b"\xff\xfe", b'{"hello": "wor'])
def test_a_body_of_another_shape_is_a_bad_answer(peer: Peer, server: ScriptedServer, body: bytes) -> None:
    server.script = [(200, {}, body)]
    with pytest.raises(BadAnswer, match="greeter: unexpected body"):
        peer.call("GET", "/", Greeting)


def test_a_500_is_a_bad_answer_and_is_not_retried(peer: Peer, server: ScriptedServer) -> None:
    server.script = [problem(500, b"")]
    with pytest.raises(BadAnswer, match="greeter: GET /: HTTP 500"):
        peer.call("GET", "/", Greeting)
    assert len(server.asked_at) == 1


def test_a_redirect_is_a_bad_answer_and_is_not_followed(peer: Peer, server: ScriptedServer) -> None:
    server.script = [(302, {"Location": "/elsewhere"}, b'{"hello": "trap"}')]
    with pytest.raises(BadAnswer, match="HTTP 302"):
        peer.call("GET", "/", Greeting)
    assert len(server.asked_at) == 1


def test_an_answer_that_breaks_off_is_asked_for_again_if_that_is_safe(peer: Peer, server: ScriptedServer) -> None:
    def half(handler: ScriptedHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100")
        handler.end_headers()
        handler.wfile.write(b'{"hello"')

    server.script = [half]
    assert peer.call("GET", "/", Greeting).hello == "world"
    server.script = [half]
    with pytest.raises(PeerUnavailable):
        peer.call("POST", "/", Greeting, json={})


def test_calls_one_after_the_other_share_a_connection(peer: Peer, server: ScriptedServer) -> None:
    for _ in range(5):
        peer.call("GET", "/", Greeting)
    assert len(server.clients) == 1


def test_the_pool_keeps_as_many_connections_as_it_was_made_for(peer: Peer, server: ScriptedServer) -> None:
    together = threading.Barrier(12)

    def wait_for_all(_handler: ScriptedHandler) -> Answer:
        together.wait(10)
        return OK

    for _ in range(2):
        server.script = [wait_for_all] * 12
        with ThreadPoolExecutor(12) as threads:
            list(threads.map(lambda _: peer.call("GET", "/", Greeting), range(12)))
    assert len(server.clients) == 12


def test_a_kept_connection_that_the_peer_has_closed_does_not_fail_an_idempotent_call(
    peer: Peer, server: ScriptedServer
) -> None:
    def answer_then_hang_up(handler: ScriptedHandler) -> Answer:
        handler.close_connection = True  # without saying `Connection: close`
        return OK

    server.script = [answer_then_hang_up]
    peer.call("GET", "/", Greeting)
    peer.call("GET", "/", Greeting)

    def hang_up(_handler: ScriptedHandler) -> None:
        """Close at the moment the next request arrives."""

    server.script = [hang_up]
    peer.call("POST", "/", Greeting, json={}, idempotent=True)


def test_proxy_variables_are_for_the_outside_world(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    assert peer.call("GET", "/", Greeting).hello == "world"
