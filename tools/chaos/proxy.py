"""An HTTP proxy before one dependency, which loses, delays, doubles and garbles what passes through it."""

import random
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tools.chaos.kinds import Kind

UPSTREAM_SECONDS = 60
LARGEST = 32
"""Threads for what arrives later than the connection that it came on."""
HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})
GATEWAY = (401, 404, 500, 502, 503, 504)
"""What a gateway in the middle of a deployment may answer, without a problem body."""


@dataclass
class Armed:
    """A fault that waits for its request. HANG meets every request until it is over, any other just one."""

    kind: Kind
    seconds: float
    met: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class Request:
    """One request, whole, so that it can be delivered more than once."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Proxy:
    """A proxy on a free port; `arm` prepares a fault, `close` ends it once what is late has arrived."""

    def __init__(self, upstream_port: int, chance: random.Random) -> None:
        self.upstream_port = upstream_port
        self.chance = chance
        self._armed: deque[Armed] = deque()
        self._hanging: Armed | None = None
        self._lock = threading.Lock()
        self._late = ThreadPoolExecutor(LARGEST)

        class Handler(_Handler):
            proxy = self

        self._server = _Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def url(self) -> str:
        """Return where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def arm(self, fault: Armed) -> None:
        """Let the next request meet this fault."""
        with self._lock:
            self._armed.append(fault)

    def disarm(self, fault: Armed) -> None:
        """Forget a fault that no request has met."""
        with self._lock, suppress(ValueError):
            self._armed.remove(fault)

    def next_fault(self) -> Armed | None:
        """Return the fault that this request meets, if any."""
        with self._lock:
            if self._hanging is not None and not self._hanging.over.is_set():
                return self._hanging
            fault = self._armed.popleft() if self._armed else None
            if fault is not None:
                fault.met.set()
                self._hanging = fault if fault.kind is Kind.HANG else None
            return fault

    def deliver(self, request: Request) -> bytes:
        """Deliver the request and return the whole answer; raise OSError or HTTPException if there is none."""
        upstream = HTTPConnection("127.0.0.1", self.upstream_port, timeout=UPSTREAM_SECONDS)
        try:
            upstream.request(request.method, request.path, request.body or None, request.headers)
            response = upstream.getresponse()
            body = response.read()
        finally:
            upstream.close()
        kept = [(name, value) for name, value in response.getheaders() if name.lower() not in HOP_BY_HOP]
        return answer(response.status, response.reason, [*kept, ("Content-Length", str(len(body)))], body)

    def deliver_later(self, request: Request, seconds: float, then: Callable[[], None]) -> None:
        """Deliver the request again after some seconds, whatever comes of it; then call `then`."""

        def run() -> None:
            time.sleep(seconds)
            with suppress(OSError, HTTPException):
                self.deliver(request)
            then()

        self._late.submit(run)

    def deliver_twice(self, request: Request) -> bytes:
        """Deliver the request twice at the same moment and return either answer."""
        answers: list[Future[bytes]] = [self._late.submit(self.deliver, request) for _ in range(2)]
        results = []
        for one in answers:
            with suppress(OSError, HTTPException):
                results.append(one.result())
        if not results:
            raise ConnectionResetError("neither copy was answered")
        return self.chance.choice(results)

    def close(self) -> None:
        """Stop once everything that is late has arrived."""
        self._late.shutdown()
        self._server.shutdown()
        self._server.server_close()


def answer(status: int, reason: str, headers: list[tuple[str, str]], body: bytes) -> bytes:
    """Return the bytes of an HTTP/1.1 answer."""
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, _request: object, _address: object) -> None:
        """Write nothing: a client that disconnects is one of the faults."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy

    def log_message(self, *_arguments: object) -> None:
        """Write nothing: the services' own logs say what happened."""

    def _handle(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
        request = Request(self.command, self.path, headers, self.rfile.read(length))
        fault = self.proxy.next_fault()
        try:
            if fault is None:
                self.wfile.write(self.proxy.deliver(request))
            else:
                self._meet(fault, request)
        except (OSError, HTTPException):
            self._reset()

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _handle

    def _meet(self, fault: Armed, request: Request) -> None:
        later = False
        proxy, over = self.proxy, fault.over.set
        try:
            match fault.kind:
                case Kind.DROP_REQUEST:
                    self._reset()
                case Kind.DROP_ANSWER:
                    proxy.deliver(request)
                    self._reset()
                case Kind.LATE_REQUEST:
                    later = True
                    proxy.deliver_later(request, fault.seconds, over)
                    self._reset()
                case Kind.DELAY_ANSWER:
                    whole = proxy.deliver(request)
                    time.sleep(fault.seconds)
                    self.wfile.write(whole)
                case Kind.DUPLICATE if fault.seconds > 1:
                    later = True
                    proxy.deliver_later(request, fault.seconds, over)
                    self.wfile.write(proxy.deliver(request))
                case Kind.DUPLICATE:
                    self.wfile.write(proxy.deliver_twice(request))
                case Kind.RESET:
                    whole = proxy.deliver(request)
                    self.wfile.write(whole[: proxy.chance.randrange(1, len(whole))])
                    self._reset()
                case Kind.HANG:
                    self._hang(fault, request)
                case Kind.DRIP:
                    self._drip(proxy.deliver(request), fault.seconds)
                case Kind.GATEWAY:
                    self._answer_as_a_gateway(request)
                case other:
                    raise ValueError(f"{other} is not done to a request")
        finally:
            # A hang is over when its time is over, which its injector knows.
            if not later and fault.kind is not Kind.HANG:
                over()

    def _hang(self, fault: Armed, request: Request) -> None:
        if self.proxy.chance.random() < 0.5:
            with suppress(OSError, HTTPException):
                self.proxy.deliver(request)
        fault.over.wait()
        self._reset()

    def _drip(self, whole: bytes, seconds: float) -> None:
        ends = time.monotonic() + seconds
        for position in range(len(whole)):
            if time.monotonic() > ends:
                break
            self.wfile.write(whole[position : position + 1])
            time.sleep(0.5)
        self._reset()

    def _answer_as_a_gateway(self, request: Request) -> None:
        if self.proxy.chance.random() < 0.5:
            with suppress(OSError, HTTPException):
                self.proxy.deliver(request)
        body = b"<html><body>The gateway is being deployed.</body></html>"
        headers = [("Content-Type", "text/html"), ("Content-Length", str(len(body)))]
        self.wfile.write(answer(self.proxy.chance.choice(GATEWAY), "Gateway", headers, body))

    def _reset(self) -> None:
        """Close the connection with RST, as a process that was killed does."""
        self.close_connection = True
        with suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
