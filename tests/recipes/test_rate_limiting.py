"""A client over the limit gets 429 and is told when to come back."""

from collections.abc import Iterator

import pytest

from docs.recipes import rate_limiting
from tests.recipes.conftest import Start
from tests.support.service_process import ServiceProcess
from tests.support.telemetry_receiver import Receiver
from tests.support.waiting import until


@pytest.fixture(scope="module")
def limited(start: Start) -> Iterator[ServiceProcess]:
    """A service whose shared storage is unavailable: it counts by itself."""
    with start("rate_limiting", RATE_LIMIT="3/hour", RATE_LIMIT_STORAGE="redis://127.0.0.1:1/0") as service:
        until(service.ready)
        yield service


def test_a_client_over_the_limit_gets_429_with_retry_after(limited: ServiceProcess, receiver: Receiver) -> None:
    responses = [limited.get("/quote") for _ in range(4)]
    assert [response.status_code for response in responses] == [200, 200, 200, 429]
    refused = responses[-1]
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert 3000 < int(refused.headers["Retry-After"]) <= 3600
    assert refused.json()["detail"].startswith("More than 3 per 1 hour")
    assert limited.get("/readyz").status_code == 200  # probes have no limit

    def counted() -> bool:
        durations = [point for point in receiver.points if point.name == "http.server.request.duration"]
        return any(point.attributes.get("http.response.status_code") == 429 for point in durations)

    until(counted)


def test_while_the_shared_storage_is_unavailable_one_warning_is_logged(limited: ServiceProcess) -> None:
    limited.get("/quote")
    warnings = [line for line in limited.log_lines() if line["level"] == "WARNING"]
    assert len(warnings) >= 1
    assert all("rate limits are counted per process" in line["message"] for line in warnings)


def test_after_retry_after_the_client_may_send_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATE_LIMIT", "1/2 seconds")
    client = rate_limiting.create_app().test_client()
    until(lambda: client.get("/quote").status_code == 429)
    until(lambda: client.get("/quote").status_code == 200)


def test_a_limit_that_is_none_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RATE_LIMIT", "often")
    with pytest.raises(SystemExit):
        rate_limiting.create_app()
    assert "bad setting RATE_LIMIT" in capsys.readouterr().err
