"""What becomes of the trace context that a client sends to a service that any client can call."""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import requests

from tests.app.conftest import PROBE, make_database
from tests.app.test_traces import trace_ids
from tests.support.service_process import ServiceProcess, starting_service
from tests.support.telemetry_receiver import Receiver, Span, matching, running_receiver
from tests.support.waiting import until

PAGE = {"Sec-Fetch-Site": "same-origin"}
FOREIGN_PAGE = {"Sec-Fetch-Site": "cross-site"}
Services = dict[str, ServiceProcess]


@pytest.fixture(scope="module")
def boundary_receiver() -> Iterator[Receiver]:
    with running_receiver() as running:
        yield running


@pytest.fixture(scope="module")
def services(
    tmp_path_factory: pytest.TempPathFactory, boundary_receiver: Receiver, peer_url: str
) -> Iterator[Services]:
    """The probe as `page`, as `link`, and as `page` that samples nothing by itself."""
    never = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}
    kinds = {"page": ("page", {}), "link": ("link", {}), "never": ("page", never)}
    folder = tmp_path_factory.mktemp("boundary")
    url = make_database(folder)
    with ExitStack() as stack:
        services = {
            name: stack.enter_context(
                starting_service(
                    PROBE,
                    folder / name,
                    DATABASE_URL=url,
                    PEER_URL=peer_url,
                    INCOMING_TRACE_CONTEXT=policy,
                    OTEL_EXPORTER_OTLP_ENDPOINT=boundary_receiver.endpoint,
                    OTEL_BSP_SCHEDULE_DELAY="100",
                    **sampling,
                )
            )
            for name, (policy, sampling) in kinds.items()
        }
        for service in services.values():
            until(service.ready)
        yield services


def call(service: ServiceProcess, flags: str, **headers: str) -> tuple[str, str, requests.Response]:
    """(trace id, span id) that a client sent with these flags, and the answer."""
    trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
    return trace_id, span_id, service.get("/call-peer", traceparent=f"00-{trace_id}-{span_id}-{flags}", **headers)


def server_span(response: requests.Response, receiver: Receiver) -> Span:
    _, span_id = trace_ids(response)
    return receiver.span(span_id=span_id)


@pytest.mark.parametrize("flags", ["00", "01"])
@pytest.mark.parametrize(("policy", "headers"), [("link", {}), ("link", PAGE), ("page", {}), ("page", FOREIGN_PAGE)])
def test_a_client_gets_a_trace_of_its_own_linked_to_the_one_it_sent_whatever_its_flags(
    policy: str, headers: dict[str, str], flags: str, services: Services, boundary_receiver: Receiver
) -> None:
    trace_id, span_id, response = call(services[policy], flags, **headers)
    server = server_span(response, boundary_receiver)
    assert (server.trace_id != trace_id, server.parent_id) == (True, "")
    assert server.links == [(trace_id, span_id)]


@pytest.mark.parametrize("flags", ["00", "01"])
def test_the_trace_of_its_own_page_is_continued_whatever_its_flags(
    flags: str, services: Services, boundary_receiver: Receiver
) -> None:
    trace_id, span_id, response = call(services["page"], flags, **PAGE)
    server = server_span(response, boundary_receiver)
    assert (server.trace_id, server.parent_id, server.links) == (trace_id, span_id, [])


def test_a_client_cannot_have_its_requests_sampled(services: Services, boundary_receiver: Receiver) -> None:
    for headers in ({}, PAGE):
        _, _, response = call(services["never"], "01", **headers)
        assert int(response.headers["traceresponse"][-2:], 16) & 1 == 0
    server_span(call(services["page"], "01")[2], boundary_receiver)  # what was to come has come
    ids = trace_ids(response)
    assert not matching(boundary_receiver.spans, trace_id=ids[0])


@pytest.mark.parametrize("headers", [{}, PAGE], ids=["client", "page"])
def test_a_clients_baggage_and_tracestate_go_no_further(
    headers: dict[str, str], services: Services, boundary_receiver: Receiver, peer_requests: list[dict[str, str]]
) -> None:
    peer_requests.clear()
    _, _, response = call(services["page"], "01", baggage="user=s3cret,%%%", tracestate="v=s3cret", **headers)
    (sent,) = peer_requests
    assert sent["traceparent"].split("-")[1] == server_span(response, boundary_receiver).trace_id
    assert not {"baggage", "tracestate"} & sent.keys()
    assert not [line for line in services["page"].log_lines() if "s3cret" in repr(line) or "%%%" in repr(line)]


@pytest.mark.parametrize(
    "traceparent", ["", "s3cret", f"00-{'0' * 32}-{'b2' * 8}-01", f"ff-{'a1' * 16}-{'b2' * 8}-01", f"00-{'a1' * 16}-01"]
)
def test_an_invalid_context_is_no_context(traceparent: str, services: Services, boundary_receiver: Receiver) -> None:
    for service in (services["page"], services["link"]):
        server = server_span(service.get("/call-peer", traceparent=traceparent), boundary_receiver)
        assert (server.parent_id, server.links) == ("", [])
