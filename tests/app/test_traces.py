"""What a request leaves behind as a trace, seen by an OTLP receiver."""

import http.client
import re
import secrets
import sqlite3
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from http import HTTPStatus
from typing import Any

import pytest
import requests
from sqlalchemy import make_url

from tests.support.service_process import ServiceProcess
from tests.support.telemetry_receiver import Receiver, Span, matching
from tests.support.waiting import until

pytestmark = pytest.mark.xdist_group("probe")


def trace_ids(response: requests.Response) -> tuple[str, str]:
    """(trace id, span id) of the traceresponse header."""
    matched = re.fullmatch(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}", response.headers["traceresponse"])
    assert matched
    return matched[1], matched[2]


def trace_of(response: requests.Response, receiver: Receiver) -> list[Span]:
    """The spans of a request, once its SERVER span (which ends last) has come."""
    trace_id, span_id = trace_ids(response)
    until(lambda: matching(receiver.spans, span_id=span_id))
    return receiver.trace(trace_id)


def server_span(response: requests.Response, receiver: Receiver) -> Span:
    (span,) = matching(trace_of(response, receiver), kind="SERVER")
    return span


def post_thing(probe: ServiceProcess, name: str) -> requests.Response:
    return requests.post(f"{probe.url}/things", json={"name": name}, timeout=60)


def test_a_request_is_a_server_span_with_stable_http_attributes(probe: ServiceProcess, receiver: Receiver) -> None:
    span = server_span(probe.get("/things/1"), receiver)
    assert (span.name, span.status) == ("GET /things/<int:thing_id>", "UNSET")
    expected = {
        "http.request.method": "GET",
        "http.route": "/things/<int:thing_id>",
        "http.response.status_code": 200,
        "url.path": "/things/1",
        "url.scheme": "http",
        "network.protocol.version": "1.1",
        "server.address": "127.0.0.1",
        "server.port": probe.port,
    }
    assert expected.items() <= span.attributes.items()
    outdated = {"http.method", "http.status_code", "http.target", "http.url", "http.host", "net.host.name"}
    assert not outdated & span.attributes.keys()


def test_paths_without_a_route_share_one_operation_name(probe: ServiceProcess, receiver: Receiver) -> None:
    for path in ("/wp-login.php", "/nowhere/17", "/.env"):
        assert server_span(probe.get(path), receiver).name == "GET"


@pytest.mark.parametrize(
    ("path", "status", "span_status"),
    [
        ("/things/1", 200, "UNSET"),
        ("/taken", 409, "UNSET"),
        ("/nowhere", 404, "UNSET"),
        ("/sleep?seconds=soon", 422, "UNSET"),
        ("/away", 503, "ERROR"),
        ("/boom", 500, "ERROR"),
        ("/refused", 502, "ERROR"),
        ("/misunderstood", 502, "ERROR"),
    ],
)
def test_each_answer_carries_the_ids_of_its_server_span(
    path: str, status: int, span_status: str, probe: ServiceProcess, receiver: Receiver
) -> None:
    response = probe.get(path)
    span = server_span(response, receiver)
    assert trace_ids(response) == (span.trace_id, span.span_id)
    assert (response.status_code, span.status) == (status, span_status)
    assert span.attributes["http.response.status_code"] == status
    if status >= 400:
        assert response.headers["Content-Type"] == "application/problem+json"
        assert response.json()["trace_id"] == span.trace_id


def test_an_unforeseen_error_is_told_to_the_log_and_the_span_once_and_to_the_client_not_at_all(
    probe: ServiceProcess, receiver: Receiver
) -> None:
    response = probe.get("/boom")
    assert response.json() == {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
        "detail": "Internal error. Use the trace_id to find the cause.",
        "trace_id": trace_ids(response)[0],
    }
    span = server_span(response, receiver)
    ((name, attributes),) = span.events
    assert (name, attributes["exception.type"]) == ("exception", "RuntimeError")
    assert "Traceback" in attributes["exception.stacktrace"]
    lines = until(lambda: [line for line in probe.log_lines() if line.get("span_id") == span.span_id])
    assert ["Traceback" in line.get("exc_info", "") for line in lines if line["level"] == "ERROR"] == [True]


