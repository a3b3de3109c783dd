"""HTTP clients of the order API and of the trace read API (Jaeger's JSON), with errors that say what to do."""

import re
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import requests

from local.trace_tree import Trace, read_trace, unfinished

TIMEOUT = (10.0, 60.0)
"""Seconds to connect, seconds between two bytes of an answer: what a slow machine takes is not a failure."""


class ClientError(Exception):
    """Something a person can act on; the text is the whole message."""


def new_session() -> requests.Session:
    """Return a session that ignores proxies and .netrc: what it talks to is on this machine or named by the user."""
    session = requests.Session()
    session.trust_env = False
    return session


def request(session: requests.Session, method: str, url: str, *, who: str, **options: Any) -> requests.Response:
    """Make an HTTP call; `who` names the callee. Raise ClientError if there is no response."""
    where = urlsplit(url).netloc or url
    try:
        return session.request(method, url, timeout=TIMEOUT, **options)
    except requests.ConnectionError as error:
        start = "start it with `make demo`, or look with `waybill doctor`"
        raise ClientError(f"{who} does not answer on {where}: {start}") from error
    except requests.Timeout as error:
        raise ClientError(f"{who} took too long to answer on {where}: look with `waybill doctor`") from error
    except (requests.RequestException, ValueError) as error:
        raise ClientError(f"{url} cannot be asked: {error}") from error


def json_of(response: requests.Response) -> Any:
    """Return the decoded body, or None when it is not JSON."""
    try:
        return response.json()
    except requests.JSONDecodeError:
        return None


def trace_id_of(response: requests.Response) -> str | None:
    """Return the trace id in a response's W3C `traceresponse` header (version-traceid-spanid-flags)."""
    match = re.fullmatch(
        r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}", response.headers.get("traceresponse", "")
    )
    return match[1] if match else None


def order_body(lines: dict[str, int], *, token: str, region: str, customer: str) -> dict[str, Any]:
    """Return the JSON body of `POST /orders`; `lines` maps sku to quantity."""
    return {
        "customer_id": customer,
        "region": region,
        "payment_token": token,
        "lines": [{"sku": sku, "quantity": quantity} for sku, quantity in lines.items()],
    }


def place_order(api: str, body: dict[str, Any], key: str | None = None) -> requests.Response:
    """`POST /orders`, under a new Idempotency-Key unless one is given."""
    headers = {"Idempotency-Key": key or str(uuid.uuid4())}
    with new_session() as session:
        return request(session, "POST", f"{api}/orders", who="order-service", json=body, headers=headers)


def skus_in_stock(api: str) -> list[str]:
    """Return the SKUs in stock, the most plentiful first. Raise ClientError if there are none."""
    with new_session() as session:
        response = request(session, "GET", f"{api}/items", who="order-service")
    if response.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
        raise ClientError("order-service gets no catalogue from inventory-service: look with `waybill doctor`")
    answer = json_of(response)
    try:
        plentiful_first = sorted(answer["items"], key=lambda item: -item["stock"])
        skus = [item["sku"] for item in plentiful_first if item["stock"] > 0]
    except (TypeError, KeyError) as error:
        raise ClientError(f"{api}/items is not order-service's catalogue: something else has its port") from error
    if not skus:
        raise ClientError("every item is out of stock: start afresh with `waybill reset`, or name one with --sku")
    return skus


@dataclass(frozen=True, slots=True)
class Fetched:
    """A trace as Jaeger's JSON and read; `logs` is None when the backend keeps none."""

    data: dict[str, Any]
    trace: Trace
    logs: list[dict[str, Any]] | None
    complete: bool = True


class TraceApi:
    """The read API on TRACES_PORT: the local backend's, or a real Jaeger's."""

    def __init__(self, base: str) -> None:
        self.base = base
        self._session = new_session()

    def link(self, trace_id: str) -> str:
        return f"{self.base}/trace/{trace_id}"

    def get(self, path: str, **params: Any) -> requests.Response:
        return request(self._session, "GET", self.base + path, who="the trace backend", params=params)

    def trace(self, trace_id: str) -> Fetched | None:
        """Return the trace and its logs, or None if it has not arrived. Raise ClientError for a bad response."""
        response = self.get(f"/api/traces/{trace_id}")
        if response.status_code == 404:
            return None
        body = json_of(response)
        if not response.ok or not isinstance(body, dict):
            raise ClientError(f"{response.url} answers {response.status_code}, not a trace: is --traces right?")
        if not body.get("data"):
            return None
        try:
            data = body["data"][0]
            return Fetched(data, read_trace(data), self._logs(trace_id))
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise ClientError(f"{response.url} is not a trace in Jaeger's JSON: {error!r}") from error

    def _logs(self, trace_id: str) -> list[dict[str, Any]] | None:
        response = self.get("/api/logs", trace_id=trace_id)
        body = json_of(response)
        # Jaeger has no logs and answers unknown paths with its page, status 200.
        if not response.ok or not isinstance(body, dict):
            return None
        return list(body.get("data") or [])

    def wait_for_trace(self, trace_id: str, deadline: float = 30.0, patience: float = 6.0) -> Fetched | None:
        """Return the trace once all of it has arrived: services send spans in batches, up to 5 s late.

        `patience` is how long (s) an unchanged trace may lack what `unfinished` calls "perhaps". When nothing has
        arrived for `deadline` seconds: what is there, `complete=False`, or None.
        """
        size, changed = -1, time.monotonic()
        fetched = None
        while time.monotonic() - changed < deadline:
            fetched = self.trace(trace_id)
            if fetched:
                before, size = size, len(fetched.trace.spans) + len(fetched.logs or [])
                if size != before:
                    changed = time.monotonic()
                logged = None if fetched.logs is None else services_of(fetched.logs)
                surely, perhaps = unfinished(fetched.trace, logged)
                stable = size == before and (not perhaps or time.monotonic() - changed > patience)
                if stable and not surely:
                    return fetched
            time.sleep(0.25)
        return fetched and Fetched(fetched.data, fetched.trace, fetched.logs, complete=False)


def services_of(logs: Iterable[dict[str, Any]]) -> set[str]:
    """Return the services that wrote these log records."""
    return {str(record.get("service")) for record in logs}
