"""HTTP byte by byte, for requests that no HTTP client would send."""

import http.client
import json
import socket
from dataclasses import dataclass
from typing import Any


@dataclass
class Answer:
    """A response, read to its end."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        """The problem it holds; fails if it is another kind of body."""
        assert self.headers["Content-Type"] == "application/problem+json", self
        problem: dict[str, Any] = json.loads(self.body)
        assert problem["status"] == self.status
        assert problem["type"]
        assert problem["title"]
        assert problem["detail"]
        return problem


def connect(port: int) -> socket.socket:
    """A connection to `port` of this machine."""
    return socket.create_connection(("127.0.0.1", port), timeout=40)


def read(sock: socket.socket, method: str = "GET") -> Answer:
    """The next response to `method` on a connection; nothing may follow it yet."""
    response = http.client.HTTPResponse(sock, method=method)
    response.begin()
    return Answer(response.status, response.headers, response.read())


def exchange(port: int, request: bytes) -> Answer:
    """The response to one request on a connection of its own."""
    with connect(port) as sock:
        sock.sendall(request)
        return read(sock, request.partition(b" ")[0].decode("latin-1"))
