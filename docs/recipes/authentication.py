"""Bearer tokens: a service that accepts only calls with a valid JWT, and a service that gets one for its own calls."""

import time
from dataclasses import dataclass
from threading import Lock
from typing import Any

import flask
import jwt
import requests
import svcs
from flask import Flask, request
from flask_openapi3 import APIBlueprint
from opentelemetry import trace
from pydantic import BaseModel, Field, SecretStr, ValidationError
from requests.auth import AuthBase
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Forbidden, Unauthorized

from app.config import HttpUrl, ServiceSettings, load_settings
from app.dependency_errors import DependencyUnavailable
from app.errors import problem_responses
from app.factory import create_service
from app.http_client import ServiceClient

ALGORITHMS = ["RS256", "ES256", "EdDSA"]
"""Asymmetric ones only: with HS256 in the list, the public key would do to sign a token."""
CLOCK_SKEW = 10
"""Seconds by which the clocks of the provider and of this service may differ."""

# ----- accept tokens


@dataclass(frozen=True)
class Caller:
    """Who sent the request: a user or a service."""

    subject: str
    scopes: frozenset[str]


class NotAuthenticated(Unauthorized):
    """401 with the challenge of RFC 6750, 3."""

    def __init__(self, detail: str, audience: str, **error: str) -> None:
        super().__init__(detail, www_authenticate=WWWAuthenticate("bearer", {"realm": audience, **error}))


