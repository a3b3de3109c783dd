"""The tenant is on every span behind the edge; what is sampled is whole, and metrics count all."""

import secrets
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import yaml

from tests.project_texts import ROOT
from tests.recipes.conftest import Start
from tests.support.service_process import ServiceProcess
from tests.support.telemetry_receiver import Receiver, Span, matching
from tests.support.waiting import until

COLLECTOR: dict[str, Any] = yaml.safe_load((ROOT / "otel-collector-config.yaml").read_text())
TAIL: dict[str, Any] = yaml.safe_load((ROOT / "docs" / "recipes" / "tail-sampling.yaml").read_text())
REQUESTS = 40


@pytest.fixture(scope="module")
def services(start: Start) -> Iterator[dict[str, ServiceProcess]]:
    """An edge, and an inner service that samples half of the traces that begin there."""
    sampler = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"}
    with ExitStack() as stack:
        inner = stack.enter_context(start("baggage", "create_inner", **sampler))
        settings = {"INNER_URL": inner.url, "INCOMING_TRACE_CONTEXT": "link"}
        edge = stack.enter_context(start("baggage", "create_edge", **settings))
        services = {"inner": inner, "edge": edge}
        for service in services.values():
            until(service.ready)
        yield services


def whole_trace(receiver: Receiver, trace_id: str, spans: int) -> list[Span]:
    """The spans of a trace once there are as many."""
    until(lambda: len(matching(receiver.spans, trace_id=trace_id)) >= spans)
    return matching(receiver.spans, trace_id=trace_id)


def test_the_tenant_is_on_every_span_of_the_trace(services: dict[str, ServiceProcess], receiver: Receiver) -> None:
    traces = {}
    for tenant in ("acme", "globex"):
        response = services["edge"].get("/offer", **{"X-Tenant": tenant, "baggage": "tenant.id=forged,user.id=u1"})
        assert response.status_code == 200
        traces[tenant] = response.headers["traceresponse"].split("-")[1]
    names = {"GET /offer", "price_offer", "GET", "GET /stock", "count_pieces"}
    for tenant, trace_id in traces.items():
        spans = whole_trace(receiver, trace_id, len(names))
        assert {(span.name, span.attributes.get("tenant.id")) for span in spans} == {(name, tenant) for name in names}
        assert not any("user.id" in span.attributes for span in spans)


def test_a_request_of_an_unknown_tenant_is_refused(services: dict[str, ServiceProcess]) -> None:
    response = services["edge"].get("/offer")
    assert (response.status_code, response.headers["Content-Type"]) == (400, "application/problem+json")


def test_head_sampling_keeps_whole_traces_and_metrics_count_every_request(
    services: dict[str, ServiceProcess], receiver: Receiver
) -> None:
    responses = [services["inner"].get("/stock").headers["traceresponse"].split("-") for _ in range(REQUESTS)]
    sent = {trace_id for _, trace_id, _, _ in responses}
    sampled = {trace_id for _, trace_id, _, flags in responses if int(flags, 16) & 1}
    assert 0 < len(sampled) < REQUESTS

    def arrived() -> dict[str, int]:
        spans = [span for span in list(receiver.spans) if span.trace_id in sent]
        return Counter(span.trace_id for span in spans)

    until(lambda: arrived() == dict.fromkeys(sampled, 2))
    until(lambda: counted(receiver) >= REQUESTS)  # sampled or not


def counted(receiver: Receiver) -> int:
    """How many requests for /stock the metric has counted."""
    points = matching(receiver.points, service="inner-service", name="http.server.request.duration")
    counts = [point.count for point in points if point.attributes["http.route"] == "/stock"]
    return counts[-1] if counts else 0


@pytest.mark.parametrize(("flags", "spans"), [("01", 2), ("00", 0)])
def test_a_parents_decision_is_followed_where_callers_are_trusted(
    flags: str, spans: int, services: dict[str, ServiceProcess], receiver: Receiver
) -> None:
    sent = {flag: secrets.token_hex(16) for flag in (flags, "01")}
    for flag, trace_id in sent.items():
        services["inner"].get("/stock", traceparent=f"00-{trace_id}-{secrets.token_hex(8)}-{flag}")
    until(lambda: len(matching(receiver.spans, trace_id=sent["01"])) == 2)  # the last to be sent has arrived
    assert len(matching(receiver.spans, trace_id=sent[flags])) == spans


def test_tail_sampling_fits_the_collectors_configuration() -> None:
    """Read as YAML; `make test-stack` has the Collector itself validate both files."""
    assert TAIL["service"]["pipelines"].keys() == {"traces/jaeger"}
    before, after = (each["service"]["pipelines"]["traces/jaeger"] for each in (COLLECTOR, TAIL))
    assert after == {"processors": ["tail_sampling", *before["processors"]]}
    assert [policy["type"] for policy in TAIL["processors"]["tail_sampling"]["policies"]] == [
        "status_code",
        "latency",
        "probabilistic",
    ]
