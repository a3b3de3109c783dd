"""Calls to a peer service: a traced, pooled session, timeouts, bounded retries with jitter, typed errors."""

import logging
from typing import Any, TypeVar

import requests
import urllib3
from pydantic import BaseModel, ValidationError
from requests.adapters import HTTPAdapter
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    stop_before_delay,
    wait_random_exponential,
)
from urllib3.exceptions import InvalidHeader

logger = logging.getLogger(__name__)

TIMEOUT = (1.0, 3.0)
"""Seconds to connect and to wait for bytes, per attempt."""
ATTEMPTS = 3
BUDGET = 4.0
"""No attempt starts later than this many seconds after the first, so a call ends within BUDGET + sum(TIMEOUT)."""
CALL_DEADLINE = BUDGET + sum(TIMEOUT)
"""Seconds that a call takes at most, with all its attempts and the pauses between them."""

IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""https://www.rfc-editor.org/rfc/rfc9110.html#name-idempotent-methods"""
UNAVAILABLE = frozenset({429, 502, 503, 504})

AnswerT = TypeVar("AnswerT", bound=BaseModel)


class PeerError(Exception):
    """A call to `peer` that brought no usable answer."""

    def __init__(self, peer: str, detail: str) -> None:
        super().__init__(f"{peer}: {detail}")
        self.peer = peer
        self.detail = detail


class PeerUnavailable(PeerError):
    """No answer, or one to try again after `retry_after` seconds. Whether the peer did the work is not known."""

    def __init__(self, peer: str, detail: str, retry_after: float = 0.0) -> None:
        super().__init__(peer, detail)
        self.retry_after = retry_after


class CircuitOpen(PeerUnavailable):
    """The call was not sent: the dependency failed repeatedly a moment ago."""


class PeerRefused(PeerError):
    """A 4xx: the peer understood and said no. `problem` is the last word of its problem type."""

    def __init__(self, peer: str, status: int, problem: str, detail: str) -> None:
        super().__init__(peer, f"{status} {detail}")
        self.status = status
        self.problem = problem


class BadAnswer(PeerError):
    """An answer that breaks the contract: another status, or a body of another shape."""


class Peer:
    """One peer service by its base URL, e.g. `http://127.0.0.1:8081`."""

    def __init__(self, name: str, base_url: str, *, pool_size: int) -> None:
        self.name = name
        self._base_url = base_url
        self._session = requests.Session()
        # A proxy variable of the environment is for the outside world, and costs a look-up per call.
        self._session.trust_env = False
        # The scheme in full: requests takes the longest prefix, so its own http:// would win over a shorter one.
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_connections=1, pool_maxsize=pool_size))

    def close(self) -> None:
        """Close the pooled connections."""
        self._session.close()

    def call(
        self,
        method: str,
        path: str,
        answer: type[AnswerT],
        *,
        json: dict[str, Any] | None = None,
        idempotent: bool | None = None,
    ) -> AnswerT:
        """Send one request and validate its answer; retried if the method, or `idempotent`, allows it.

        Each attempt is a CLIENT span of its own. Raises PeerUnavailable, PeerRefused or BadAnswer.
        """
        if idempotent is None:
            idempotent = method in IDEMPOTENT_METHODS
        retrying = Retrying(
            stop=stop_after_attempt(ATTEMPTS if idempotent else 1) | stop_before_delay(BUDGET),
            wait=_pause,
            retry=retry_if_exception_type(PeerUnavailable),
            before_sleep=_log_retry,
            reraise=True,
        )
        response = retrying(self._attempt, method, path, json)
        try:
            return answer.model_validate_json(response.content)
        except ValidationError as error:
            raise BadAnswer(self.name, f"unexpected body: {error.errors()[0]['msg']}") from None

    def _attempt(self, method: str, path: str, json: dict[str, Any] | None) -> requests.Response:
        try:
            response = self._session.request(
                method, self._base_url + path, json=json, timeout=TIMEOUT, allow_redirects=False
            )
        except requests.RequestException as error:
            raise PeerUnavailable(self.name, f"{method} {path}: {type(error).__name__}") from error
        if response.status_code in UNAVAILABLE:
            raise PeerUnavailable(self.name, f"{method} {path}: HTTP {response.status_code}", _retry_after(response))
        if 400 <= response.status_code < 500:
            problem, detail = _problem(response)
            raise PeerRefused(self.name, response.status_code, problem, detail)
        if not 200 <= response.status_code < 300:
            raise BadAnswer(self.name, f"{method} {path}: HTTP {response.status_code}")
        return response


_jitter = wait_random_exponential(multiplier=0.1, max=1.0)


def _pause(state: RetryCallState) -> float:
    """Seconds until the next attempt: longer and more random each time, and as long as the peer asks for."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, PeerUnavailable) else 0.0
    return max(asked, _jitter(state))


def _retry_after(response: requests.Response) -> float:
    try:
        return urllib3.Retry().parse_retry_after(response.headers.get("Retry-After", "0"))
    except InvalidHeader:
        return 0.0


def _problem(response: requests.Response) -> tuple[str, str]:
    """(problem name, detail) of an RFC 9457 body; of any other, what its status line says."""
    try:
        body = response.json()
        return str(body["type"]).rsplit(":", 1)[-1], str(body.get("detail", ""))
    except (requests.JSONDecodeError, KeyError, TypeError):
        return "unknown", response.reason


def _log_retry(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    logger.warning("attempt %d failed, trying again: %s", state.attempt_number, error)
