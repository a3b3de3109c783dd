"""What is different about some traces: what they have more often than the others of the same time.

A *fact* of a trace is an attribute of a span, an event or a resource, with its service; an operation; a service; or
that something failed or was refused in it; or that an operation took long: longer than all but as many of the traces
read as are selected. Each trace counts once, however often it has a fact. A fact is reported if

- at least MIN_SUPPORT of the selected traces have it,
- the share of the selected ones is at least MIN_DIFFERENCE above that of the others, and
- chance alone hardly explains it: the probability of at least so many among the selected ones (Fisher's exact test,
  one-sided), times the number of facts tested (Bonferroni), is below MAX_CHANCE. So noise is not reported as a cause.

They are ranked by `score`: the lower bound of the 95 % confidence interval of the difference of the two shares
(Newcombe's hybrid score interval). It weighs the difference by how sure it is: 5 of 5 is less than 500 of 500. Facts
that are as frequent in both groups as one that ranks higher, and the same attribute in another service, are listed
with it.

What the traces were selected by is no finding: attributes that a query names are left out.

Of many traces a sample is read, until SAMPLE of each side or BUDGET is spent, and LEAST of each side in any case. The
answer says how many that were.
"""

import random
import sqlite3
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from math import exp, lgamma, sqrt
from typing import NamedTuple

from typing_extensions import TypedDict

from waybill_explorer.decode import compact_json
from waybill_explorer.durations import duration_text
from waybill_explorer.encoded import EncodedResource, EncodedSpans, decoded
from waybill_explorer.query_language import ATTRIBUTE, terms
from waybill_explorer.query_text import attribute_term, quoted
from waybill_explorer.titles import one_line
from waybill_explorer.trace_queries import TraceQuery, find_ids
from waybill_explorer.traces import NO_NAME
from waybill_explorer.words import percent

SAMPLE = 2_000
"""Traces read of each side."""
BUDGET = 0.7
"""Seconds for reading; a trace that was begun is read to its end."""
LEAST = 200
"""Traces of each side that are read even if that takes longer, on a busy machine: of a few, nothing can be said."""
MOST_SECONDS = 10.0
"""Seconds after the budget is spent, when reading ends however few were read."""
MIN_SUPPORT = 3
MIN_DIFFERENCE = 0.1
MAX_CHANCE = 0.01
Z = 1.96
MAX_ROWS = 20
MAX_ALIKE = 8
MAX_VALUE = 300
"""Characters of a value."""
SLOWEST = 10
"""One of so many is slow."""
MAX_ITEMS = 400_000
"""Facts that are counted; beyond it those seen once are dropped, which could not be reported."""
SERVICE_NAME = "service.name"


class Long(NamedTuple):
    """That an operation took a number of microseconds or more."""

    operation: str
    limit: int


Item = bytes | str | Long
"""A fact inside a service: an encoded attribute, an operation or how long it took, or "" for the service itself."""
Fact = tuple[str, Item]
"""A service and an item. Facts of the whole trace have no service: "failed" and "refused"."""
SERVICE = ""
WHOLE_TRACE = ""


@dataclass(frozen=True)
class Box:
    """A part of the plane of start and duration (µs), its edges included."""

    start: int
    end: int
    low: int
    high: int


@dataclass
class DifferenceQuery:
    """Which traces to select and which to compare with.

    Those selected are of `chosen`: all of them, or those that `select`, `box` and `trace_ids` say. The others are
    all of `against` that are not selected. `select` is `slow`, `failed`, `refused` or nothing; `slow` are the slowest
    tenth of each operation, so that a slow operation is not taken for a cause.
    """

    chosen: TraceQuery
    against: TraceQuery
    select: str = ""
    box: Box | None = None
    trace_ids: frozenset[bytes] = frozenset()
    noun: str = ""
    """What sentences call the selected ones."""


class FactJson(TypedDict):
    """What traces have in common: `kind` is `attribute`, `operation`, `duration`, `service` or `outcome`.

    Of a duration, `key` is the operation and `value` how long it took at least. `query` finds it in
    the query language; it is empty where the value is too long for that.
    """

    kind: str
    service: str
    key: str
    value: str
    query: str


