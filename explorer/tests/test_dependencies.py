"""Databases, caches and other systems on the map: found from the calls of services, without a span of their own."""

import secrets
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from explorer.tests.conftest import SECOND, START, Backend, attributes, span, spans
from waybill_explorer.dependencies import dependency_of

CLIENT, SERVER, PRODUCER = Span.SPAN_KIND_CLIENT, Span.SPAN_KIND_SERVER, Span.SPAN_KIND_PRODUCER
ERROR = Status(code=Status.STATUS_CODE_ERROR)
HOUR = 3600 * SECOND
_hours = iter(range(10_000, 20_000))


class Shop:
    """One service's request with calls, in a time of its own."""

    def __init__(self, backend: Backend, service: str) -> None:
        self.backend, self.service, self.at = backend, service, START + next(_hours) * HOUR
        self.trace_id = secrets.token_bytes(16)
        self.root = span(self.trace_id, "POST /orders", at=self.at, ms=100, kind=SERVER)

    def calls(self, name: str, parent: bytes = b"", **fields: Any) -> Span:
        return span(self.trace_id, name, parent or self.root.span_id, at=self.at, **{"kind": CLIENT, **fields})

    def send(self, *calls: Span, service: str = "") -> None:
        self.backend.send(spans(service or self.service, *calls))

    def map(self) -> dict[str, Any]:
        found: dict[str, Any] = self.backend.get("/api/map", start=self.at // 1000, end=self.at // 1000 + 20_000_000)
        return found

    def found_by(self, query: str) -> list[str]:
        found = self.backend.get("/api/summaries", q=f"service={self.service} {query}")
        return [trace["traceID"] for trace in found]

    def dependencies(self) -> dict[str, dict[str, Any]]:
        return {one["name"]: one for one in self.map()["dependencies"]}


@pytest.fixture
def shop(backend: Backend, service: str) -> Shop:
    return Shop(backend, service)


def test_a_database_a_cache_and_another_system_are_nodes_with_figures_and_callers(shop: Shop) -> None:
    sql = {"db.system.name": "sqlite", "db.namespace": "/data/order.db", "db.query.text": "SELECT 1"}
    cache = {"db.system.name": "redis", "db.namespace": "0", "server.address": "10.0.0.1", "server.port": 6379}
    card = {"http.request.method": "POST", "server.address": "pay.example", "url.full": "https://pay.example/charges"}
    shop.send(
        shop.root,
        *(shop.calls("SELECT", ms=ms, attributes=sql) for ms in (2, 4, 6, 8)),
        shop.calls("GET", ms=1, attributes=cache),
        shop.calls("POST", ms=50, attributes=card | {"http.response.status_code": 503}, status=ERROR),
        shop.calls("POST", ms=50, attributes=card | {"http.response.status_code": 402}, status=ERROR),
    )

    found = shop.dependencies()

    assert set(found) == {"order.db", "10.0.0.1:6379", "pay.example"}
    order, redis, pay = (found[name] for name in ("order.db", "10.0.0.1:6379", "pay.example"))
    assert [(one["kind"], one["system"]) for one in (order, redis, pay)] == [
        ("database", "sqlite"),
        ("cache", "redis"),
        ("http", "http"),
    ]
    assert (order["count"], order["rate"], order["p50"], order["p95"]) == (4, 0.2, 6000, 8000)
    assert (pay["errors"], pay["refused"]) == (0.5, 0.5)
    (caller,) = order["callers"]
    assert (caller["service"], caller["count"]) == (shop.service, 4)
    assert order["query"] == "kind:client db.namespace=/data/order.db"
    assert redis["query"] == "kind:client db.system.name=redis server.address=10.0.0.1 server.port=6379"
    assert pay["query"] == "kind:client server.address=pay.example"


def test_a_call_that_a_service_answered_is_no_dependency_nor_one_that_did_not_reach_it(shop: Shop) -> None:
    there = {"http.request.method": "GET", "server.address": "stock", "server.port": 8081}
    answered, lost = shop.calls("GET", attributes=there), shop.calls("GET", attributes=there, status=ERROR)
    shop.send(shop.root, answered, lost)
    shop.send(shop.calls("GET /items", answered.span_id, kind=SERVER), service=f"{shop.service}-stock")

    found = shop.map()

    assert found["dependencies"] == []
    assert [call["child"] for call in found["calls"]] == [f"{shop.service}-stock"]


def test_of_clients_inside_each_other_the_outermost_is_the_call(shop: Shop) -> None:
    values = {"db.system.name": "postgresql", "db.namespace": "shop"}
    outer = shop.calls("SELECT shop", ms=9, attributes=values)
    driver = shop.calls("SELECT", outer.span_id, ms=7, attributes=values)
    library = shop.calls("GET", attributes={"http.request.method": "GET", "server.address": "stock"})
    socket = shop.calls("GET", library.span_id, attributes={"http.request.method": "GET", "server.address": "stock"})
    shop.send(shop.root, outer, driver, library, socket)
    shop.send(shop.calls("GET /items", socket.span_id, kind=SERVER), service=f"{shop.service}-stock")

    found = shop.dependencies()

    assert {name: (one["count"], one["p50"]) for name, one in found.items()} == {"shop": (1, 9000)}


def test_a_client_and_a_server_with_one_id_are_a_call_of_a_service(shop: Shop) -> None:
    call = shop.calls("GET", attributes={"http.method": "GET", "net.peer.name": "stock"})
    shop.send(shop.root, call)
    shop.send(shop.calls("GET /items", span_id=call.span_id, kind=SERVER), service=f"{shop.service}-stock")

    assert shop.dependencies() == {}


def test_a_dependency_that_is_called_by_two_services_is_one_node(shop: Shop) -> None:
    values = {"db.system.name": "valkey", "server.address": "cache", "server.port": 6379}
    other = f"{shop.service}-other"
    shop.send(shop.root, shop.calls("GET", attributes=values))
    inner = shop.calls("work", kind=SERVER)
    shop.send(inner, shop.calls("SET", inner.span_id, attributes=values), service=other)

    (node,) = shop.map()["dependencies"]

    assert (node["count"], [caller["service"] for caller in node["callers"]]) == (2, [shop.service, other])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"service.peer.name": "card-processor"}, ("other", "", "card-processor")),
        ({"peer.service": "auth", "http.method": "GET", "net.peer.name": "10.1.1.1"}, ("http", "http", "auth")),
        ({"http.method": "GET", "http.url": "http://api.example:8443/x"}, ("http", "http", "api.example:8443")),
        ({"db.system": "mysql", "db.name": "shop"}, ("database", "mysql", "shop")),
        ({"db.system.name": "memcached"}, ("cache", "memcached", "memcached")),
        ({"rpc.system": "grpc", "server.address": "rates", "server.port": 50051}, ("rpc", "grpc", "rates:50051")),
        ({"messaging.system": "kafka", "messaging.destination.name": "orders"}, ("messaging", "kafka", "orders")),
        ({"http.url": "http://[bad", "http.method": "GET"}, None),
        ({"order.id": "1"}, None),
    ],
)
def test_a_dependency_is_named_by_what_is_most_telling(
    values: dict[str, Any], expected: tuple[str, str, str] | None
) -> None:
    found = dependency_of(Span(attributes=attributes(values)))
    assert (found and (found.kind, found.system, found.name)) == expected