def test_a_peer_that_is_away_is_recorded_on_the_span(probe: ServiceProcess, receiver: Receiver) -> None:
    response = probe.get("/away")
    assert response.headers["Retry-After"] == "1"
    ((name, attributes),) = server_span(response, receiver).events
    assert (name, attributes["exception.type"]) == ("exception", "app.dependency_errors.DependencyUnavailable")


@pytest.mark.parametrize(("path", "error"), [("/refused", "DependencyRefused"), ("/misunderstood", "InvalidResponse")])
def test_a_response_of_a_dependency_that_no_retry_changes_is_a_502_without_retry_after(
    probe: ServiceProcess, receiver: Receiver, path: str, error: str
) -> None:
    response = probe.get(path)
    assert (response.status_code, response.headers.get("Retry-After")) == (502, None)
    assert "kept for the log" not in response.text
    ((_, attributes),) = server_span(response, receiver).events
    assert attributes["exception.type"] == f"app.dependency_errors.{error}"


def test_the_span_of_a_call_covers_the_body_of_its_response(probe: ServiceProcess, receiver: Receiver) -> None:
    response = probe.get("/call-breaking-peer")
    (client,) = matching(trace_of(response, receiver), kind="CLIENT")
    assert (client.status, client.attributes["error.type"]) == ("ERROR", "ConnectionError")
    ((_, attributes),) = client.events
    assert "IncompleteRead(2 bytes read, 98 more expected)" in attributes["exception.message"]


def test_a_call_that_an_open_circuit_did_not_send_is_an_event_of_the_span_and_has_no_span_of_its_own(
    probe: ServiceProcess, receiver: Receiver
) -> None:
    def not_sent() -> list[Span]:
        """The trace of a request whose call was not sent, once the breaker of a worker is open."""
        spans = trace_of(probe.get("/call-absent-peer"), receiver)
        ((_, attributes),) = matching(spans, kind="SERVER")[0].events
        return spans if attributes["exception.type"] == "app.dependency_errors.CircuitOpen" else []

    (server,) = until(not_sent)
    ((_, attributes),) = server.events
    assert "absent-peer: GET /hello was not sent: earlier calls failed" in attributes["exception.message"]
    assert (server.status, server.attributes["http.response.status_code"]) == ("ERROR", 503)


def test_a_statement_is_a_span_with_its_text_and_without_its_values(probe: ServiceProcess, receiver: Receiver) -> None:
    spans = trace_of(post_thing(probe, "s3cret"), receiver)
    (insert,) = matching(spans, name="INSERT probe")
    assert (insert.kind, insert.parent_id) == ("CLIENT", matching(spans, kind="SERVER")[0].span_id)
    assert insert.attributes["db.system.name"] == "sqlite"
    assert insert.attributes["db.query.text"].startswith("INSERT INTO things (name, made_at) VALUES (?, ?)")
    assert not {"db.statement", "db.system", "db.name"} & insert.attributes.keys()
    assert not [span for span in spans if "s3cret" in repr(span)]


def test_beginning_a_transaction_and_taking_a_connection_are_no_spans(
    probe: ServiceProcess, receiver: Receiver
) -> None:
    def spans_without_a_wait() -> list[Span]:
        """The spans of a request that got the write lock immediately, which takes a few tries on a busy machine."""
        spans = trace_of(post_thing(probe, "a"), receiver)
        return spans if not matching(spans, name="BEGIN probe") else []

    assert [span.name for span in until(spans_without_a_wait)] == ["POST /things", "INSERT probe"]


