"""Eighteen minutes of the shop, made by hand, in which things happen that people on call are asked about.

An order every three seconds, until a moment ago. Seven minutes ago payment-service 0.2 was deployed: each of its
charges reads the fees three times, and each third one has to go to the card processor's backup, which takes two
seconds. Later notification-service fails for a while, a few cards are declined, and inventory-service fails. What of
this is an answer is a field of Incident.
"""

import secrets
import time
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from explorer.tests.conftest import SECOND, Backend, logs, span, spans

MINUTE = 60 * SECOND
MS = 1_000_000
EVERY = 3 * SECOND
BEFORE, AFTER = "0.1", "0.2"
"""The versions of payment-service."""
FEES = "SELECT rate FROM fees WHERE currency = ?"
BACKUP = "the card processor did not respond: charged by its backup"
SERVER, CLIENT = Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT
STATUS = "http.response.status_code"


@dataclass
class Incident:
    """What happened, and when (ns)."""

    deployed: int
    """When payment-service 0.2 came: a full minute."""
    failures: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """By service, in the last quarter of an hour."""
    refusals: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    reports: dict[int, str] = field(default_factory=dict)
    """The lines that inventory-service wrote outside of any request, by their time."""

    def clock(self, seconds: int = 0) -> str:
        """Return the time of day (UTC) of the deployment, or so many seconds later, as a person types it."""
        return datetime.fromtimestamp(self.deployed / SECOND + seconds, UTC).strftime("%H:%M")


class _Shop:
    """Collects the telemetry of all services."""

    def __init__(self) -> None:
        self.spans: dict[tuple[str, str], list[Span]] = defaultdict(list)
        self.lines: dict[str, list[dict[str, Any]]] = defaultdict(list)

    def span(self, service: str, one: Span, version: str = "1.0") -> Span:
        self.spans[service, version].append(one)
        return one

    def line(self, service: str, text: str, at: int, of: Span | None = None, severity: int = 9) -> None:
        context = {"trace_id": of.trace_id, "span_id": of.span_id} if of else {}
        self.lines[service].append({"body": text, "time_unix_nano": at, "severity_number": severity, **context})

    def send(self, backend: Backend) -> None:
        for (service, version), members in self.spans.items():
            resource = {"service.version": version, "service.instance.id": f"{service}-{version}"}
            backend.send(spans(service, *members, resource=resource))
        for service, records in self.lines.items():
            backend.send(logs(service, *records))


def send_incident(backend: Backend) -> Incident:
    """Store it all in a backend, and return the truth of it."""
    now = time.time_ns()
    minute = now // MINUTE * MINUTE
    incident = Incident(deployed=minute - 7 * MINUTE)
    shop = _Shop()
    for number, at in enumerate(range(minute - 18 * MINUTE, now - 5 * SECOND, EVERY)):
        _order(shop, incident, number, at)
    for number, at in enumerate(range(minute - 15 * MINUTE, now, 45 * SECOND)):
        incident.reports[at] = f"stock report {number}: {number % 4} items are below their minimum"
        shop.line("inventory-service", incident.reports[at], at)
        shop.line("order-service", "no order waits to be resumed", at)
    shop.send(backend)
    return incident


def _order(shop: _Shop, incident: Incident, number: int, at: int) -> None:
    """One order: its reservation, its charge and its message, unless one of them fails."""
    trace_id = secrets.token_bytes(16)
    since = at - incident.deployed
    is_new = since >= 0
    is_slow = is_new and since // EVERY % 3 == 0
    # Those of the last quarter of an hour stay in it however slow a test is; the earlier ones never were.
    is_unsent = 0 <= since - MINUTE < 8 * EVERY or since < -10 * MINUTE
    is_refused = 0 <= since - 3 * MINUTE < 5 * EVERY
    is_broken = 0 <= since - 4 * MINUTE < 3 * EVERY
    charge_ms = 2_000 if is_slow else 60
    total = 120 + charge_ms + number % 7
    region = ("eu", "us", "ap")[number % 3]

    def make(name: str, parent: Span | None, after: int, ms: int, **fields: Any) -> Span:
        return span(trace_id, name, parent.span_id if parent else b"", at=at + after * MS, ms=ms, **fields)

    def call(service: str, name: str, parent: Span, after: int, ms: int, status: int, version: str = "1.0") -> Span:
        """A request to another service, and what that makes of it."""
        bad = Status(code=Status.STATUS_CODE_ERROR)
        client = make("PUT", parent, after, ms, kind=CLIENT, attributes={STATUS: status}, **_error(status >= 400, bad))
        server = make(
            name, client, after + 1, ms - 2, kind=SERVER, attributes={STATUS: status}, **_error(status >= 500, bad)
        )
        shop.span("order-service", client)
        return shop.span(service, server, version)

    def count(counts: dict[str, int], *services: str) -> None:
        if since >= -8 * MINUTE:
            for service in services:
                counts[service] += 1

    root = make("POST /orders", None, 0, total, kind=SERVER, attributes={STATUS: 503 if is_broken else 201})
    if is_broken:
        root.status.CopyFrom(Status(code=Status.STATUS_CODE_ERROR, message="inventory-service is unavailable"))
    shop.span("order-service", root)
    order = shop.span("order-service", make("process_order", root, 1, total - 2, attributes={"order.region": region}))
    reserve = call("inventory-service", "PUT /reservations/<id>", order, 2, 30, 500 if is_broken else 200)
    shop.line("inventory-service", "stock reserved", at + 20 * MS, reserve)
    if is_broken:
        count(incident.failures, "inventory-service", "order-service")
        return
    version = AFTER if is_new else BEFORE
    step = shop.span("order-service", make("charge_payment", order, 40, charge_ms + 20))
    charge = call("payment-service", "PUT /charges/<id>", step, 41, charge_ms + 15, 402 if is_refused else 200, version)
    for n in range(3 if is_new else 0):
        values = {"db.system.name": "postgresql", "db.namespace": "payment", "db.query.text": FEES}
        shop.span("payment-service", make("SELECT payment", charge, 43 + n, 1, kind=CLIENT, attributes=values), version)
    card = make(
        "authorize_card", charge, 48, charge_ms, kind=CLIENT, attributes={"service.peer.name": "card-processor"}
    )
    shop.span("payment-service", card, version)
    if is_slow:
        shop.line("payment-service", BACKUP, at + 1_500 * MS, card, severity=13)
    if is_refused:
        count(incident.refusals, "payment-service")
        return
    call("notification-service", "PUT /messages/<id>", order, 70 + charge_ms, 20, 503 if is_unsent else 202)
    if is_unsent:
        count(incident.failures, "notification-service")


def _error(is_one: bool, status: Status) -> dict[str, Status]:
    return {"status": status} if is_one else {}
