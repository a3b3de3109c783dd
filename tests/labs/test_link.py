"""The proxy of a link, over real sockets."""

import json
import socket
import sys
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import requests

from labs.link import KINDS, Rule
from tests.support import processes
from tests.support.local_stack import free_ports
from tests.support.waiting import CAP, until

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN_ID = "00f067aa0ba902b7"
HEADERS = {"traceparent": f"00-{TRACE_ID}-{SPAN_ID}-03"}


class Server(ThreadingHTTPServer):
    """Repeats the body of each request and keeps the paths."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.paths: list[str] = []


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        assert isinstance(self.server, Server)
        self.server.paths.append(self.path)
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        if self.path == "/until-close":
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = True
        elif self.path == "/chunked":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
        else:
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    do_GET = do_HEAD = do_PUT

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    """What is behind the link."""
    with Server() as running:
        Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield running
        running.shutdown()


class Proxy:
    """A link in a process of its own."""

    def __init__(self, folder: Path, to: int, *options: str) -> None:
        (self.port,) = free_ports(1)
        self.rule_file, self.record_file = folder / "rule.json", folder / "record.jsonl"
        files = [str(self.rule_file), str(self.record_file)]
        self.process = processes.start([sys.executable, "-m", "labs.link", str(self.port), str(to), *files, *options])
        until(self.listens)
        self.session = requests.Session()
        self.session.trust_env = False

    def listens(self) -> bool:
        assert self.process.poll() is None
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def rule(self, kind: str, **fields: Any) -> None:
        self.rule_file.write_text(json.dumps({"kind": kind, **fields}))

    def put(self, path: str = "/charges/1", body: Any = b"1290", timeout: float = CAP) -> requests.Response:
        return self.session.put(f"http://127.0.0.1:{self.port}{path}", data=body, headers=HEADERS, timeout=timeout)

    @property
    def record(self) -> list[dict[str, Any]]:
        if not self.record_file.exists():
            return []
        return [json.loads(line) for line in self.record_file.read_text().splitlines()]


@pytest.fixture
def new_proxy(tmp_path: Path, server: Server) -> Iterator[Callable[..., Proxy]]:
    """Starts a link to the server."""
    started: list[Proxy] = []

    def make(*options: str) -> Proxy:
        started.append(Proxy(tmp_path, server.server_port, *options))
        return started[-1]

    yield make
    for each in started:
        each.session.close()
        each.process.kill()
        each.process.wait()


@pytest.fixture
def proxy(new_proxy: Callable[..., Proxy]) -> Proxy:
    """A link for HTTP."""
    return new_proxy()


@pytest.mark.parametrize("path", ["/charges/1", "/chunked", "/until-close"])
def test_without_a_rule_requests_and_responses_pass_in_each_transfer_coding(proxy: Proxy, path: str) -> None:
    for body in (b"1290", iter([b"12", b"90"]), b"x" * 1_000_000):
        expected = b"1290" if not isinstance(body, bytes) else body
        assert proxy.put(path, body).content == expected
    assert proxy.session.head(f"http://127.0.0.1:{proxy.port}{path}").status_code == 200
    assert proxy.record == []


def test_a_delay_is_before_the_request_arrives_and_is_written_down_with_its_trace(proxy: Proxy, server: Server) -> None:
    proxy.rule("delay", seconds=0.3, path="/charges")
    began = time.time()

    assert proxy.put().content == b"1290"

    assert time.time() - began >= 0.3
    (line,) = proxy.record
    assert began * 1e6 <= line.pop("at") <= time.time() * 1e6
    expected = {"kind": "delay", "method": "PUT", "path": "/charges/1", "trace_id": TRACE_ID, "span_id": SPAN_ID}
    assert line == expected
    assert server.paths == ["/charges/1"]


def test_a_lost_answer_is_processed_and_never_seen(proxy: Proxy, server: Server) -> None:
    proxy.rule("lose-answer")
    with pytest.raises(requests.ConnectionError, match=r"(?i)closed|aborted"):
        proxy.put()
    assert server.paths == ["/charges/1"]
    assert len(proxy.record) == 1


def test_a_reset_connection_has_not_reached_the_server(proxy: Proxy, server: Server) -> None:
    proxy.rule("reset")
    with pytest.raises(requests.ConnectionError, match=r"(?i)reset"):
        proxy.put()
    assert server.paths == []


def test_a_held_request_ends_when_the_client_gives_up_and_does_not_keep_the_proxy_from_stopping(
    proxy: Proxy, server: Server
) -> None:
    proxy.rule("hold")
    with pytest.raises(requests.Timeout):
        proxy.put(timeout=0.2)
    assert server.paths == []
    proxy.process.terminate()
    assert proxy.process.wait(CAP) == 0


def test_other_paths_and_health_checks_are_not_hurt(proxy: Proxy, server: Server) -> None:
    proxy.rule("reset", path="/charges")
    assert proxy.put("/refunds").ok
    proxy.rule("reset")
    assert proxy.put("/readyz").ok
    assert server.paths == ["/refunds", "/readyz"]
    assert proxy.record == []


def test_a_share_is_hurt_and_the_rule_can_change_while_the_proxy_runs(proxy: Proxy) -> None:
    proxy.rule("delay", share=0.5)
    for _ in range(100):
        proxy.put()
    assert 20 <= len(proxy.record) <= 80
    proxy.rule_file.unlink()
    before = len(proxy.record)
    proxy.put()
    assert len(proxy.record) == before


def test_requests_on_their_way_are_finished_when_the_proxy_stops(proxy: Proxy) -> None:
    proxy.rule("delay", seconds=0.5)
    responses: list[requests.Response] = []
    client = Thread(target=lambda: responses.append(proxy.put()))
    client.start()
    until(lambda: proxy.record)

    proxy.process.terminate()

    client.join(CAP)
    assert responses[0].content == b"1290"
    assert proxy.process.wait(CAP) == 0


def test_over_tcp_pieces_are_delayed_reset_or_held(new_proxy: Callable[..., Proxy]) -> None:
    proxy = new_proxy("--tcp")
    assert proxy.put().content == b"1290"
    proxy.rule("delay", seconds=0.3)
    began = time.monotonic()
    assert proxy.put().content == b"1290"
    assert time.monotonic() - began >= 0.3
    proxy.rule("reset")
    with pytest.raises(requests.ConnectionError):
        proxy.put()
    proxy.rule("hold")
    with pytest.raises(requests.RequestException):
        proxy.put(timeout=0.2)
    assert {line["kind"] for line in proxy.record} == {"delay", "reset", "hold"}


def test_the_kinds_are_those_that_the_command_offers() -> None:
    assert KINDS == ("delay", "reset", "lose-answer", "hold")
    assert not Rule("reset", path="/charges").hits("/healthz")
