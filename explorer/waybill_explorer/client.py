"""Client of the read API (Jaeger's JSON), the explorer's or a real Jaeger's, with errors that say what to do."""

import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import urlsplit

import requests

from waybill_explorer.bottleneck import bottleneck
from waybill_explorer.trace_tree import Trace, critical_path, read_trace, unfinished

TIMEOUT = (10.0, 60.0)
"""Seconds to connect, seconds between two bytes of an answer: what a slow machine takes is not a failure."""
PAGE = 500
"""Items that are requested at a time."""


class ClientError(Exception):
    """Something a person can act on; the text is the whole message."""

    exit_status: ClassVar[int] = 1


class WrongQuery(ClientError):
    """The text of a query is wrong at `position`, an index."""

    exit_status: ClassVar[int] = 2

    def __init__(self, problem: str, query: str, position: int) -> None:
        super().__init__(problem)
        self.query = query
        self.position = position


def new_session() -> requests.Session:
    """Return a session that ignores proxies and .netrc: what it talks to is on this machine or named by the user."""
    session = requests.Session()
    session.trust_env = False
    return session


@dataclass(frozen=True)
class Advice:
    """What to do when the other side cannot be reached, or takes too long."""

    unreachable: str
    slow: str


def request(
    session: requests.Session, method: str, url: str, *, who: str, advice: Advice, **options: Any
) -> requests.Response:
    """Make an HTTP call; `who` names the callee. Raise ClientError if there is no response."""
    where = urlsplit(url).netloc or url
    try:
        return session.request(method, url, timeout=TIMEOUT, **options)
    except requests.ConnectionError as error:
        raise ClientError(f"{who} does not answer on {where}: {advice.unreachable}") from error
    except requests.Timeout as error:
        raise ClientError(f"{who} took too long to answer on {where}: {advice.slow}") from error
    except (requests.RequestException, ValueError) as error:
        raise ClientError(f"{url} cannot be asked: {error}") from error


def json_of(response: requests.Response) -> Any:
    """Return the decoded body, or None when it is not JSON."""
    try:
        return response.json()
    except requests.JSONDecodeError:
        return None


def valid_trace_id(text: str) -> str:
    """Return a trace id that a person gave, in lower case. Raise ClientError if it is not one."""
    trace_id = text.strip().lower()
    if not re.fullmatch(r"[0-9a-f]{32}", trace_id) or not int(trace_id, 16):
        raise ClientError(f"{trace_id!r} is not a trace id: it has 32 hex digits, not all of them 0")
    return trace_id


@dataclass(frozen=True, slots=True)
class Fetched:
    """A trace as Jaeger's JSON and read; `logs` is None when the backend keeps none."""

    data: dict[str, Any]
    trace: Trace
    logs: list[dict[str, Any]] | None
    complete: bool = True


class TraceApi:
    """The read API at a base URL."""

    advice: ClassVar[Advice] = Advice("start it with `waybill-explorer`, or name another with --url", "try again")

    def __init__(self, base: str) -> None:
        self.base = base
        self._session = new_session()

    def link(self, trace_id: str) -> str:
        return f"{self.base}/trace/{trace_id}"

    def get(self, path: str, **params: Any) -> requests.Response:
        return request(
            self._session, "GET", self.base + path, who="the trace backend", advice=self.advice, params=params
        )

    def trace(self, trace_id: str) -> Fetched | None:
        """Return the trace and its logs, or None if it has not arrived. Raise ClientError for a bad response."""
        response = self.get(f"/api/traces/{trace_id}")
        if response.status_code == 404:
            return None
        body = json_of(response)
        if not response.ok or not isinstance(body, dict):
            raise ClientError(f"{response.url} answers {response.status_code}, not a trace: is the URL right?")
        if not body.get("data"):
            return None
        try:
            data = body["data"][0]
            trace = read_trace(data)
            return Fetched(data, trace, self._logs(trace))
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise ClientError(f"{response.url} is not a trace in Jaeger's JSON: {error!r}") from error

    def score(self, **params: Any) -> dict[str, Any]:
        """Return what `/api/score` gives. Raise ClientError where there is none, as from a Jaeger."""
        return dict(self.data("/api/score", **params))

    def comparison(self, **params: Any) -> dict[str, Any]:
        """Return what `/api/comparison` gives of two groups of traces. Raise ClientError and WrongQuery."""
        return dict(self.data("/api/comparison", **params))

    def difference(self, **params: Any) -> dict[str, Any]:
        """Return what `/api/difference` gives. Raise ClientError and WrongQuery."""
        return dict(self.data("/api/difference", **params))

    def data(self, path: str, **params: Any) -> Any:
        """Return the `data` of a response. Raise ClientError where there is none, WrongQuery for a mistake in `q`."""
        return self._envelope(path, params)["data"]

    def pages(self, path: str, limit: int, **params: Any) -> Iterator[dict[str, Any]]:
        """Yield at most `limit` items of a long answer, page by page. Raise ClientError and WrongQuery."""
        cursor = None
        while limit > 0:
            body = self._envelope(path, params | {"limit": min(limit, PAGE), "cursor": cursor})
            yield from body["data"][:limit]
            limit -= len(body["data"])
            cursor = body.get("next")
            if not cursor:
                return

    def _envelope(self, path: str, params: dict[str, Any]) -> dict[str, Any]:
        response = self.get(path, **params)
        body = json_of(response)
        if isinstance(body, dict) and body.get("errors"):
            error = body["errors"][0]
            if "position" in error:
                name, problem = re.findall(r"param '(\w+)': (.*)", error["msg"])[0]
                raise WrongQuery(problem, str(params.get(name, "")), error["position"])
            raise ClientError(f"{response.url}: {error['msg']}")
        if not response.ok or not isinstance(body, dict) or "data" not in body:
            what = f"{self.base}{path} answers {response.status_code}"
            raise ClientError(f"{what}, which is no answer of its read API: is it an explorer?")
        return body

    def find(self, trace_id: str) -> Fetched:
        """Return a trace. Raise ClientError if it is not there."""
        fetched = self.trace(trace_id)
        if fetched is None:
            raise ClientError(
                f"no trace {trace_id} on {self.base}. If it is new, try again: services send their spans in batches, "
                "up to 5 s later. If it is old, it may have been removed to make room"
            )
        return fetched

    def _logs(self, trace: Trace) -> list[dict[str, Any]] | None:
        response = self.get("/api/logs", trace_id=trace.trace_id)
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


def as_json(fetched: Fetched | None) -> dict[str, Any]:
    """Return a trace for scripts: as Jaeger's JSON, its logs, its critical path and its bottleneck."""
    if fetched is None:
        return {"trace": None, "logs": None, "critical_path": None, "bottleneck": None, "complete": False}
    path = critical_path(fetched.trace.root)
    worst = bottleneck(fetched.trace.root, path)
    return {
        "trace": fetched.data,
        "logs": fetched.logs,
        "critical_path": [{"span_id": span, "sections": sections} for span, sections in path.items() if sections],
        "bottleneck": worst
        and {
            "kind": worst.kind,
            "where": worst.where,
            "what": worst.what,
            "service": worst.span.service,
            "operation": worst.span.name,
            "span_id": worst.span.span_id,
            "spans": worst.count,
            "time": worst.time,
            "total": worst.total,
        },
        "complete": fetched.complete,
    }
