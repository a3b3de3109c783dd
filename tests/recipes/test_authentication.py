"""A protected service accepts the tokens of its provider that are for it, and nothing else."""

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from pydantic import SecretStr

from app.dependency_errors import DependencyUnavailable
from app.http_client import ServiceClient
from docs.recipes.authentication import ClientCredentials, KeySet
from tests.recipes.conftest import Start
from tests.support.service_process import ServiceProcess
from tests.support.stub_server import Answer, StubHandler, StubServer, serving
from tests.support.telemetry_receiver import Receiver, matching
from tests.support.waiting import until

KEY, OTHER_KEY = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
JSON = {"Content-Type": "application/json"}


class Provider(StubServer):
    """An identity provider with one key, and one client whose secret it knows."""

    def __init__(self) -> None:
        super().__init__()
        self.key_requests = 0
        self.tokens = 0

    def answer(self, handler: StubHandler) -> Answer | None:
        if handler.path == "/.well-known/jwks.json":
            self.key_requests += 1
            key = {**ECAlgorithm.to_jwk(KEY.public_key(), as_dict=True), "kid": "k1", "use": "sig", "alg": "ES256"}
            return 200, JSON, json.dumps({"keys": [key]}).encode()
        basic = base64.b64encode(b"dashboard:s3cret").decode()
        if handler.headers.get("Authorization") != f"Basic {basic}" or b"client_credentials" not in handler.body:
            return 401, JSON, b'{"error": "invalid_client"}'
        self.tokens += 1
        token = self.token(sub="dashboard-service")
        return 200, JSON, json.dumps({"access_token": token, "expires_in": 300, "token_type": "Bearer"}).encode()

    def token(self, key: Any = KEY, kid: str = "k1", algorithm: str = "ES256", **claims: Any) -> str:
        """A token that is valid but for what is given."""
        valid = {
            "iss": self.url,
            "aud": "report-service",
            "sub": "u-1",
            "exp": time.time() + 300,
            "scope": "reports:read",
        }
        body = {name: value for name, value in {**valid, **claims}.items() if value is not None}
        return jwt.encode(body, key, algorithm, headers={"kid": kid})


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with serving(Provider()) as running:
        yield running


@pytest.fixture(scope="module")
def reports(start: Start, provider: Provider) -> Iterator[ServiceProcess]:
    with start("authentication", JWT_ISSUER=provider.url, JWT_AUDIENCE="report-service") as service:
        until(service.ready)
        yield service


def read(service: ServiceProcess, token: str) -> requests.Response:
    return service.get("/reports/today", Authorization=f"Bearer {token}")


def test_a_valid_token_is_accepted_and_its_subject_is_on_the_span(
    reports: ServiceProcess, provider: Provider, receiver: Receiver
) -> None:
    response = read(reports, provider.token(sub="u-77"))
    assert (response.status_code, response.json()) == (200, {"reader": "u-77"})
    until(lambda: [span for span in receiver.spans if span.attributes.get("enduser.pseudo.id") == "u-77"])


def test_a_request_without_a_token_gets_a_challenge(reports: ServiceProcess) -> None:
    response = reports.get("/reports/today")
    assert (response.status_code, response.headers["Content-Type"]) == (401, "application/problem+json")
    assert response.headers["WWW-Authenticate"].startswith("Bearer realm=")
    assert reports.get("/readyz").status_code == 200


FORGED = {
    "expired": {"exp": 1},
    "without an end": {"exp": None},
    "for another service": {"aud": "payment-service"},
    "of another provider": {"iss": "http://127.0.0.1:1"},
    "without a subject": {"sub": None},
    "with another key": {"key": OTHER_KEY},
    "with a key that is unknown": {"kid": "k2"},
    "unsigned": {"key": None, "algorithm": "none"},
    "signed with a public secret": {"key": "k" * 32, "algorithm": "HS256"},
}


@pytest.mark.parametrize("changes", FORGED.values(), ids=FORGED.keys())
def test_a_token_that_is_not_valid_is_refused(
    changes: dict[str, Any], reports: ServiceProcess, provider: Provider
) -> None:
    response = read(reports, provider.token(**changes))
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].endswith("error=invalid_token")


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "é.é.é", base64.b64encode(b"[" * 4000).decode() + ".e30.x"])
def test_what_is_no_token_is_refused(token: str, reports: ServiceProcess) -> None:
    response = requests.get(
        f"{reports.url}/reports/today", headers={"Authorization": f"Bearer {token}".encode()}, timeout=60
    )
    assert response.status_code == 401


def test_a_token_without_the_scope_is_refused_with_its_name(reports: ServiceProcess, provider: Provider) -> None:
    response = read(reports, provider.token(scope="reports:write"))
    assert response.status_code == 403
    assert response.headers["WWW-Authenticate"] == 'Bearer error="insufficient_scope", scope="reports:read"'


def test_keys_are_not_fetched_for_each_unknown_key(reports: ServiceProcess, provider: Provider) -> None:
    read(reports, provider.token(kid="k2"))  # at most one fetch in 30 s
    before = provider.key_requests
    for n in range(10):
        read(reports, provider.token(kid=f"unknown-{n}"))
    assert provider.key_requests == before


def test_a_service_gets_one_token_for_its_calls_and_the_trace_goes_through(
    start: Start, reports: ServiceProcess, provider: Provider, receiver: Receiver
) -> None:
    settings = {"REPORT_URL": reports.url, "TOKEN_URL": f"{provider.url}/token", "CLIENT_ID": "dashboard"}
    with start("authentication", "create_caller", CLIENT_SECRET="s3cret", **settings) as dashboard:
        until(dashboard.ready)
        responses = [dashboard.get("/dashboard") for _ in range(3)]
        assert [response.json() for response in responses] == [{"reader": "dashboard-service"}] * 3
        trace_id = responses[0].headers["traceresponse"].split("-")[1]
        until(lambda: len(matching(receiver.spans, trace_id=trace_id, kind="SERVER")) == 2)
    assert provider.tokens == 1
    assert not [span for span in receiver.spans if "s3cret" in repr(span) or "eyJ" in repr(span)]


def test_without_a_token_a_service_sends_no_call(provider: Provider) -> None:
    auth = ClientCredentials(f"{provider.url}/token", "dashboard", SecretStr("wrong"), "report-service")
    client = ServiceClient("report-service", provider.url, pool_size=1, auth=auth)
    before = provider.key_requests
    for said in ("HTTPError", "failed a moment ago"):
        with pytest.raises(DependencyUnavailable, match=said):
            client.call("GET", "/.well-known/jwks.json", KeySet)
    client.close()
    assert provider.key_requests == before