def test_waiting_for_the_write_lock_is_a_span(
    probe: ServiceProcess, receiver: Receiver, probe_database_url: str
) -> None:
    with closing(sqlite3.connect(make_url(probe_database_url).database or "", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor(1) as sender:
            sent = sender.submit(post_thing, probe, "a")
            assert not wait([sent], timeout=0.3).done
            other.execute("COMMIT")
    spans = trace_of(sent.result(), receiver)
    assert [span.name for span in spans] == ["POST /things", "BEGIN probe", "INSERT probe"]
    server, begin, insert = spans
    assert (begin.kind, begin.status, begin.parent_id) == ("CLIENT", "UNSET", server.span_id)
    assert (
        begin.attributes.items() >= {"db.query.text": "BEGIN IMMEDIATE", "db.sqlite.waited_for": "write lock"}.items()
    )
    shared = ("db.system.name", "db.namespace")
    assert [begin.attributes[name] for name in shared] == [insert.attributes[name] for name in shared]
    assert insert.start - begin.start > 0.1e9


def test_a_failed_statement_does_not_carry_its_values(probe: ServiceProcess, receiver: Receiver) -> None:
    response = probe.get("/bad-sql")
    assert response.status_code == 503
    spans = trace_of(response, receiver)
    assert matching(spans, name="SELECT probe")[0].status == "ERROR"
    assert "OperationalError (SQLITE_ERROR)" in repr(matching(spans, kind="SERVER")[0].events)
    assert not [span for span in spans if "s3-cret" in repr(span)]
    assert not [line for line in probe.log_lines() if "s3-cret" in repr(line)]


def test_cache_commands_are_spans_without_their_values(probe: ServiceProcess, receiver: Receiver) -> None:
    thing = post_thing(probe, "s3cret").json()["id"]
    spans = trace_of(probe.get(f"/things/{thing}"), receiver)
    assert [span.name for span in spans] == ["GET /things/<int:thing_id>", "GET", "SELECT probe", "SET"]
    _, get, _, put = spans
    assert (get.kind, get.attributes["db.system.name"], get.attributes["db.query.text"]) == ("CLIENT", "redis", "GET ?")
    assert put.attributes["db.query.text"] == "SET ? ? ? ?"
    assert not [span for span in spans if "s3cret" in repr(span)]


def test_a_trace_that_came_in_is_continued_and_goes_on_to_the_peer_with_its_baggage(
    probe: ServiceProcess, receiver: Receiver, peer_requests: list[dict[str, str]]
) -> None:
    trace_id, caller = secrets.token_hex(16), secrets.token_hex(8)
    peer_requests.clear()
    response = probe.get("/call-peer", traceparent=f"00-{trace_id}-{caller}-01", baggage="tenant=blue")
    spans = trace_of(response, receiver)
    (server,) = matching(spans, kind="SERVER")
    (client,) = matching(spans, kind="CLIENT")
    assert (server.trace_id, server.parent_id, client.parent_id) == (trace_id, caller, server.span_id)
    assert client.name == "GET"
    assert client.attributes["http.request.method"] == "GET"
    assert client.attributes["http.response.status_code"] == 200
    (headers,) = peer_requests
    assert headers["traceparent"].split("-")[1:3] == [trace_id, client.span_id]
    assert headers["baggage"] == "tenant=blue"


def test_an_unsampled_caller_is_heeded(probe: ServiceProcess, receiver: Receiver) -> None:
    trace_id = secrets.token_hex(16)
    response = probe.get("/things/1", traceparent=f"00-{trace_id}-{secrets.token_hex(8)}-00")
    assert trace_ids(response)[0] == trace_id
    trace_of(probe.get("/things/1"), receiver)
    assert receiver.trace(trace_id) == []


def test_health_checks_and_other_quiet_requests_leave_no_span_no_log_and_no_duration(
    probe: ServiceProcess, receiver: Receiver
) -> None:
    for path in ("/healthz", "/readyz", "/readyz?verbose=1", "/files/a/b.txt", "/files/c.txt?d=e"):
        assert probe.get(path).status_code == 200
    trace_of(probe.get("/things/1"), receiver)

    def is_quiet(signal: Any) -> bool:
        return any(name in repr(signal) for name in ("healthz", "readyz", "/files/"))

    until(lambda: matching(receiver.points, name="http.server.request.duration"))
    # Other tests send such paths with hosts that are refused, which leaves spans and durations.
    refused = HTTPStatus.MISDIRECTED_REQUEST
    for signals in (receiver.spans, receiver.points):
        quiet = [signal for signal in signals if is_quiet(signal)]
        assert not [signal for signal in quiet if signal.attributes["http.response.status_code"] != refused]
    assert not [span for span in receiver.spans if span.kind != "SERVER" and not span.parent_id]
    assert not [record for record in receiver.logs if is_quiet(record)]
    assert not [line for line in probe.log_lines() if is_quiet(line)]


def test_a_url_that_only_looks_like_a_health_check_is_traced(probe: ServiceProcess, receiver: Receiver) -> None:
    for path in ("/nowhere/healthz", "/healthz/more", "/files"):
        assert server_span(probe.get(path), receiver).name == "GET"


@pytest.mark.parametrize(("method", "name"), [("GET", "GET"), ("DELETE", "DELETE"), ("STEAL", "HTTP"), ("get", "GET")])
def test_a_url_without_a_route_is_named_by_its_method_alone(
    method: str, name: str, probe: ServiceProcess, receiver: Receiver
) -> None:
    response = requests.request(method, f"{probe.url}/s3cret/path?token=s3cret", timeout=60)
    span = server_span(response, receiver)
    assert span.name == name
    assert span.attributes["http.request.method"] == {"HTTP": "_OTHER"}.get(name, name)
    assert span.attributes["url.path"] == "/REDACTED"
    assert "http.route" not in span.attributes
    assert "s3cret" not in repr(span)


def test_a_method_that_a_route_does_not_take_has_no_route(probe: ServiceProcess, receiver: Receiver) -> None:
    response = requests.delete(f"{probe.url}/things/1", timeout=60)
    span = server_span(response, receiver)
    assert (response.status_code, span.name, span.attributes["url.path"]) == (405, "DELETE", "/REDACTED")


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("seconds=0", "seconds=REDACTED"),
        ("seconds=0&token=s3cret&token=", "seconds=REDACTED&token=REDACTED&token=REDACTED"),
        ("seconds=0&s3cret", "seconds=REDACTED&REDACTED"),
        ("seconds=0&s3cret@example.com=1", "seconds=REDACTED&REDACTED"),
        ("seconds=0;token=s3cret", "seconds=REDACTED"),
        ("seconds=0&" + "n" * 2000 + "=1", "seconds=REDACTED&REDACTED"),
        ("&".join(f"p{n}=s3cret" for n in range(200)), "&".join(f"p{n}=REDACTED" for n in range(20))),
    ],
)
def test_a_query_is_kept_as_the_names_of_its_parameters(
    query: str, kept: str, probe: ServiceProcess, receiver: Receiver
) -> None:
    span = server_span(probe.get(f"/sleep?{query}"), receiver)
    assert span.attributes["url.query"] == kept
    assert "s3cret" not in repr(span)


