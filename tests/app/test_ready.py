"""The health check of a container, as Docker runs it."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from app import ready

READY = {200: b'{"status": "ready"}', 503: b'{"detail": "database is not ready. The log has the cause."}'}


class Service(BaseHTTPRequestHandler):
    """Responds to /readyz with `status`, in the way of gunicorn: HTTP/1.1, and one connection per request."""

    protocol_version = "HTTP/1.1"
    status = 200

    def do_GET(self) -> None:
        status = self.status if self.path == "/readyz" else 404
        body = READY.get(status, b"")
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Be silent."""


@pytest.fixture
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    """The port of a service that responds with the status that the test is parametrized with."""
    handler = type("ServiceOfThisTest", (Service,), {"status": request.param})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def check(port: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-IS", ready.__file__]
    return subprocess.run(command, env={"PORT": str(port)}, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("port", [200], indirect=True)
def test_the_check_succeeds_in_silence_when_the_service_is_ready(port: int) -> None:
    checked = check(port)

    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@pytest.mark.parametrize("port", [503], indirect=True)
def test_the_check_fails_with_what_the_service_says_when_it_is_not_ready(port: int) -> None:
    checked = check(port)

    assert checked.returncode == 1
    assert "database is not ready" in checked.stderr


def test_the_check_fails_when_nothing_listens() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        checked = check(silent.getsockname()[1])

    assert checked.returncode == 1
    assert "no response: " in checked.stderr