class InsufficientScope(Forbidden):
    """403 with the scope that is missing (RFC 6750, 3.1)."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"The token does not have the scope {scope}. Get one that does.")
        self._scope = scope

    def get_headers(self, *args: Any) -> list[tuple[str, str]]:
        """Return the headers with the challenge."""
        challenge = f'Bearer error="insufficient_scope", scope="{self._scope}"'
        return [*super().get_headers(*args), ("WWW-Authenticate", challenge)]


class KeySet(BaseModel):
    """A JSON Web Key Set (RFC 7517)."""

    keys: list[dict[str, Any]] = Field(max_length=100)


class SigningKeys(jwt.PyJWKClient):
    """The provider's public keys, for ten minutes. A key that is not among them has them fetched again, every 30 s.

    Fetched by the kit's client, which has a deadline and a circuit breaker: PyJWT's own would hold its lock, and so
    every request, for as long as the provider takes.
    """

    def __init__(self, provider: ServiceClient, issuer: str, path: str) -> None:
        super().__init__(issuer + path, lifespan=600)
        self._provider = provider
        self._path = path

    def fetch_data(self) -> Any:
        """Return the key set; raises a DependencyError."""
        return self._provider.call("GET", self._path, KeySet).model_dump()


class Authenticator:
    """Checks the bearer token of each request; `caller()` is then known."""

    def __init__(self, keys: SigningKeys, issuer: str, audience: str) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience

    def authenticate(self) -> None:
        """Raise NotAuthenticated unless the request has a valid token; for create_service's `before_request`."""
        if request.method == "OPTIONS":  # a CORS preflight never has credentials
            return
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise NotAuthenticated("The request has no bearer token. Send one in Authorization.", self._audience)
        try:
            claims = jwt.decode(
                token,
                self._keys.get_signing_key_from_jwt(token),
                algorithms=ALGORITHMS,
                audience=self._audience,
                issuer=self._issuer,
                leeway=CLOCK_SKEW,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except (jwt.PyJWTError, RecursionError) as error:  # the latter for JSON that is nested 1,000 times
            # Not the error's text: it repeats what the client sent.
            detail = f"The token is not valid here ({type(error).__name__}). Get a new one."
            raise NotAuthenticated(detail, self._audience, error="invalid_token") from None
        flask.g.caller = Caller(claims["sub"], frozenset(str(claims.get("scope", "")).split()))
        trace.get_current_span().set_attribute("enduser.pseudo.id", claims["sub"])


def caller() -> Caller:
    """Return who sent the current request."""
    found: Caller = flask.g.caller
    return found


def require(scope: str) -> None:
    """Raise InsufficientScope unless the caller has `scope`."""
    if scope not in caller().scopes:
        raise InsufficientScope(scope)


reports = APIBlueprint("reports", __name__)


class Report(BaseModel):
    """A report, and who read it."""

    reader: str


@reports.get("/reports/today", responses={200: Report, **problem_responses(401, 403, 503)})
def read_report() -> dict[str, Any]:
    """Return the report of today."""
    require("reports:read")
    return {"reader": caller().subject}


class Settings(ServiceSettings):
    """The kit's settings and those of the identity provider."""

    jwt_issuer: str = Field(pattern=r"^https?://[^?#\s]+$")
    """The provider's issuer, exactly as its tokens name it, e.g. https://login.example.com/realms/shop."""
    jwt_audience: str
    """What tokens for this service have in `aud`."""
    jwks_path: str = "/.well-known/jwks.json"
    """Where the provider's keys are, below the issuer."""


def create_app() -> Flask:
    """Return the protected service. Settings come from the environment."""
    settings = load_settings(Settings)
    provider = ServiceClient("identity-provider", settings.jwt_issuer, pool_size=settings.threads, call_deadline=2)
    keys = SigningKeys(provider, settings.jwt_issuer, settings.jwks_path)
    authenticator = Authenticator(keys, settings.jwt_issuer, settings.jwt_audience)
    return create_service(
        "report-service", settings, reports, version="1.0.0", before_request=[authenticator.authenticate]
    )


# ----- send tokens, from service to service


class Token(BaseModel):
    """What the token endpoint returns (RFC 6749, 5.1)."""

    access_token: str
    expires_in: int = 60


class ClientCredentials(AuthBase):
    """A bearer token by the client credentials grant (RFC 6749, 4.4), replaced shortly before it expires."""

    TIMEOUT = 2.0
    PAUSE = 5.0
    """Seconds during which no token is requested after that failed: threads must not wait for it one by one."""

    def __init__(self, token_url: str, client_id: str, secret: SecretStr, audience: str) -> None:
        self._url = token_url
        self._client = (client_id, secret)
        self._audience = audience
        self._lock = Lock()
        self._token: str | None = None
        self._next_fetch_at = 0.0

    def __call__(self, prepared: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the token to a call; raises DependencyUnavailable without one."""
        with self._lock:
            if time.monotonic() >= self._next_fetch_at:
                self._fetch()
            if self._token is None:
                raise DependencyUnavailable("identity-provider", "no token: the last attempt failed a moment ago")
            prepared.headers["Authorization"] = f"Bearer {self._token}"
        return prepared

    def _fetch(self) -> None:
        self._token, self._next_fetch_at = None, time.monotonic() + self.PAUSE
        form = {"grant_type": "client_credentials", "audience": self._audience}
        client_id, secret = self._client
        try:
            response = requests.post(self._url, form, auth=(client_id, secret.get_secret_value()), timeout=self.TIMEOUT)
            response.raise_for_status()
            token = Token.model_validate_json(response.content)
        except (requests.RequestException, ValidationError) as error:
            raise DependencyUnavailable("identity-provider", f"no token: {type(error).__name__}") from None
        self._token = token.access_token
        self._next_fetch_at = time.monotonic() + token.expires_in * 0.9


dashboard = APIBlueprint("dashboard", __name__)


@dashboard.get("/dashboard", responses={200: Report, **problem_responses(502, 503)})
def read_dashboard() -> dict[str, Any]:
    """Return the report, read as this service."""
    return svcs.flask.get(ServiceClient).call("GET", "/reports/today", Report).model_dump()


class CallerSettings(ServiceSettings):
    """The kit's settings, the service that is called and this service's own credentials."""

    report_url: HttpUrl
    token_url: str
    client_id: str
    client_secret: SecretStr


def create_caller() -> Flask:
    """Return the calling service. Settings come from the environment, the secret from a file in SECRETS_DIR."""
    settings = load_settings(CallerSettings)
    auth = ClientCredentials(settings.token_url, settings.client_id, settings.client_secret, "report-service")
    client = ServiceClient("report-service", settings.report_url, pool_size=settings.threads, auth=auth)
    return create_service(
        "dashboard-service", settings, dashboard, version="1.0.0", dependencies={ServiceClient: client}
    )
