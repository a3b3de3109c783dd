"""What services call that sends no spans itself: databases, caches, queues, other systems over HTTP or gRPC.

A *dependency* is found from client and producer spans below which no other service has a span. A call of a service that
did not reach it, or whose spans have not arrived, is no dependency: the address is known from other calls.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from waybill_explorer.decode import plain_value
from waybill_explorer.query_text import attribute_term, contains_term

OUTGOING = (Span.SPAN_KIND_CLIENT, Span.SPAN_KIND_PRODUCER)
CACHES = frozenset({"redis", "valkey", "memcached", "dragonfly", "keydb", "hazelcast"})
SYSTEM_KEYS = {
    "db.system.name": "database",
    "db.system": "database",
    "messaging.system": "messaging",
    "rpc.system.name": "rpc",
    "rpc.system": "rpc",
    "http.request.method": "http",
    "http.method": "http",
}
"""The attribute that says by what a call is made -> the kind of dependency. The first that a span has counts."""
PEER_KEYS = ("service.peer.name", "peer.service")
ADDRESS_KEYS = ("server.address", "net.peer.name", "network.peer.address")
PORT_KEYS = ("server.port", "net.peer.port", "network.peer.port")
PLACE_KEYS = ("db.namespace", "db.name", "messaging.destination.name")
URL_KEYS = ("url.full", "http.url")
KEYS = frozenset((*SYSTEM_KEYS, *PEER_KEYS, *ADDRESS_KEYS, *PORT_KEYS, *PLACE_KEYS, *URL_KEYS))
Address = tuple[str, str]


class Dependency(NamedTuple):
    """Something that is called: `kind` is `database`, `cache`, `messaging`, `rpc`, `http` or `other`.

    `query` finds its calls, in the query language; `address` is a host and port.
    """

    kind: str
    system: str
    name: str
    address: Address
    query: str


class OutgoingCall(NamedTuple):
    """A client's span, the service that sent it, what it called, and whether another service has a span below it."""

    service: str
    span: Span
    dependency: Dependency
    is_answered: bool


def dependency_of(span: Span) -> Dependency | None:
    """Return what a client's span called, by the current or the older semantic conventions, or None if unknown."""
    values = {item.key: str(plain_value(item.value)) for item in span.attributes if item.key in KEYS}

    def first(keys: Iterable[str]) -> tuple[str, str]:
        return next(((key, values[key]) for key in keys if values.get(key)), ("", ""))

    key, system = first(SYSTEM_KEYS)
    kind = SYSTEM_KEYS.get(key, "other")
    if kind == "database" and system.lower() in CACHES:
        kind = "cache"
    if kind == "http":
        system = "http"
    is_stored = kind in ("database", "cache", "messaging")
    peer, place, url, host, port = (first(keys) for keys in (PEER_KEYS, PLACE_KEYS, URL_KEYS, ADDRESS_KEYS, PORT_KEYS))
    address = _address(url[1], host[1], port[1])
    if peer[1]:
        return Dependency(kind, system, peer[1], address, _query(kind, attribute_term(*peer)))
    if place[1] and not (kind == "cache" and place[1].isdigit()):  # Redis numbers its databases
        name = place[1].rpartition("/")[2] or place[1]
        return Dependency(kind, system, name, address, _query(kind, attribute_term(*place)))
    of_system = [attribute_term(key, system)] if is_stored else []
    if host[1]:
        # A host has more than one of them: without system and port, its other calls would be found too.
        terms = (*of_system, attribute_term(*host), *([attribute_term(*port)] if port[1] else []))
        return Dependency(kind, system, ":".join(filter(None, address)), address, _query(kind, *terms))
    if address[0]:
        name = ":".join(filter(None, address))
        return Dependency(kind, system, name, address, _query(kind, contains_term(url[0], f"//{name}/")))
    return Dependency(kind, system, system, address, _query(kind, *of_system)) if is_stored else None


def _query(kind: str, *terms: str) -> str:
    return " ".join(("(kind:client or kind:producer)" if kind == "messaging" else "kind:client", *terms))


def _address(url: str, host: str, port: str) -> Address:
    if host or not url:
        return host, port
    try:
        parts = urlsplit(url)
        return parts.hostname or "", str(parts.port or "")
    except ValueError:
        return "", ""


def outgoing_calls(spans: list[tuple[str, Span]], services_of: dict[bytes, list[str]]) -> Iterator[OutgoingCall]:
    """Yield the calls that the services of one trace make; `spans` have their services.

    Of clients inside each other (a driver below a library) the outermost is the call.
    """
    outgoing = {span.span_id: span.parent_span_id for _, span in spans if span.kind in OUTGOING}
    answered: set[bytes] = set()
    for service, span in spans:
        # A client and a server may share an id (Zipkin, B3).
        at = span.span_id if len(set(services_of[span.span_id])) > 1 else span.parent_span_id
        if at == span.parent_span_id and service in services_of.get(at, [service]):
            continue
        while at in outgoing and at not in answered:
            answered.add(at)
            at = outgoing[at]
    for service, span in spans:
        if span.kind in OUTGOING and span.parent_span_id not in outgoing:
            dependency = dependency_of(span)
            if dependency:
                yield OutgoingCall(service, span, dependency, span.span_id in answered)
