"""Fuzz the four services: send generated requests over kept connections and hold every answer to the promises."""

import json
import socket
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.client import HTTPException, HTTPResponse
from itertools import count
from multiprocessing.synchronize import Event
from typing import Any

import psutil

from local.registry import SERVICES
from tests.support.local_stack import LocalStack
from tests.support.operations import Operation, operations
from tools.fuzz.findings import Findings
from tools.fuzz.messages import Message, Source, from_document
from tools.fuzz.probe import STALL_SECONDS, ask, probing, run_each

CONNECTIONS = 4
"""Kept connections per service."""
ANSWER_SECONDS = 20.0
FROM_DOCUMENT = 20
"""One request in so many is made from the OpenAPI document; more are mutations of these."""
PROTOCOL_REFUSALS = (501, 505)
"""RFC 9110: a transfer coding, a method or a version of HTTP that the server does not know."""
GROWTH_MB = 150
PROBLEM = "application/problem+json"


def fuzz(
    stack: LocalStack,
    number: int,
    seed: int,
    findings: Findings,
    progress: Callable[[int], Any],
    stall_seconds: float = STALL_SECONDS,
) -> None:
    """Send `number` requests to each service."""
    processes = {service: _tree(stack, service) for service in SERVICES}
    before = {service: _megabytes(tree) for service, tree in processes.items()}
    urls = {service: stack.url(service) for service in SERVICES}
    with probing(findings, stall_seconds, probe, urls), ThreadPoolExecutor(CONNECTIONS * len(SERVICES)) as pool:
        sources = {
            service: Source(service, seed, from_document(stack.url(service), number // FROM_DOCUMENT, seed))
            for service in SERVICES
        }
        done = count(1)
        work = []
        for service, source in sources.items():
            numbers = iter(range(number))
            lock = threading.Lock()
            for _ in range(CONNECTIONS):
                client = Client(service, stack.port(service), findings)
                work.append(pool.submit(_send_all, client, source, numbers, lock, lambda: progress(next(done))))
        for one in work:
            one.result()
    for service, tree in processes.items():
        died = [process for process in tree if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE]
        if died:
            findings.fail(f"{service}-service", f"{len(died)} of {len(tree)} processes did not survive")
        else:
            after = _megabytes(tree)
            findings.note(f"{service}-service: {before[service]:.0f} MB before, {after:.0f} MB after")
            if after - before[service] > GROWTH_MB:
                findings.fail(f"{service}-service", f"it grew by more than {GROWTH_MB} MB")


def probe(results: Any, stopping: Event, urls: dict[str, str]) -> None:
    """Ask each service for its health, and for one thing that it does."""
    sends = {}
    for service, url in urls.items():
        sends[f"{service}-service /healthz"] = partial(ask, "GET", f"{url}/healthz")
        honest = _honest(service).about(uuid.uuid4())  # the order of no other request
        sends[f"{service}-service {honest.template}"] = partial(
            ask, honest.method, url + honest.path, honest.body or None
        )
    run_each(results, stopping, sends)


def _honest(service: str) -> Operation:
    """Return what an honest client calls: a list if the service has one, else the last of what takes a body."""
    own = operations(service)
    lists = [operation for operation in own if operation.method == "GET" and "{" not in operation.template]
    return lists[0] if lists else [operation for operation in own if operation.body][-1]


def _send_all(client: "Client", source: Source, numbers: Any, lock: threading.Lock, done: Callable[[], Any]) -> None:
    while True:
        with lock:
            number = next(numbers, None)
        if number is None:
            client.close()
            return
        client.send(source.message(number))
        done()


class Client:
    """One connection to a service, kept as long as the service keeps it."""

    def __init__(self, service: str, port: int, findings: Findings) -> None:
        self._where = f"{service}-service"
        self._port = port
        self._findings = findings
        self._connection: socket.socket | None = None
        self._last = Message(b"", b"")
        """The request before on this connection."""

    def send(self, message: Message) -> None:
        """Send a request and check its answer."""
        kept = self._connection is not None
        try:
            answer = self._exchange(message)
        except TimeoutError:
            self.close()
            self._fail(message, f"no answer within {ANSWER_SECONDS:g} s")
            return
        except (OSError, HTTPException) as error:
            self.close()
            if kept and not message.framed:
                self.send(message)  # which of the two is to blame is not known
            elif kept:
                self._fail(self._last, "the connection was closed without `Connection: close`")
                self.send(message)
            elif message.framed:
                self._fail(message, f"no answer: {type(error).__name__}")
            else:
                self._findings.count("closed without an answer")
            return
        self._last = message
        self._check(message, *answer)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _exchange(self, message: Message) -> tuple[int, str, bytes]:
        if self._connection is None:
            self._connection = socket.create_connection(("127.0.0.1", self._port), timeout=ANSWER_SECONDS)
        connection = self._connection
        try:
            connection.sendall(message.wire)
            if not message.framed:
                connection.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            if message.framed and len(message.wire) < 50_000:
                raise  # else it was answered before it was whole
        response = HTTPResponse(connection, method=message.method.decode("latin-1") or None)
        try:
            response.begin()
            body = response.read()
        finally:
            response.close()
        if response.will_close or not message.framed:
            self.close()
        return response.status, response.getheader("Content-Type") or "", body

    def _check(self, message: Message, status: int, content_type: str, body: bytes) -> None:
        self._findings.count(f"HTTP {status}")
        if status >= 500 and status not in PROTOCOL_REFUSALS:
            self._fail(message, f"HTTP {status}")
        elif status >= 400 and message.method != b"HEAD" and (wrong := _not_a_problem(status, content_type, body)):
            self._fail(message, f"HTTP {status} is no problem document: {wrong}")

    def _fail(self, message: Message, seen: str) -> None:
        self._findings.fail(
            self._where, seen, message.mutation, message.wire, f"nc -q 5 127.0.0.1 {self._port} < {{file}}"
        )


def _not_a_problem(status: int, content_type: str, body: bytes) -> str:
    if content_type.partition(";")[0] != PROBLEM:
        return f"Content-Type {content_type}"
    try:
        problem = json.loads(body)
        return "" if problem["status"] == status and problem["title"] and problem["type"] else "its members are wrong"
    except (ValueError, KeyError, TypeError):
        return "its body is no such JSON"


def _tree(stack: LocalStack, service: str) -> list[psutil.Process]:
    master = stack.process(f"{service}-service")
    return [master, *master.children()]


def _megabytes(processes: list[psutil.Process]) -> float:
    return float(sum(process.memory_info().rss for process in processes)) / 1e6