def test_the_search_for_a_dependency_finds_its_calls_and_not_those_of_others_on_its_host(shop: Shop) -> None:
    here = {"server.address": "127.0.0.1", "server.port": 6379}
    by_url = {"http.method": "GET", "http.url": "http://rates.example:81/eur"}
    shop.send(
        shop.root,
        shop.calls("GET", attributes=here | {"db.system.name": "redis"}),
        shop.calls("GET", attributes=by_url),
        shop.calls("send", kind=PRODUCER, attributes={"messaging.system": "kafka", "messaging.destination.name": "o"}),
    )
    other = Shop(shop.backend, shop.service)
    other.at = shop.at
    other.send(other.root, other.calls("GET", attributes=here | {"server.port": 8081, "http.request.method": "GET"}))

    found = shop.dependencies()

    assert set(found) == {"127.0.0.1:6379", "127.0.0.1:8081", "rates.example:81", "o"}
    ids = {name: shop.found_by(one["query"]) for name, one in found.items()}
    assert ids.pop("127.0.0.1:8081") == [other.trace_id.hex()]
    assert all(found == [shop.trace_id.hex()] for found in ids.values())


def test_a_message_that_is_sent_to_a_queue_is_a_call_of_it(shop: Shop) -> None:
    values = {"messaging.system": "kafka", "messaging.destination.name": "orders"}
    shop.send(shop.root, shop.calls("send orders", kind=PRODUCER, attributes=values))
    assert shop.dependencies()["orders"]["kind"] == "messaging"


def test_a_call_that_is_a_step_of_a_refused_request_was_refused_and_did_not_fail(shop: Shop) -> None:
    shop.root.attributes.extend(attributes({"http.response.status_code": 402}))
    shop.send(
        shop.root,
        shop.calls("authorize_card", attributes={"service.peer.name": "card-processor"}, status=ERROR),
        shop.calls("authorize_card", attributes={"service.peer.name": "card-processor"}),
    )

    card = shop.dependencies()["card-processor"]

    assert (card["errors"], card["refused"]) == (0, 0.5)
