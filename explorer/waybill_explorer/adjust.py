"""Makes a trace in Jaeger's JSON one that any viewer can show: unique span ids, a time for each span, no rings.

What is changed is said in the span's `warnings`. Jaeger has such adjusters too (jaegerquery/internal/adjuster).
"""

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]
SENT_ID = "otel.span_id"
"""The tag with the id that a span was sent with, where it is shown under another one."""
CALLERS = ("client", "producer")


def adjust(spans: list[Json], processes: Mapping[str, Json], arrival: int) -> None:
    """Adjust the spans of one trace in place; `arrival` (µs) is the time of a trace none of whose spans has one."""
    _make_ids_unique(spans, processes)
    by_id = {span["spanID"]: span for span in spans}
    _break_rings(spans, by_id)
    _place_untimed(spans, by_id, arrival)
    spans.sort(key=lambda span: int(span["startTime"]))


def _warn(span: Json, text: str) -> None:
    span["warnings"] = [*(span["warnings"] or ()), text]


def _parent(span: Json) -> Json | None:
    for reference in span["references"]:
        if reference["refType"] == "CHILD_OF" and reference["traceID"] == span["traceID"]:
            found: Json = reference
            return found
    return None


def _kind(span: Json) -> str:
    return next((str(tag["value"]) for tag in span["tags"] if tag["key"] == "span.kind"), "")


def _make_ids_unique(spans: list[Json], processes: Mapping[str, Json]) -> None:
    """Give a new id to all but one of the spans that share one.

    A client and its server share an id under Zipkin's and B3's rules: the server becomes the client's child. Children
    of a shared id go to the span of their own service, else to the server.
    """
    sharing: dict[str, list[Json]] = defaultdict(list)
    for span in spans:
        sharing[span["spanID"]].append(span)
    used = set(sharing)
    children = [(span, reference) for span in spans if (reference := _parent(span))]
    for shared, members in sharing.items():
        if len(members) < 2:
            continue
        members.sort(key=lambda span: _kind(span) not in CALLERS)  # a stable sort: else the earliest keeps the id
        first = members[0]
        owners = {id(member) for member in members}
        for number, member in enumerate(members[1:]):
            new = _new_id(shared, number, used)
            member["spanID"] = new
            member["tags"].append({"key": SENT_ID, "type": "string", "value": shared})
            if _kind(first) in CALLERS and _kind(member) not in CALLERS:
                member["references"] = [r for r in member["references"] if r is not _parent(member)]
                member["references"].insert(0, _child_of(member["traceID"], shared))
                _warn(member, f"The span shares the id {shared} with its client, as in Zipkin: shown as {new}.")
            else:
                _warn(member, f"Another span of this trace has the same id {shared}: shown as {new}.")
        for child, reference in children:
            if reference["spanID"] == shared and id(child) not in owners:
                reference["spanID"] = _owner(child, members, processes)["spanID"]


def _child_of(trace_id: str, span_id: str) -> Json:
    return {"refType": "CHILD_OF", "traceID": trace_id, "spanID": span_id}


def _new_id(shared: str, number: int, used: set[str]) -> str:
    """Make an id that stays the same when the trace is read again, so that links to the span work."""
    while True:
        new = hashlib.blake2b(f"{shared} {number}".encode(), digest_size=8).hexdigest()
        if new not in used:
            used.add(new)
            return new
        number += 1_000_000


def _owner(child: Json, members: list[Json], processes: Mapping[str, Json]) -> Json:
    def service(span: Json) -> str:
        return str(processes[span["processID"]]["serviceName"])

    same = [member for member in members if service(member) == service(child)]
    callees = [member for member in members if _kind(member) in ("server", "consumer")]
    return (same or callees or members)[0]


def _break_rings(spans: list[Json], by_id: Mapping[str, Json]) -> None:
    """Take the parent from one span of each ring, the earliest, so that it is a root."""
    done: set[str] = set()
    for span in spans:
        path: dict[str, Json] = {}
        current: Json | None = span
        while current is not None and current["spanID"] not in done and current["spanID"] not in path:
            path[current["spanID"]] = current
            reference = _parent(current)
            current = by_id.get(reference["spanID"]) if reference else None
        if current is not None and current["spanID"] in path:
            ids = list(path)
            ring = [path[one] for one in ids[ids.index(current["spanID"]) :]]
            earliest = min(ring, key=lambda one: int(one["startTime"]))
            parent = _parent(earliest)
            earliest["references"] = [r for r in earliest["references"] if r is not parent]
            ring_text = (
                f"Its parents form a ring of {len(ring):,} spans" if len(ring) > 1 else "The span is its own parent"
            )
            _warn(earliest, f"{ring_text}: shown without a parent.")
        done.update(path)


def _place_untimed(spans: list[Json], by_id: Mapping[str, Json], arrival: int) -> None:
    """Place a span that has neither start nor end at the start of its nearest ancestor that has one."""
    first = min((span["startTime"] for span in spans if span["startTime"]), default=arrival)
    spans.sort(key=lambda span: not span["startTime"])  # so that each comes after its parent, which starts with it
    for span in spans:
        if span["startTime"]:
            continue
        below = [span]
        start, where = first, "at the start of the trace"
        while (reference := _parent(below[-1])) and (above := by_id.get(reference["spanID"])):
            if above["startTime"]:
                start, where = above["startTime"], "at its parent's start"
                break
            below.append(above)
        for one in below:
            one["startTime"] = start
            _warn(one, f"The span has no times: shown {where}.")
