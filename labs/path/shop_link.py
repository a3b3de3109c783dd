"""The way from gift-service to order-service while a check runs: notes the trace context of each call, can be slow."""

import http.client
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit

TIMEOUT = 60
OF_ONE_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "content-length"}


@dataclass(frozen=True)
class Call:
    """One call: the context that gift-service sent, and the trace in which order-service processed it, if any."""

    traceparent: str
    traceresponse: str

    @property
    def sent_trace(self) -> str:
        """The trace id that gift-service sent, else nothing."""
        return _trace_id(self.traceparent)

    @property
    def order_trace(self) -> str:
        """The trace id of order-service's spans, else nothing."""
        return _trace_id(self.traceresponse)


@dataclass
class ShopLink:
    """The calls so far, and the seconds that each new one is held up."""

    url: str = ""
    delay: float = 0.0
    calls: list[Call] = field(default_factory=list)


@contextmanager
def linked(shop: str) -> Iterator[ShopLink]:
    """Pass on what comes on a free port to the base URL `shop`, until the block ends."""
    link = ShopLink()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(link, shop))
    link.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield link
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(link: ShopLink, shop: str) -> type[BaseHTTPRequestHandler]:
    target = urlsplit(shop)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            time.sleep(link.delay)
            connection = http.client.HTTPConnection(target.hostname or "", target.port, timeout=TIMEOUT)
            try:
                connection.request("GET", target.path + self.path, headers=dict(self.headers))
                response = connection.getresponse()
                status, headers, body = response.status, response.getheaders(), response.read()
            except OSError:
                status, headers, body = 502, [], b""
            finally:
                connection.close()
            given = {name.lower(): text for name, text in headers}
            link.calls.append(Call(self.headers.get("traceparent", ""), given.get("traceresponse", "")))
            self.send_response(status)
            for name, text in headers:
                if name.lower() not in OF_ONE_CONNECTION:
                    self.send_header(name, text)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def _trace_id(header: str) -> str:
    """Return the trace id of a `traceparent` or `traceresponse` header, or nothing."""
    parts = header.split("-")
    return parts[1] if len(parts) == 4 and len(parts[1]) == 32 else ""
