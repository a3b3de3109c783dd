"""A gunicorn worker whose threads get complete requests: a slow client costs a socket, not a thread.

gunicorn's own ThreadWorker reads and writes in its threads, so as many slow clients as it has threads stop it. Here
the event loop does both without blocking, and a thread only runs the application.
"""

import socket
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from random import uniform
from selectors import EVENT_READ, EVENT_WRITE
from time import monotonic
from typing import Any

from gunicorn.http import errors
from gunicorn.http.errors import InvalidResponseHeader, InvalidResponseHeaderName  # type: ignore[attr-defined]
from gunicorn.util import http_date
from gunicorn.workers.gthread import ThreadWorker

from .config import MAX_BODY
from .connection import RESPONSE_TIMEOUT, Connection, RepeatedField, RequestTooLarge
from .problems import CONTENT_TYPE, Problem

REQUEST_TIMEOUT = 10.0
"""Seconds from the first byte of a request to its last."""
LINGER_TIMEOUT = 2.0
"""Seconds the rest of a refused request is read and discarded: a reset would lose the refusal (RFC 9112, 9.6)."""
SWEEP_INTERVAL = 0.5
"""Seconds between two searches for connections past their deadline."""
MAX_UNREAD_RESPONSES = 64
"""Responses that wait for slow clients; one more, and the oldest is given up."""
RESERVED_PATHS = ("/healthz", "/readyz")
"""Each has a thread of its own: a worker whose threads are busy is still alive."""


class RequestTimeout(errors.ParseException):
    """The request was not complete after REQUEST_TIMEOUT."""


INTERNAL_ERROR = "Internal error. The log has the cause."
BAD_CHUNKS = "The body breaks the chunked transfer coding (RFC 9112, 7.1). Correct it."
REFUSALS: dict[type[BaseException], tuple[int, str]] = {
    RequestTimeout: (408, f"The request was not complete after {REQUEST_TIMEOUT:.0f} s. Send it again, faster."),
    RequestTooLarge: (413, f"The body has more than {MAX_BODY} bytes. Send a shorter one."),
    RepeatedField: (400, "A header field that must be single occurs twice. Send it once."),
    errors.LimitRequestLine: (414, "The request line is too long. Send a shorter URL."),
    errors.LimitRequestHeaders: (431, "The header is too long. Send fewer or shorter fields."),
    errors.ExpectationFailed: (417, "The expectation is unknown. Send none, or 100-continue."),
    errors.UnsupportedTransferCoding: (501, "The transfer coding is unknown. Send none, or chunked."),
    # gunicorn raises it for a path outside the environment's SCRIPT_NAME, and nowhere else.
    errors.ConfigurationProblem: (404, "There is no resource at this path. Check the URL."),
    InvalidResponseHeader: (500, INTERNAL_ERROR),
    InvalidResponseHeaderName: (500, INTERNAL_ERROR),
    errors.InvalidChunkSize: (400, BAD_CHUNKS),
    errors.InvalidChunkExtension: (400, BAD_CHUNKS),
    errors.ChunkMissingTerminator: (400, BAD_CHUNKS),
    errors.ParseException: (400, "The request does not follow HTTP/1.1 (RFC 9112). Correct it."),
    BaseException: (500, INTERNAL_ERROR),
}


