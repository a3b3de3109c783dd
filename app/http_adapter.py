"""A requests adapter that bounds a whole exchange: one deadline from the connect to the last byte, one size limit.

A timeout of requests, urllib3 and http.client is the time for one read or write, so a server that sends a byte now and
then holds its client indefinitely: https://requests.readthedocs.io/en/latest/user/advanced/#timeouts
"""

import http.client
import io
import queue
import socket
import time
from collections.abc import Mapping
from threading import Thread
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPResponse, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    InvalidHeader,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.util.connection import allowed_gai_family, create_connection
from urllib3.util.response import assert_header_parsing

from .dependency_errors import printable


class UnreadableResponse(requests.RequestException):
    """A response arrived, but it is larger than the limit or cannot be decoded."""


class BoundedAdapter(HTTPAdapter):
    """Reads the body within `send`, so that the span of the call covers it; at most `max_body` decoded bytes.

    Pass `urllib3.Timeout(total=..., connect=...)` as the timeout: `total` is the deadline of the exchange, `connect`
    that of connecting and sending. A connection whose response was not read to its end is closed. Errors hold no more
    than dependency_errors.MAX_TEXT characters of the response.
    """

    def __init__(self, *, pool_size: int, max_body: int) -> None:
        self._max_body = max_body
        super().__init__(pool_connections=1, pool_maxsize=pool_size)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Have the pools make connections with a deadline."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Return the response with its body. Raises requests' ConnectionError or Timeout, or UnreadableResponse."""
        try:
            response = super().send(request, stream, timeout, verify, cert, proxies)
            response.raw = io.BytesIO(self._read(response.raw))
        except (requests.ConnectionError, requests.Timeout) as error:
            raise type(error)(printable(_reason(error)), request=request) from None
        except ReadTimeoutError as error:
            raise requests.ReadTimeout(printable(str(error)), request=request) from None
        except (ProtocolError, SSLError) as error:
            raise requests.ConnectionError(printable(str(error)), request=request) from None
        except Exception as error:
            raise UnreadableResponse(printable(f"{type(error).__name__}: {error}"), request=request) from None
        return response

    def _read(self, raw: HTTPResponse) -> bytes:
        try:
            if raw.status < 200:  # http.client takes it for the whole response; the next request must not get the rest
                raise ValueError(f"status {raw.status} is not final")
            body = raw.read(self._max_body + 1, decode_content=True)
            if len(body) > self._max_body:
                raise ValueError(f"the body has more than {self._max_body:,} bytes")
        except BaseException:
            raw.close()
            raise
        return body


def _reason(error: requests.RequestException) -> str:
    """Return what went wrong without the URL, whose query may hold a secret and which MaxRetryError quotes."""
    return str(getattr(error.args[0], "reason", error) if error.args else error)


def _remaining(deadline: float) -> float:
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise TimeoutError("timed out")
    return remaining


class _DeadlineReader(io.RawIOBase):
    """Gives each read of a socket the time that remains until `deadline`."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, deadline: float) -> None:
        self._raw = raw
        self._sock = sock
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(_remaining(self._deadline))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _DeadlineResponse(http.client.HTTPResponse):
    """Takes the timeout of its socket for the time until the last byte: of interim responses, headers and body."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        timeout = sock.gettimeout()
        if timeout is not None:
            raw = self.fp.detach()
            self.fp = io.BufferedReader(_DeadlineReader(raw, sock, time.monotonic() + timeout))

    def begin(self) -> None:
        """Read status line and headers; malformed ones, which urllib3 would log in full, are refused."""
        super().begin()
        assert_header_parsing(self.msg)
        if "Content-Length" in self.msg and self.length is None and not self.chunked:
            raise InvalidHeader("Content-Length is not a number")


class _HTTPConnection(HTTPConnection):
    """Its `timeout` is the time for all that is done until it is set again, not for each read or write.

    urllib3 sets it twice in each request: before it connects and sends, and before it reads.
    """

    response_class = _DeadlineResponse
    _deadline: float | None = None

    @property
    def timeout(self) -> float | None:
        return None if self._deadline is None else _remaining(self._deadline)

    @timeout.setter
    def timeout(self, seconds: float | None) -> None:
        self._deadline = None if seconds is None else time.monotonic() + seconds

    def _new_conn(self) -> socket.socket:
        """Connect to one address after the other; urllib3 gives each the whole time, and the look-up no limit."""
        error: Exception | None = None
        try:
            addresses = _look_up(self._dns_host, self.port, self.timeout)
            for tried, address in enumerate(addresses):
                share = self.timeout and self.timeout / (len(addresses) - tried)
                try:
                    sock = create_connection((address, self.port), share, self.source_address, self.socket_options)
                except OSError as refused:
                    error = refused
                else:
                    try:
                        sock.settimeout(self.timeout)  # for the TLS handshake
                    except TimeoutError:  # the deadline passed while it connected
                        sock.close()
                        raise
                    return sock
        except socket.gaierror as failure:
            raise NameResolutionError(self.host, self, failure) from failure
        except TimeoutError as late:
            error = late
        if isinstance(error, TimeoutError):
            raise ConnectTimeoutError(self, f"connecting to {self.host} timed out") from error
        raise NewConnectionError(self, f"cannot connect: {error}") from error

    def send(self, data: Any) -> None:
        """Send all of these bytes; `sendall` of a TLS socket gives each record the whole time."""
        if self.sock is None:
            self.connect()
        left = memoryview(data)
        while left:
            self.sock.settimeout(self.timeout)
            left = left[self.sock.send(left) :]


class _HTTPSConnection(_HTTPConnection, HTTPSConnection):
    """The same over TLS."""


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


def _look_up(host: str, port: int, timeout: float | None) -> list[str]:
    """Return the addresses of `host`. Raises TimeoutError or gaierror.

    getaddrinfo() takes no timeout and waits 10 s and more for a name server that is unavailable, so it runs in a
    thread that is left behind.
    """
    results: queue.SimpleQueue[list[str] | OSError] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            found = socket.getaddrinfo(host.strip("[]"), port, allowed_gai_family(), socket.SOCK_STREAM)
            results.put([str(address[0]) for *_, address in found])
        except (OSError, UnicodeError) as error:
            results.put(error if isinstance(error, OSError) else socket.gaierror(str(error)))

    Thread(target=look_up, name="look-up", daemon=True).start()
    try:
        result = results.get(timeout=timeout)
    except queue.Empty:
        raise TimeoutError(f"the look-up of {host} timed out") from None
    if isinstance(result, OSError):
        raise result
    return result
