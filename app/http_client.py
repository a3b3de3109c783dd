"""Calls to another service: a traced, pooled session, one deadline, bounded retries with jitter, a circuit breaker."""

import logging
import time
from typing import Any, TypeVar

import requests
import urllib3
from pydantic import BaseModel, ConfigDict, ValidationError
from requests.auth import AuthBase
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    stop_before_delay,
    wait_random_exponential,
)
from urllib3.exceptions import InvalidHeader

from .circuit_breaker import CircuitBreaker
from .dependency_errors import CircuitOpen, DependencyError, DependencyRefused, DependencyUnavailable, InvalidResponse
from .http_adapter import BoundedAdapter

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT = 1.0
"""Seconds to connect and send, per attempt."""
ATTEMPT_TIMEOUT = 3.0
"""Seconds from the connect to the last byte of the response, per attempt."""
CALL_DEADLINE = 6.0
"""Seconds that a call takes at most, with all its attempts and the pauses between them."""
ATTEMPTS = 3
MAX_BODY = 2**20
"""Decoded bytes of a response."""

IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""https://www.rfc-editor.org/rfc/rfc9110.html#name-idempotent-methods"""
UNAVAILABLE = frozenset({408, 425, 429, 502, 503, 504})
"""Statuses that ask for another attempt. A 502 with a problem body does not: the service itself found a response of its
own dependency unusable (errors.py), while a 502 without one comes from a gateway."""

ModelT = TypeVar("ModelT", bound=BaseModel)


class ReceivedProblem(BaseModel):
    """What makes a 4xx a refusal by the service itself: RFC 9457, https://www.rfc-editor.org/rfc/rfc9457.html.

    A gateway in the midst of a deployment sends 401 and 404 too, but not in this form.
    """

    model_config = ConfigDict(strict=True)

    type: str
    title: str
    status: int
    detail: str = ""