class Worker(ThreadWorker):
    """ThreadWorker with its socket handling replaced; booting, signals, the loop and WSGI are gunicorn's."""

    max_connection_age: float
    """Seconds; gunicorn_conf.py sets it."""

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        """Refuse TLS, which would block the event loop: it belongs in a proxy in front."""
        super().check_config(cfg, log)
        if cfg.is_ssl:
            raise SystemExit("This worker speaks plain HTTP/1.1. Terminate TLS in a proxy in front of it.")

    def init_process(self) -> None:
        """Make the pools of the reserved paths, then boot."""
        self.waiting: set[Connection] = set()
        self.next_sweep = 0.0
        self.latest_request = float("inf")
        self.reserved = {path: ThreadPoolExecutor(1) for path in RESERVED_PATHS}
        super().init_process()

    def accept(self, listener: socket.socket) -> None:
        """Accept a connection; at the limit of connections or files, close the one whose time is up first."""
        try:
            sock, client = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:
            self.log.warning("cannot accept a connection: %s", error)
            self._make_room()
            return
        self.nr_conns += 1
        conn = Connection(self.cfg, sock, client, listener.getsockname())
        # Not all at the same moment, if they came at the same.
        conn.old_at = monotonic() + self.max_connection_age * uniform(0.8, 1.2)  # noqa: S311
        self._wait_for_request(conn, REQUEST_TIMEOUT)
        if self.nr_conns >= self.worker_connections:
            self._make_room()

    def enqueue_req(self, conn: Any) -> None:
        """Run the application on a complete request."""
        pool = self.reserved.get(conn.request.path, self.tpool)
        future = pool.submit(self.handle, conn)
        future.add_done_callback(lambda done: self.method_queue.defer(self.finish_request, conn, done))

    def handle(self, conn: Any) -> bool:
        """Run the application, in a thread; return whether the connection can be kept."""
        if monotonic() >= conn.old_at:
            conn.request.force_close()
        try:
            keep = self.handle_request(conn.request, conn)
            conn.sock.flush()
        except (StopIteration, ConnectionError, TimeoutError):
            return False  # gunicorn has logged why it stopped; the client is gone; the client is too slow
        except BaseException as error:
            self.handle_error(conn.request, conn.sock, conn.client, error)
            return False
        return keep

    def finish_request(self, conn: Any, fs: Future[bool]) -> None:
        """Send the response, in the event loop."""
        conn.keep = fs.result()
        self._write(conn, monotonic() + RESPONSE_TIMEOUT)

    def handle_error(self, _req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Write the refusal that `exc` stands for as a problem, and one line about it to the log."""
        code, detail = next(refusal for kind, refusal in REFUSALS.items() if isinstance(exc, kind))
        status = HTTPStatus(code)
        if status >= 500 and not isinstance(exc, errors.UnsupportedTransferCoding):
            self.log.exception("cannot answer a request")
        else:
            # Not the exception's text: it repeats what the client sent.
            self.log.info("refused a request: %d %s", code, type(exc).__name__, extra={"client.address": addr[0]})
        problem = Problem(type="about:blank", title=status.phrase, status=code, detail=detail, trace_id=None)
        body = problem.model_dump_json(exclude={"errors"})
        client.sendall(
            f"HTTP/1.1 {code} {status.phrase}\r\nDate: {http_date()}\r\nContent-Type: {CONTENT_TYPE}\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()
        )

    def wait_for_and_dispatch_events(self, timeout: float | None) -> None:
        """Take gunicorn's turn of the loop, then end the connections past their deadline."""
        super().wait_for_and_dispatch_events(min(timeout or SWEEP_INTERVAL, SWEEP_INTERVAL))
        now = monotonic()
        if now < self.next_sweep:
            return
        self.next_sweep = now + SWEEP_INTERVAL
        for conn in [conn for conn in self.waiting if conn.timeout <= now]:
            if conn.on_event == self._read and (conn.received or conn.request):
                self._refuse(conn, RequestTimeout())
            else:
                self._drop(conn)

    def _cap_keepalive(self, deadline: float) -> None:
        """Expect no request after `deadline`: the worker stops."""
        self.latest_request = deadline
        for conn in self.waiting:
            conn.timeout = min(conn.timeout, deadline)

    def _wait(self, conn: Connection, events: int, on_event: Callable[[Connection], object], deadline: float) -> None:
        conn.on_event, conn.timeout = on_event, deadline
        self.waiting.add(conn)
        self.poller.register(conn.socket, events, partial(self._on_event, conn))

    def _stop_waiting(self, conn: Connection) -> None:
        self.waiting.discard(conn)
        self.poller.unregister(conn.socket)

    def _on_event(self, conn: Connection, _sock: socket.socket) -> None:
        if conn in self.waiting:  # an earlier event of the same turn can have closed it
            conn.on_event(conn)

    def _wait_for_request(self, conn: Connection, seconds: float) -> None:
        self._wait(conn, EVENT_READ, self._read, min(monotonic() + seconds, self.latest_request))

    def _receive(self, conn: Connection) -> bytes:
        """Return what arrived; drop a connection that was closed or reset."""
        try:
            data = conn.socket.recv(64 * 1024)
        except OSError:
            data = b""
        if not data:
            self._drop(conn)
        return data

    def _read(self, conn: Connection) -> None:
        data = self._receive(conn)
        if not data:
            return
        if conn.request is None and not conn.received:
            conn.timeout = min(monotonic() + REQUEST_TIMEOUT, self.latest_request)
        conn.received += data
        self._parse(conn)

    def _parse(self, conn: Connection) -> None:
        try:
            complete = conn.parse()
        except OSError:
            self._drop(conn)
        except Exception as error:
            self._refuse(conn, error)
        else:
            if complete:
                self._stop_waiting(conn)
                self.enqueue_req(conn)

    def _refuse(self, conn: Connection, error: Exception) -> None:
        self._stop_waiting(conn)
        self.handle_error(conn.request, conn.sock, conn.client, error)
        self._write(conn, monotonic() + RESPONSE_TIMEOUT)

    def _write(self, conn: Connection, deadline: float) -> None:
        """Send what the client takes now; once that is all, expect the next request or close."""
        try:
            conn.sock.flush()
        except OSError:
            self._close(conn)
            return
        if conn.sock.unsent:
            self._wait(conn, EVENT_WRITE, self._continue_writing, deadline)
            unread = [conn for conn in self.waiting if conn.on_event == self._continue_writing]
            if len(unread) > MAX_UNREAD_RESPONSES:
                self._drop(min(unread, key=lambda conn: conn.timeout))
        elif conn.keep:
            conn.expect_request()
            self._wait_for_request(conn, REQUEST_TIMEOUT if conn.received else self.cfg.keepalive)
            if conn.received:
                self._parse(conn)
        elif conn.complete:
            self._close(conn)
        else:
            self._linger(conn)

    def _continue_writing(self, conn: Connection) -> None:
        self._stop_waiting(conn)
        self._write(conn, conn.timeout)

    def _linger(self, conn: Connection) -> None:
        try:
            conn.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(conn)
        else:
            self._wait(conn, EVENT_READ, self._receive, monotonic() + LINGER_TIMEOUT)

    def _make_room(self) -> None:
        if self.waiting:
            self._drop(min(self.waiting, key=lambda conn: conn.timeout))

    def _drop(self, conn: Connection) -> None:
        self._stop_waiting(conn)
        self._close(conn)

    def _close(self, conn: Connection) -> None:
        self.nr_conns -= 1
        conn.socket.close()
