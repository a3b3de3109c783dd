"""`python -m labs.link`: a proxy on the port of a service or a cache, which hurts some of the requests by a rule.

The rule is read from a file for each request, so it can change while the proxy runs. One line is written for each
request that was hurt, with the trace id that its `traceparent` has: what happened, independently of telemetry.
Standard library only: it is on the way of every request.
"""

import argparse
import asyncio
import json
import random
import re
import signal
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
KINDS = ("delay", "reset", "lose-answer", "hold")
TCP_KINDS = ("delay", "reset", "hold")
HEALTH = ("/healthz", "/readyz")
"""Not hurt: whether the process behind is ready has to be known."""
MAX_HEAD = 2**18
CHUNK = 2**16
TRACEPARENT = re.compile(rb"(?im)^traceparent: *[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-")
LENGTH = re.compile(rb"(?im)^content-length: *(\d+)")
CHUNKED = re.compile(rb"(?im)^transfer-encoding:.*chunked")
NO_LINGER = struct.pack("ii", 1, 0)
"""With it, close sends RST instead of FIN."""


@dataclass(frozen=True)
class Rule:
    """What happens to a share (0-1) of the requests whose path begins with `path`; a delay takes `seconds`."""

    kind: str
    share: float = 1.0
    path: str = "/"
    seconds: float = 0.0

    def hits(self, path: str) -> bool:
        """Return whether it hurts this request."""
        return path.startswith(self.path) and path not in HEALTH and random.random() < self.share  # noqa: S311


class Link:
    """Connections from clients to the port `to`, under the rule in a file."""

    def __init__(self, to: int, rule: Path, record: Path) -> None:
        self.to = to
        self.rule_file = rule
        self.record_file = record
        self.busy = 0
        """Requests on their way."""

    def rule(self) -> Rule | None:
        """Return the rule in force, or None without one."""
        with suppress(FileNotFoundError, ValueError, TypeError):
            return Rule(**json.loads(self.rule_file.read_text()))
        return None

    def record(self, rule: Rule, method: str = "", path: str = "", head: bytes = b"") -> None:
        """Write down a request that was hurt."""
        parent = TRACEPARENT.search(head)
        line = {
            "at": time.time_ns() // 1000,
            "kind": rule.kind,
            "method": method,
            "path": path,
            "trace_id": parent[1].decode() if parent else "",
            "span_id": parent[2].decode() if parent else "",
        }
        with self.record_file.open("a") as file:
            file.write(json.dumps(line) + "\n")

    async def http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on the requests of one HTTP/1.1 connection, one after the other."""
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.busy += 1
                try:
                    body = await _body(reader, head)
                    server = server or await asyncio.open_connection(HOST, self.to, limit=MAX_HEAD)
                    if not await self._exchange(head, body, (reader, writer), server):
                        break
                finally:
                    self.busy -= 1
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, TimeoutError):
            pass
        finally:
            writer.close()
            if server:
                server[1].close()

    async def _exchange(
        self,
        head: bytes,
        body: bytes,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> bool:
        """Pass on one request and its response. Return whether the connection goes on."""
        method, path = head.split(b" ", 2)[:2]
        rule = self.rule()
        if rule and rule.hits(path.decode("latin-1")):
            self.record(rule, method.decode("latin-1"), path.decode("latin-1"), head)
            if rule.kind == "delay":
                await asyncio.sleep(rule.seconds)
            elif rule.kind == "reset":
                _reset(client[1])
                return False
            elif rule.kind == "hold":
                await self._hold(client[0])
                return False
        else:
            rule = None
        server[1].write(head + body)
        await server[1].drain()
        answer = await server[0].readuntil(b"\r\n\r\n")
        without_body = method == b"HEAD" or re.match(rb"HTTP/1\.\d (1\d\d|204|304)", answer)
        to_its_end = not (without_body or LENGTH.search(answer) or CHUNKED.search(answer))
        if not without_body:
            answer += await server[0].read() if to_its_end else await _body(server[0], answer)
        if rule and rule.kind == "lose-answer":
            return False
        client[1].write(answer)
        await client[1].drain()
        return not to_its_end

    async def _hold(self, reader: asyncio.StreamReader) -> None:
        """Wait until the client gives up; that is no request on its way."""
        self.busy -= 1
        try:
            while await reader.read(CHUNK):
                pass
        finally:
            self.busy += 1

    async def tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on the bytes of one connection; a piece that a client sends counts as a request."""
        with suppress(ConnectionError):
            to_server = await asyncio.open_connection(HOST, self.to)
            try:
                async with asyncio.TaskGroup() as both:
                    back = both.create_task(_copy(to_server[0], writer))
                    await self._copy_requests(reader, writer, to_server[1])
                    back.cancel()
            except* ConnectionError:
                pass
            finally:
                to_server[1].close()
        writer.close()

    async def _copy_requests(
        self, reader: asyncio.StreamReader, client: asyncio.StreamWriter, server: asyncio.StreamWriter
    ) -> None:
        while piece := await reader.read(CHUNK):
            rule = self.rule()
            if rule and rule.hits("/"):
                self.record(rule)
                if rule.kind == "delay":
                    await asyncio.sleep(rule.seconds)
                elif rule.kind == "reset":
                    _reset(client)
                    return
                elif rule.kind == "hold":
                    await self._hold(reader)
                    return
            server.write(piece)
            await server.drain()


async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    """Read the body that a head announces, in its transfer coding."""
    if CHUNKED.search(head):
        body = b""
        while True:
            line = await reader.readuntil(b"\r\n")
            size = int(line.split(b";")[0], 16)
            body += line + await reader.readexactly(size + 2)
            if not size:
                return body
    length = LENGTH.search(head)
    return await reader.readexactly(int(length[1])) if length else b""


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while piece := await reader.read(CHUNK):
            writer.write(piece)
            await writer.drain()
    writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    writer.transport.abort()


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def serve(link: Link, port: int, *, tcp: bool) -> None:
    """Serve on a port until SIGTERM or SIGINT, then until no request is on its way."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    handler: Serve = link.tcp if tcp else link.http
    server = await asyncio.start_server(handler, HOST, port, limit=MAX_HEAD)
    await stopping.wait()
    server.close()
    while link.busy:
        await asyncio.sleep(0.05)


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description="A proxy that hurts some of the requests by a rule.")
    parser.add_argument("port", type=int, help="where it listens")
    parser.add_argument("to", type=int, help="the port of the process behind it")
    parser.add_argument("rule", type=Path, help="the file with the rule, as JSON")
    parser.add_argument("record", type=Path, help="the file that gets a line for each request that was hurt")
    parser.add_argument("--tcp", action="store_true", help="pass on bytes, not HTTP")
    given = parser.parse_args()
    asyncio.run(serve(Link(given.to, given.rule, given.record), given.port, tcp=given.tcp))


if __name__ == "__main__":
    main()