class ServiceClient:
    """Calls one service by its base URL, e.g. `http://127.0.0.1:8081`; `auth` adds the credentials of each call."""

    def __init__(
        self,
        name: str,
        base_url: str,
        *,
        pool_size: int,
        connect_timeout: float = CONNECT_TIMEOUT,
        attempt_timeout: float = ATTEMPT_TIMEOUT,
        call_deadline: float = CALL_DEADLINE,
        auth: AuthBase | None = None,
    ) -> None:
        self.name = name
        self._auth = auth
        self._base_url = base_url
        self._connect_timeout = connect_timeout
        self._attempt_timeout = attempt_timeout
        self._call_deadline = call_deadline
        self._breaker = CircuitBreaker(name)
        self._session = requests.Session()
        # A proxy variable of the environment is meant for the internet, and costs a look-up per call.
        self._session.trust_env = False
        # The scheme in full: requests takes the longest prefix, so its own http:// would win over a shorter one.
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, BoundedAdapter(pool_size=pool_size, max_body=MAX_BODY))

    def close(self) -> None:
        """Close the pooled connections."""
        self._session.close()

    def call(
        self,
        method: str,
        path: str,
        model: type[ModelT],
        *,
        json: dict[str, Any] | None = None,
    ) -> ModelT:
        """Send one request and validate its response as `model`; retried if the method is idempotent.

        Returns or raises within `call_deadline` seconds. Each attempt is a CLIENT span of its own. Raises
        DependencyUnavailable (CircuitOpen if nothing was sent), DependencyRefused or InvalidResponse. Give every list
        in `model` a `max_length`: pydantic collects an error per item, which takes 500 MB for a body of 1 MiB.
        """
        # Not by the session: its merging of cookies, hooks and parameters takes a tenth of a call's CPU.
        url, headers = self._base_url + path, self._session.headers
        request = requests.Request(method, url, headers, json=json, auth=self._auth).prepare()
        deadline = time.monotonic() + self._call_deadline
        attempts = ATTEMPTS if method in IDEMPOTENT_METHODS else 1
        retrying = Retrying(
            stop=stop_after_attempt(attempts) | stop_before_delay(self._call_deadline),
            wait=_pause,
            retry=retry_if_exception(lambda error: isinstance(error, DependencyUnavailable) and self._breaker.closed),
            before_sleep=_log_retry,
            reraise=True,
        )
        valid: ModelT = retrying(self._attempt, request, f"{method} {path}", model, deadline)
        return valid

    def _attempt(self, request: requests.PreparedRequest, call: str, model: type[ModelT], deadline: float) -> ModelT:
        if not self._breaker.acquire():
            pause = self._breaker.retry_after
            raise CircuitOpen(
                self.name, f"{call} was not sent: earlier calls failed; the next is sent in {pause:.1f} s", pause
            )
        try:
            valid = self._exchange(request, call, model, deadline)
        except DependencyUnavailable:
            self._breaker.failed()
            raise
        except DependencyError:
            self._breaker.succeeded()
            raise
        self._breaker.succeeded()
        return valid

    def _exchange(self, request: requests.PreparedRequest, call: str, model: type[ModelT], deadline: float) -> ModelT:
        """Send once and read the response; whatever goes wrong in reading it is an InvalidResponse."""
        seconds = max(0.001, min(self._attempt_timeout, deadline - time.monotonic()))
        timeout = urllib3.Timeout(total=seconds, connect=self._connect_timeout)
        try:
            # Typed as requests' own forms of a timeout only, though its documentation allows this one.
            response = self._session.send(request, timeout=timeout, allow_redirects=False)  # type: ignore[arg-type]
            return self._read(response, call, model)
        except DependencyError:
            raise
        except (requests.ConnectionError, requests.Timeout) as error:
            raise DependencyUnavailable(self.name, f"{call}: {type(error).__name__}") from error
        except ValidationError as error:
            raise InvalidResponse(self.name, f"{call}: unexpected body: {_first_reason(error)}") from None
        except Exception as error:
            raise InvalidResponse(self.name, f"{call}: {type(error).__name__}: {error}") from None

    def _read(self, response: requests.Response, call: str, model: type[ModelT]) -> ModelT:
        status = response.status_code
        if 200 <= status < 300:
            content_type = _media_type(response)
            if content_type != "application/json":
                raise InvalidResponse(self.name, f"{call}: unexpected Content-Type {content_type!r}")
            return model.model_validate_json(response.content)
        if status in UNAVAILABLE and not (status == 502 and _problem(response)):
            raise DependencyUnavailable(self.name, f"{call}: HTTP {status}", _retry_after(response))
        if 400 <= status < 500:
            problem = _problem(response)
            if problem is None:
                raise DependencyUnavailable(self.name, f"{call}: HTTP {status} without a problem body")
            raise DependencyRefused(self.name, status, problem.type.rsplit(":", 1)[-1], problem.detail)
        raise InvalidResponse(self.name, f"{call}: HTTP {status}")


_jitter = wait_random_exponential(multiplier=0.1, max=1.0)


def _pause(state: RetryCallState) -> float:
    """Seconds until the next attempt: longer and more random each time, and as long as the service asks for."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, DependencyUnavailable) else 0.0
    return max(asked, _jitter(state))


def _retry_after(response: requests.Response) -> float:
    try:
        return urllib3.Retry().parse_retry_after(response.headers.get("Retry-After", "0"))
    except (InvalidHeader, ValueError, OverflowError):  # also 5,000 digits, or the year 99999999
        return 0.0


def _media_type(response: requests.Response) -> str:
    return response.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _problem(response: requests.Response) -> ReceivedProblem | None:
    """Return the problem that the response states, None if it states none or that of another status."""
    if _media_type(response) != "application/problem+json":
        return None
    try:
        problem = ReceivedProblem.model_validate_json(response.content)
    except ValidationError:
        return None
    return problem if problem.status == response.status_code else None


def _first_reason(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def _log_retry(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    logger.warning("attempt %d failed, trying again: %s", state.attempt_number, error)