def test_the_query_of_a_call_is_masked_too(probe: ServiceProcess, receiver: Receiver) -> None:
    (client,) = matching(trace_of(probe.get("/call-peer"), receiver), kind="CLIENT")
    assert client.attributes["url.full"].endswith("/hello?token=REDACTED")


def test_what_a_client_chooses_is_bounded(probe: ServiceProcess, receiver: Receiver) -> None:
    response = probe.get(f"/things/1{'0' * 3000}", **{"User-Agent": "x" * 4000})
    attributes = server_span(response, receiver).attributes
    assert (len(attributes["user_agent.original"]), len(attributes["url.path"])) == (256, 256)


def test_requests_of_any_kind_add_no_series(probe: ServiceProcess, receiver: Receiver) -> None:
    for n in range(20):
        response = requests.request(f"METHOD{n}", f"{probe.url}/nowhere/{n}", timeout=60)
        assert response.status_code == 404
    trace_of(response, receiver)
    until(lambda: [point for point in receiver.points if point.attributes.get("http.request.method") == "_OTHER"])
    methods = {point.attributes.get("http.request.method") for point in list(receiver.points)}
    routes = {point.attributes.get("http.route") for point in list(receiver.points)}
    assert not [text for text in {*methods, *routes} if text and ("METHOD" in text or "nowhere" in text)]


def test_an_unreadable_host_is_no_reason_to_fail(probe: ServiceProcess) -> None:
    assert probe.get("/things/1", Host="[").status_code < 500


def test_a_field_name_that_is_no_text_is_refused_and_traced(probe: ServiceProcess, receiver: Receiver) -> None:
    response = requests.post(
        f"{probe.url}/things", b'{"\\ud800": 1}', headers={"Content-Type": "application/json"}, timeout=10
    )
    assert response.status_code == 422
    assert server_span(response, receiver).status == "UNSET"


@pytest.mark.parametrize("chunks", [b"zz\r\n{}\r\n0\r\n\r\n", b"2\r\n{}XX0\r\n\r\n"], ids=["size", "end"])
def test_a_body_whose_chunks_are_broken_is_refused(probe: ServiceProcess, chunks: bytes) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", probe.port, timeout=60)
    headers = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
    connection.request("POST", "/things", chunks, headers)
    response = connection.getresponse()
    assert (response.status, response.headers["Content-Type"]) == (400, "application/problem+json")
    assert b"chunked" in response.read()
    connection.close()