class DifferenceRow(FactJson):
    """A fact with its number of traces and share (0 to 1) in both groups, and others that are as frequent."""

    selected: int
    others: int
    selectedShare: float
    othersShare: float
    score: float
    sentence: str
    alike: list[FactJson]


class DifferenceJson(TypedDict):
    """What the selected traces have more often than the others; the most telling first.

    `selected` and `others` are how many there are, `selectedRead` and `othersRead` how many were read. `noun` names the
    selected ones, `note` says what was read or why nothing can be said.
    """

    noun: str
    selected: int
    others: int
    selectedRead: int
    othersRead: int
    tested: int
    note: str
    rows: list[DifferenceRow]


class Candidate(NamedTuple):
    """A trace: its duration in µs, its root's service and operation, how many spans failed and were refused."""

    id: int
    trace_id: bytes
    start: int
    duration: int
    root: tuple[str, str]
    errors: int
    refusals: int


@dataclass
class Counts:
    """In how many of the traces read each fact is."""

    read: int = 0
    of_service: dict[str, Counter[Item]] = field(default_factory=lambda: defaultdict(Counter))
    longest: dict[tuple[str, str], list[int]] = field(default_factory=lambda: defaultdict(list))
    """The longest span (µs) of each operation of a service in each trace that has one."""

    def add(self, facts: Mapping[str, Iterable[Item]], longest: Mapping[tuple[str, str], int]) -> None:
        """Count the facts of one trace."""
        self.read += 1
        for operation, duration in longest.items():
            self.longest[operation].append(duration)
        for service, items in facts.items():
            self.of_service[service].update(items)
        if self.read % 100 == 0 and sum(map(len, self.of_service.values())) > MAX_ITEMS:
            for service, counts in self.of_service.items():
                self.of_service[service] = Counter({item: count for item, count in counts.items() if count > 1})

    def count(self, fact: Fact) -> int:
        """Return in how many traces a fact is."""
        service, item = fact
        return self.of_service[service][item] if service in self.of_service else 0


class Evidence(NamedTuple):
    """A fact that is reported: how many traces of each group have it, and its score."""

    fact: Fact
    selected: int
    others: int
    score: float


def difference(db: sqlite3.Connection, query: DifferenceQuery) -> DifferenceJson:
    """Return what the selected traces have more often than the others."""
    deadline = time.monotonic() + BUDGET
    known = _candidates(db, query)
    selected = _selected([known[trace] for trace in find_ids(db, query.chosen) if trace in known], query)
    ids = {one.id for one in selected}
    others = [known[t] for t in find_ids(db, query.against) if t in known and t not in ids]
    counts = _count(db, selected, others, deadline)
    add_durations(*counts)
    tested, evidence = stand_out(*counts)
    noun = query.noun or {"": "selected ones"}.get(query.select, f"{query.select} ones")
    is_asked_for = _asked_for(query)
    rows = _rows([one for one in evidence if not is_asked_for(one.fact)], counts, noun)
    return {
        "noun": noun,
        "selected": len(selected),
        "others": len(others),
        "selectedRead": counts[0].read,
        "othersRead": counts[1].read,
        "tested": tested,
        "note": _note(len(selected), len(others), counts, noun, bool(rows)),
        "rows": rows,
    }


def _candidates(db: sqlite3.Connection, query: DifferenceQuery) -> dict[int, Candidate]:
    start, end = min(query.chosen.start, query.against.start), max(query.chosen.end, query.against.end)
    rows = db.execute(
        "SELECT id, trace_id, start, max(0, end - start), root_service, root_name, errors, refusals FROM traces"
        " WHERE start BETWEEN ? AND ?",
        (start, end),
    )
    return {
        trace: Candidate(trace, trace_id, start, duration, (service, name), errors, refusals)
        for trace, trace_id, start, duration, service, name, errors, refusals in rows
    }


