"""Where a request's time went: self time on the critical path, added up over spans that did the same.

Self time is what a span's children on the critical path do not cover. Each kind of it has a name, so that the answer
says what the request waited for, not only where.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from waybill_explorer import titles
from waybill_explorer.trace_tree import Section, Span, total, walk

SHOWN = 5
"""Bottlenecks that are reported, the largest first."""
MANY = 10
"""Equal queries or calls of one request from which they are an N+1."""
LOCK_STATEMENT = re.compile(
    r"\s*(BEGIN\s+(IMMEDIATE|EXCLUSIVE)|LOCK\s+TABLE|SELECT\s+pg_advisory_(xact_)?lock)\b", re.IGNORECASE
)
LOCKING_READ = re.compile(r"\bFOR\s+(NO\s+KEY\s+)?(UPDATE|KEY\s+SHARE|SHARE)\b", re.IGNORECASE)
POOL = re.compile(r"(?i)(connect|pg-pool\.connect|(\w+\.)*getConnection)$")
"""Spans of a checkout: of SQLAlchemy and psycopg, of node-postgres, of JDBC's data sources."""
WAITED_FOR = re.compile(r"(?i)(^|[._])waited_for$")
"""The end of an attribute that says what a span waited for, such as db.sqlite.waited_for."""
MAX_NAME = 60
"""Characters of a statement or name in the words: the span has the rest."""
LITERAL = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|'(?:[^']|'')*'|\b\d+(?:\.\d+)?\b")


class Kind(StrEnum):
    """What the self time of a span is."""

    LOCK = "lock"
    POOL = "pool"
    QUERY = "query"
    NETWORK = "network"
    """A client's time that the server's span does not cover: the network, or a queue before the server."""
    CALL = "call"
    """A client's time where no span of the other side is in the trace."""
    CODE = "code"
    """A span without children: its own work."""
    GAP = "gap"
    """Before, between and after the children of a span: work that no span covers."""


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """Spans that did the same: `time` µs of self time on the critical path, of the `total` of the request.

    `span` is the one with most of it and `endpoint` the request inside which it ran. `where` and `what` are words, as
    in "1.76 s of 5.12 s: waiting for the write lock, 2 x BEGIN IMMEDIATE, in order-service POST /orders".
    """

    kind: Kind
    where: str
    what: str
    count: int
    time: int
    total: int
    span: Span
    endpoint: Span


@dataclass(slots=True)
class _Group:
    span: Span
    most: int = 0
    time: int = 0
    count: int = 0

    def add(self, span: Span, time: int) -> None:
        self.time += time
        self.count += 1
        if time > self.most:
            self.span, self.most = span, time


def bottlenecks(root: Span, path: Mapping[str, list[Section]], most: int = SHOWN) -> list[Bottleneck]:
    """Return where most of the critical path of `root` was spent, the largest first; nothing if it took no time."""
    if not root.duration:
        return []
    endpoints = _endpoints(root)
    groups: dict[tuple[str, ...], _Group] = {}
    repeated: dict[tuple[str, ...], Counter[str]] = {}
    for span in walk([root]):
        time = total(path.get(span.span_id, ()))
        if time:
            kind = kind_of(span)
            key = _key(kind, span, endpoints[span.span_id])
            groups.setdefault(key, _Group(span)).add(span, time)
            repeated.setdefault(key, Counter())[endpoints[span.span_id].span_id] += 1
    largest = sorted(groups.items(), key=lambda item: -item[1].time)[:most]
    return [_bottleneck(group, max(repeated[key].values()), root, endpoints, path) for key, group in largest]


def bottleneck(root: Span, path: Mapping[str, list[Section]]) -> Bottleneck | None:
    """Return where most of the critical path was spent, or None when the request took no time."""
    return next(iter(bottlenecks(root, path, 1)), None)


def _endpoints(root: Span) -> dict[str, Span]:
    """Map each span to the request that it is part of: its nearest SERVER or CONSUMER span, else the root."""
    endpoints = {root.span_id: root}
    for span in walk([root]):
        for child in span.children:
            is_request = child.kind in ("server", "consumer")
            endpoints[child.span_id] = child if is_request else endpoints[span.span_id]
    return endpoints


