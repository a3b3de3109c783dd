"""An HTTP server on loopback that answers as a test tells it to."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TypeVar

Answer = tuple[int, dict[str, str], bytes]
"""Status, headers and body."""


class StubHandler(BaseHTTPRequestHandler):
    """One connection of a StubServer; `body` is that of the request."""

    protocol_version = "HTTP/1.1"
    server: "StubServer"
    body: bytes

    def do_GET(self) -> None:
        # What a client sees of a test's own bytes must not depend on when they are acknowledged.
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer = self.server.answer(self)
        if answer is None:
            self.close_connection = True
            return
        status, headers, content = answer
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_PUT = do_GET

    def log_message(self, *_: object) -> None:
        pass


class StubServer(ThreadingHTTPServer):
    """A server on a free port; a subclass gives the answers."""

    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), StubHandler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, handler: StubHandler) -> Answer | None:
        """Return the answer to a request, or None to close the connection after what was written to it here."""
        raise NotImplementedError


StubT = TypeVar("StubT", bound=StubServer)


@contextmanager
def serving(server: StubT) -> Iterator[StubT]:
    """Serve in a thread until the block ends."""
    with server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