def _selected(found: Sequence[Candidate], query: DifferenceQuery) -> list[Candidate]:
    tests: list[Callable[[Candidate], bool]] = []
    if box := query.box:
        tests.append(lambda one: box.start <= one.start <= box.end and box.low <= one.duration <= box.high)
    if query.trace_ids:
        tests.append(lambda one: one.trace_id in query.trace_ids)
    if query.select == "failed":
        tests.append(lambda one: one.errors > 0)
    if query.select == "refused":
        tests.append(lambda one: one.refusals > 0 and not one.errors)
    if query.select == "slow":
        slow = _slowest(found)
        tests.append(lambda one: one.id in slow)
    return [one for one in found if all(test(one) for test in tests)]


def _slowest(found: Iterable[Candidate]) -> set[int]:
    """Return the ids of the slowest tenth of each operation; of fewer than ten traces, none can be called slow."""
    by_root: dict[tuple[str, str], list[Candidate]] = defaultdict(list)
    for one in found:
        by_root[one.root].append(one)
    slow: set[int] = set()
    for alike in by_root.values():
        alike.sort(key=lambda one: (-one.duration, one.id))
        slow.update(one.id for one in alike[: len(alike) // SLOWEST])
    return slow


def _count(
    db: sqlite3.Connection, selected: Sequence[Candidate], others: Sequence[Candidate], deadline: float
) -> tuple[Counts, Counts]:
    """Read traces of both sides in turn, so that neither is short of them if the time is."""
    resources: dict[int, tuple[str, frozenset[bytes]]] = {}
    counts = Counts(), Counts()
    for pair in zip_longest(_sample(selected), _sample(others)):
        for one, side in zip(pair, counts, strict=True):
            if one is not None:
                side.add(*_facts(db, one, resources))
        late = time.monotonic() - deadline
        if late > MOST_SECONDS or (late > 0 and max(side.read for side in counts) >= LEAST):
            break
    return counts


def _sample(traces: Sequence[Candidate]) -> list[Candidate]:
    """Return up to SAMPLE of the traces in an order of which every beginning is a fair sample, each time the same."""
    return random.Random(0).sample(traces, min(SAMPLE, len(traces)))  # noqa: S311 - a sample, not a secret


def _facts(
    db: sqlite3.Connection, trace: Candidate, resources: dict[int, tuple[str, frozenset[bytes]]]
) -> tuple[dict[str, set[Item]], dict[tuple[str, str], int]]:
    """Return what a trace has, by service, and how long the longest span of each operation took (µs).

    The root is left out of the durations: that slow traces took long is no finding.
    """
    facts: dict[str, set[Item]] = defaultdict(set)
    longest: dict[tuple[str, str], int] = {}
    for resource, data in db.execute("SELECT resource, data FROM chunks WHERE trace = ?", (trace.id,)):
        if resource not in resources:
            resources[resource] = _resource(db, resource)
        service, attributes = resources[resource]
        items = facts[service]
        items.add(SERVICE)
        items.update(attributes)
        for scope_spans in EncodedSpans.FromString(data).scope_spans:
            for span in scope_spans.spans:
                name = span.name or NO_NAME
                items.add(name)
                duration = (span.end_time_unix_nano - span.start_time_unix_nano) // 1000
                if duration > longest.get((service, name), 0):
                    longest[service, name] = duration
                items.update(span.attributes)
                for event in span.events:
                    items.update(event.attributes)
    if trace.errors or trace.refusals:
        facts[WHOLE_TRACE].add("failed" if trace.errors else "refused")
    longest.pop(trace.root, None)
    return facts, longest


def add_durations(selected: Counts, others: Counts) -> None:
    """Count in both groups the traces in which an operation was long, for each operation that took different times.

    The limit is one for both, so that it does not depend on which traces are selected.
    """
    for operation in {*selected.longest, *others.longest}:
        sides = selected.longest[operation], others.longest[operation]
        ordered = sorted((*sides[0], *sides[1]), reverse=True)
        limit = ordered[min(selected.read, len(ordered)) - 1]
        if limit > ordered[-1]:
            service, name = operation
            for counts, durations in zip((selected, others), sides, strict=True):
                counts.of_service[service][Long(name, limit)] = sum(duration >= limit for duration in durations)


def _resource(db: sqlite3.Connection, resource: int) -> tuple[str, frozenset[bytes]]:
    """Return the service of a resource and its attributes without the service's name."""
    row = db.execute("SELECT service, body FROM resources WHERE id = ?", (resource,)).fetchone()
    attributes = EncodedResource.FromString(row["body"]).attributes
    return row["service"], frozenset(one for one in attributes if decoded(one)[0] != SERVICE_NAME)


def stand_out(selected: Counts, others: Counts) -> tuple[int, list[Evidence]]:
    """Return how many facts were tested, and those that stand out, the highest score first."""
    facts = {
        (service, item): count
        for service, counts in selected.of_service.items()
        for item, count in counts.items()
        if count >= MIN_SUPPORT
    }
    n, m = selected.read, others.read
    tested = _tested(selected, others)
    found = []
    for fact, count in facts.items():
        there = others.count(fact)
        if not m or count / n - there / m < MIN_DIFFERENCE:
            continue
        if chance(count, n, there, m) * tested < MAX_CHANCE:
            found.append(Evidence(fact, count, there, certain_difference(count, n, there, m)))
    return tested, sorted(found, key=lambda one: (-one.score, _simplicity(one.fact)))


def _tested(selected: Counts, others: Counts) -> int:
    """Return how many facts are frequent enough in both groups together to be tested."""
    services = {*selected.of_service, *others.of_service}
    return sum(
        count >= MIN_SUPPORT
        for service in services
        for count in (selected.of_service[service] + others.of_service[service]).values()
    )


def chance(a: int, n: int, b: int, m: int) -> float:
    """Return the probability of at least `a` of `n` if the `a + b` of `n + m` were drawn at random (hypergeometric)."""
    drawn = a + b
    whole = _log_choose(n + m, drawn)
    return min(
        1.0,
        sum(exp(_log_choose(n, k) + _log_choose(m, drawn - k) - whole) for k in range(a, min(n, drawn) + 1)),
    )


def _log_choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) if 0 <= k <= n else float("-inf")


def certain_difference(a: int, n: int, b: int, m: int) -> float:
    """Return the lower bound of the 95 % interval of `a / n - b / m` (Newcombe 1998, method 10)."""
    low, high = _wilson(a, n)[0], _wilson(b, m)[1]
    return a / n - b / m - sqrt((a / n - low) ** 2 + (high - b / m) ** 2)


def _wilson(count: int, total: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927)."""
    share, z2 = count / total, Z * Z / total
    middle = share + z2 / 2
    half = Z * sqrt(share * (1 - share) / total + z2 / (4 * total))
    return (middle - half) / (1 + z2), (middle + half) / (1 + z2)


def _simplicity(fact: Fact) -> tuple[int, int, str, str]:
    """Sort attributes before operations and services, short ones first; durations of inner operations before outer."""
    service, item = fact
    if isinstance(item, Long):
        return 3, item.limit, service, item.operation
    if isinstance(item, bytes):
        return 0, len(item), service, item.hex()
    return 1 if item else 2, len(item), service, item


def _asked_for(query: DifferenceQuery) -> Callable[[Fact], bool]:
    """Return a function that says whether a fact is what traces were selected by: that they have it is no finding."""
    named = [*terms(query.chosen.node), *terms(query.against.node)]
    keys = {term.key for term in named if term.field == ATTRIBUTE}
    fields = {field: [term.test for term in named if term.field == field] for field in ("service", "operation")}
    is_of_outcome = query.select in ("failed", "refused") or any(term.field == "status" for term in named)

    def is_asked_for(fact: Fact) -> bool:
        service, item = fact
        if service == WHOLE_TRACE:
            return is_of_outcome
        if isinstance(item, bytes):
            return decoded(item)[0] in keys
        if isinstance(item, Long):
            return False
        field, value = ("operation", item) if item else ("service", service)
        return any(test.accepts(value) for test in fields[field])

    return is_asked_for


def _rows(evidence: Iterable[Evidence], counts: tuple[Counts, Counts], noun: str) -> list[DifferenceRow]:
    rows: list[DifferenceRow] = []
    known: dict[object, DifferenceRow] = {}
    for one in evidence:
        fact = fact_json(one.fact)
        keys = ((one.selected, one.others), (fact["kind"], fact["key"], fact["value"]))
        row = next((known[key] for key in keys if key in known), None)
        if row:
            row["alike"] += [fact][: MAX_ALIKE - len(row["alike"])]
        elif len(rows) < MAX_ROWS:
            row = _row(one, fact, counts, noun)
            rows.append(row)
        else:
            break
        known |= dict.fromkeys(keys, row)
    return rows


def _row(one: Evidence, fact: FactJson, counts: tuple[Counts, Counts], noun: str) -> DifferenceRow:
    here, there = one.selected / counts[0].read, one.others / counts[1].read
    return {
        **fact,
        "selected": one.selected,
        "others": one.others,
        "selectedShare": here,
        "othersShare": there,
        "score": one.score,
        "sentence": f"{percent(here)} of the {noun} {phrase(fact)}; {percent(there)} of the others",
        "alike": [],
    }


def fact_json(fact: Fact) -> FactJson:
    """Return a fact as it is shown and searched for."""
    service, item = fact
    if service == WHOLE_TRACE:
        status = "error" if item == "failed" else "refused"
        return {"kind": "outcome", "service": "", "key": "outcome", "value": str(item), "query": f"status:{status}"}
    of_service = f"service={quoted(service)}"
    if isinstance(item, Long):
        query = f"{of_service} operation={quoted(item.operation)} duration>={item.limit}us"
        value = duration_text(item.limit)
        return {"kind": "duration", "service": service, "key": item.operation, "value": value, "query": query}
    if item == SERVICE:
        return {"kind": "service", "service": service, "key": "service", "value": service, "query": of_service}
    if isinstance(item, str):
        query = f"{of_service} operation={quoted(item)}"
        return {"kind": "operation", "service": service, "key": "operation", "value": item, "query": query}
    key, value = decoded(item)
    text = value if isinstance(value, str) else compact_json(value)
    query = f"{of_service} {attribute_term(key, text)}" if len(text) <= MAX_VALUE else ""
    return {"kind": "attribute", "service": service, "key": key, "value": text[:MAX_VALUE], "query": query}


def phrase(fact: FactJson) -> str:
    """Return what a trace with this fact does, to follow "of the slow ones"."""
    kind, value = fact["kind"], one_line(fact["value"])
    if kind == "outcome":
        return "have a span that failed" if value == "failed" else "were refused"
    if kind == "service":
        return f"call {value}"
    if kind == "duration":
        return f"took {value} or more in {one_line(fact['key'])} of {fact['service']}"
    if kind == "operation":
        return f"have {value} in {fact['service']}"
    if fact["key"] in ("db.query.text", "db.statement"):
        return f"run {value} in {fact['service']}"
    return f"have {fact['key']}={value} in {fact['service']}"


def _note(selected: int, others: int, counts: tuple[Counts, Counts], noun: str, has_rows: bool) -> str:
    if selected < MIN_SUPPORT or not others:
        lacking = f"{selected:,} selected" if selected < MIN_SUPPORT else "nothing to compare with"
        return f"Too few traces to compare: {lacking}."
    read = [
        f"{side.read:,} of {total:,} {name}"
        for side, total, name in zip(counts, (selected, others), (noun, "others"), strict=True)
        if side.read < total
    ]
    parts = [f"Read {' and '.join(read)}." if read else f"Read all {selected + others:,} traces."]
    if not has_rows:
        parts.append(f"The {noun} have nothing more often than the others, as far as chance can be ruled out.")
    return " ".join(parts)