def kind_of(span: Span) -> Kind:
    """Return what the self time of a span is."""
    statement = titles.statement(span)
    if _waited_for(span) or LOCK_STATEMENT.match(statement):
        return Kind.LOCK
    if titles.is_database(span):
        return Kind.POOL if not statement and POOL.match(span.name) else Kind.QUERY
    if span.kind in ("client", "producer"):
        if _server(span):
            return Kind.NETWORK
        if not span.children:
            return Kind.CALL
    return Kind.GAP if any(not child.asynchronous for child in span.children) else Kind.CODE


def _name(span: Span) -> str:
    return _brief(titles.title(span))


def _brief(name: str) -> str:
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 1].rstrip()}…"


def _waited_for(span: Span) -> str:
    for key in span.tags:
        if _says_what_was_waited_for(key):
            return str(span.tags[key])
    return ""


@lru_cache(maxsize=1024)  # keys are few, and those of each span are looked at
def _says_what_was_waited_for(key: str) -> bool:
    return WAITED_FOR.search(key) is not None


def _server(client: Span) -> Span | None:
    """Return the span in which the other side served a call, if it is in the trace."""
    return next((child for child in client.children if child.kind == "server"), None)


def _key(kind: Kind, span: Span, endpoint: Span) -> tuple[str, ...]:
    """Return what is equal of spans that did the same."""
    if kind is Kind.NETWORK and (server := _server(span)):
        return kind, span.service, server.service, server.name
    if kind in (Kind.GAP, Kind.CODE):
        return "own", span.service, titles.title(span)
    place = (endpoint.service, endpoint.name)
    return kind, span.service, _alike(titles.title(span)), _alike(titles.peer(span)), *place


@lru_cache(maxsize=256)  # a trace has thousands of spans, but few titles
def _alike(title: str) -> str:
    """Return a title with `?` for each literal, so that statements and addresses with other values are equal."""
    return LITERAL.sub("?", title)


def _bottleneck(
    group: _Group, repeated: int, root: Span, endpoints: Mapping[str, Span], path: Mapping[str, list[Section]]
) -> Bottleneck:
    span = group.span
    endpoint, kind = endpoints[span.span_id], kind_of(span)
    server = _server(span)
    if kind is Kind.NETWORK and server:
        where = f"between {span.service} and {server.service}"
    elif span.service != endpoint.service:
        where = f"in {span.service}"
    else:
        where = f"in {endpoint.service} {_name(endpoint)}"
    return Bottleneck(
        kind=kind,
        where=titles.one_line(where),
        what=_what(kind, group, repeated, endpoint, path),
        count=group.count,
        time=group.time,
        total=root.duration,
        span=span,
        endpoint=endpoint,
    )


def _what(kind: Kind, group: _Group, repeated: int, endpoint: Span, path: Mapping[str, list[Section]]) -> str:
    span, count = group.span, group.count
    times = f"{count:,} x " if count > 1 else ""
    name = _name(span)
    many = ", an N+1" if repeated >= MANY else ""
    if kind is Kind.LOCK:
        return f"waiting for the {_waited_for(span) or 'lock'}, {times}{name}"
    if kind is Kind.POOL:
        return f"waiting for a connection of the pool, {times}{name}"
    if kind is Kind.QUERY:
        lock = ", which also waits for row locks" if LOCKING_READ.search(titles.statement(span)) else ""
        return f"{times}{_brief(_alike(titles.title(span))) if count > 1 else name}{many}{lock}"
    if kind is Kind.NETWORK and (server := _server(span)):
        return f"network or queue, {times}{_name(server)}{many}"
    if kind is Kind.CALL:
        return f"{times}{' '.join(filter(None, (name, titles.peer(span))))}{many}, no span of the other side"
    own = "own code" if span is endpoint else name
    return f"{times}{own}{_gap(span, path)}" if kind is Kind.GAP else f"{times}{own}"


def _gap(span: Span, path: Mapping[str, list[Section]]) -> str:
    """Say between which children most of a span's self time is, or that it is between all of them."""
    sections = path[span.span_id]
    start, end = max(sections, key=lambda section: section[1] - section[0])
    if (end - start) * 2 <= total(sections):
        return ", outside its child spans"
    before = next((child for child in _on_path(span, path) if min(child.end, span.end) == start), None)
    after = next((child for child in _on_path(span, path) if max(child.start, span.start) == end), None)
    if before and after:
        return f" between {_name(before)} and {_name(after)}"
    if after:
        return f" before {_name(after)}"
    return f" after {_name(before)}" if before else ", outside its child spans"


def _on_path(span: Span, path: Mapping[str, list[Section]]) -> Iterator[Span]:
    return (child for child in span.children if child.span_id in path)
