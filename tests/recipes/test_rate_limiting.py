"""A client over the limit gets 429 and is told when to come back."""

import json
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from docs.recipes import rate_limiting
from tests.support.waiting import until

UNAVAILABLE = "redis://127.0.0.1:1/0"


@pytest.fixture
def client_of(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FlaskClient]:
    """Makes the service with a limit, and a client of it."""

    def make(limit: str, storage: str = "memory://") -> FlaskClient:
        monkeypatch.setenv("RATE_LIMIT", limit)
        monkeypatch.setenv("RATE_LIMIT_STORAGE", storage)
        return rate_limiting.create_app().test_client()

    return make


@pytest.mark.parametrize("storage", ["memory://", UNAVAILABLE], ids=["in memory", "its storage is unavailable"])
def test_a_client_over_the_limit_gets_429_with_retry_after(storage: str, client_of: Callable[..., FlaskClient]) -> None:
    client = client_of("3/hour", storage)
    responses = [client.get("/quote") for _ in range(4)]
    assert [response.status_code for response in responses] == [200, 200, 200, 429]
    refused = responses[-1]
    assert refused.content_type == "application/problem+json"
    assert 3000 < int(refused.headers["Retry-After"]) <= 3600
    assert refused.json["detail"].startswith("More than 3 per 1 hour")  # type: ignore[index]


def test_each_client_has_a_limit_of_its_own_and_probes_have_none(client_of: Callable[..., FlaskClient]) -> None:
    client = client_of("1/hour")
    for address in ("10.0.0.1", "10.0.0.2"):
        statuses = [client.get("/quote", environ_base={"REMOTE_ADDR": address}).status_code for _ in range(2)]
        assert statuses == [200, 429]
    assert [client.get("/readyz").status_code for _ in range(3)] == [200] * 3


def test_an_outage_of_the_storage_is_logged_once_in_a_while_and_not_for_each_request(
    client_of: Callable[..., FlaskClient], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limiting, "PAUSE", 3600)
    client = client_of("3/hour", UNAVAILABLE)
    for _ in range(5):
        client.get("/quote")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (warning,) = [line["message"] for line in lines if line["level"] == "WARNING"]
    assert warning.startswith("rate limits are counted per process")


def test_after_retry_after_the_client_may_send_again(client_of: Callable[..., FlaskClient]) -> None:
    client = client_of("1/2 seconds")
    until(lambda: client.get("/quote").status_code == 429)
    until(lambda: client.get("/quote").status_code == 200)


def test_a_limit_that_is_none_stops_the_start(
    client_of: Callable[..., FlaskClient], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        client_of("often")
    assert "bad setting RATE_LIMIT" in capsys.readouterr().err
