"""A client's connection: bytes in until a request is complete, bytes out until its response is read."""

import re
import socket
from collections.abc import Callable
from io import BytesIO
from typing import Any

from gunicorn.http import RequestParser, errors
from gunicorn.http.body import ChunkedReader

from .config import MAX_BODY

RESPONSE_TIMEOUT = 30.0
"""Seconds a client has to read a response."""
MAX_HEAD = 32 * 1024
MAX_CHUNKED = 4 * MAX_BODY
"""Bytes of a chunked body as it is sent: one-byte chunks are six times as long as what they carry."""
MAX_UNSENT = 256 * 1024
"""Bytes of a response that wait in memory for a slow client; the thread itself sends a longer response."""
SINGLE_FIELDS = {"AUTHORIZATION", "IDEMPOTENCY-KEY", "IF-MODIFIED-SINCE", "IF-RANGE", "IF-UNMODIFIED-SINCE", "RANGE"}
"""Not lists, so a second one is an error. gunicorn refuses a second Host or Content-Type, but joins these."""

_HEAD_END = re.compile(rb"\n\r?\n")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[^\r\n]*\r\n")


class RequestTooLarge(errors.ParseException):
    """The body has more than MAX_BODY bytes."""


class RepeatedField(errors.ParseException):
    """The request has one of SINGLE_FIELDS twice."""


class Outbox:
    """What gunicorn takes for the socket: it keeps the response, which is sent when complete or over MAX_UNSENT."""

    def __init__(self, sock: socket.socket) -> None:
        self.unsent = bytearray()
        self._sock = sock

    def sendall(self, data: bytes) -> None:
        """Keep `data`; once over MAX_UNSENT, wait until the client has read all. Raises TimeoutError."""
        self.unsent += data
        if len(self.unsent) > MAX_UNSENT:
            whole, self.unsent = self.unsent, bytearray()
            self._sock.settimeout(RESPONSE_TIMEOUT)
            self._sock.sendall(whole)
            self._sock.setblocking(False)

    def flush(self) -> None:
        """Send what the client takes without waiting. Raises OSError."""
        try:
            while self.unsent:
                del self.unsent[: self._sock.send(self.unsent)]
        except BlockingIOError:
            pass

    def shutdown(self, _how: int) -> None:
        """Refuse: gunicorn would close the socket of a response that broke off, but the event loop does."""
        raise OSError

    def close(self) -> None:
        """Do nothing, for the same reason."""


class Connection:
    """A connection: what has arrived of its next request, and what is to be sent."""

    timeout: float
    old_at: float
    on_event: Callable[..., object]

    def __init__(self, cfg: Any, sock: socket.socket, client: Any, server: Any) -> None:
        sock.setblocking(False)
        self.socket, self.client, self.server = sock, client, server
        self.sock = Outbox(sock)
        # It only sees the bytes it is given, so it never waits for the socket.
        self.parser = RequestParser(cfg, (), client)
        self.received = bytearray()
        self.expect_request()

    def expect_request(self) -> None:
        """Forget the last request."""
        self.request: Any = None
        self.complete = self.keep = False
        self._searched = self._chunk = self._decoded = 0

    def parse(self) -> bool:
        """Parse what has arrived; return whether the request is complete. Raises ParseException."""
        if self.request is None and not self._parse_head():
            return False
        end = self._body_end()
        if end is None or len(self.received) < end:
            if self.request._expected_100_continue:
                self.request._expected_100_continue = False
                self.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                self.sock.flush()
            return False
        if end:
            self._give(end)
            try:
                self.request.body = BytesIO(self.request.body.read())
            except errors.NoMoreData:
                raise errors.ChunkMissingTerminator(b"") from None
        # gunicorn would send the interim response now.
        self.request._expected_100_continue = False
        self.complete = True
        return True

    def _parse_head(self) -> bool:
        end = _HEAD_END.search(self.received, self._searched)
        self._searched = max(0, len(self.received) - 2)
        if end is None and len(self.received) <= MAX_HEAD:
            return False
        self._give(end.end() if end else len(self.received))
        try:
            self.request = next(self.parser)
        except errors.NoMoreData:
            raise errors.LimitRequestHeaders("max head") from None
        names = [name for name, _ in self.request.headers if name in SINGLE_FIELDS]
        if len(names) > len(set(names)):
            raise RepeatedField
        return True

    def _body_end(self) -> int | None:
        """Return where the body ends, or None if that is unknown as yet. The parser then judges a malformed body."""
        reader = self.request.body.reader
        if not isinstance(reader, ChunkedReader):
            if reader.length > MAX_BODY:
                raise RequestTooLarge
            return int(reader.length)
        while (line_end := self.received.find(b"\n", self._chunk)) >= 0:
            chunk = _CHUNK_SIZE.match(self.received, self._chunk, line_end + 1)
            if chunk is None:
                return len(self.received)
            size = int(chunk[1], 16)
            if size == 0:
                end = self.received.find(b"\r\n\r\n", line_end - 1)
                if end < 0 and len(self.received) > MAX_CHUNKED:
                    raise RequestTooLarge
                return end + 4 if end >= 0 else None
            self._chunk = line_end + 1 + size + 2
            self._decoded += size
            if self._decoded > MAX_BODY or self._chunk > MAX_CHUNKED:
                raise RequestTooLarge
        return None if len(self.received) - self._chunk < MAX_HEAD else len(self.received)

    def _give(self, end: int) -> None:
        """Hand what was received up to `end` to the parser."""
        self.parser.unreader.unread(bytes(self.received[:end]))
        del self.received[:end]
