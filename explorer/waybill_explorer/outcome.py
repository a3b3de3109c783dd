"""What came of a span: it succeeded, it was refused, or it failed. Every view counts by this one definition.

- *Failed*: the response status is 5xx (gRPC: a code that is the server's fault), or the span has the status ERROR
  without a response status.
- *Refused*: the response status is 4xx (gRPC: a code that is the caller's fault). Both sides worked as they should.
- A span with the status ERROR and without a response status is what the last of its children that did not succeed is:
  the step of an order whose card was declined is refused, not failed. Where no child explains it, it is refused if it
  is a step of a request that was refused: the check of the card says no, and the request responds with 402.
"""

from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum
from typing import NamedTuple

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

HTTP_KEYS = ("http.response.status_code", "http.status_code")
GRPC_KEYS = ("rpc.response.status_code", "rpc.grpc.status_code")
KEYS = frozenset((*HTTP_KEYS, *GRPC_KEYS))
GRPC_CODES = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"),
    *("PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED"),
    *("INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"),
)
GRPC_FAILURES = ("UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS")
"""The codes that OpenTelemetry's conventions call errors of a server."""
WITH_RESPONSE = (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT)


class Outcome(IntEnum):
    """What came of a span; UNEXPLAINED until its children say it."""

    OK = 0
    REFUSED = 1
    FAILED = 2
    UNEXPLAINED = 3


class Problem(NamedTuple):
    """A span that did not succeed, by itself: its id, its parent's, and when it ended."""

    span_id: str | bytes
    parent_id: str | bytes | None
    own: Outcome
    end: int


def own_outcome(is_error: bool, attributes: Mapping[str, object]) -> Outcome:
    """Return what a span says of itself, by its status and the KEYS among its attributes."""
    if KEYS.isdisjoint(attributes):  # most spans: of 20,000 in a trace, nothing more is looked at
        return Outcome.UNEXPLAINED if is_error else Outcome.OK
    return (
        _http(next((attributes[key] for key in HTTP_KEYS if key in attributes), None))
        or _grpc(next((attributes[key] for key in GRPC_KEYS if key in attributes), None))
        or (Outcome.UNEXPLAINED if is_error else Outcome.OK)
    )


def sent_outcome(span: Span) -> Outcome:
    """Return what a span says of itself, as it was sent."""
    is_error = span.status.code == Status.STATUS_CODE_ERROR
    if not is_error and span.kind not in WITH_RESPONSE:
        return Outcome.OK
    return own_outcome(is_error, _codes(span))


def response_status(span: Span) -> str:
    """Return the response status of a span as it was sent, or the name of its own."""
    codes = _codes(span)
    return str(next((codes[key] for key in (*HTTP_KEYS, *GRPC_KEYS) if key in codes), "ERROR"))


def _codes(span: Span) -> dict[str, object]:
    return {item.key: item.value.int_value or item.value.string_value for item in span.attributes if item.key in KEYS}


def _http(status: object) -> Outcome:
    code = _number(status)
    return Outcome.FAILED if 500 <= code < 600 else Outcome.REFUSED if 400 <= code < 500 else Outcome.OK


def _grpc(status: object) -> Outcome:
    code = _number(status)
    name = GRPC_CODES[code] if 0 <= code < len(GRPC_CODES) else str(status).upper()
    if name not in GRPC_CODES or name == "OK":
        return Outcome.OK
    return Outcome.FAILED if name in GRPC_FAILURES else Outcome.REFUSED


def _number(value: object) -> int:
    """Return a whole number that may have been sent as text, or -1."""
    try:
        return int(str(value))
    except ValueError:
        return -1


def outcomes(problems: Iterable[Problem]) -> list[Outcome]:
    """Return what each of a trace's spans that did not succeed came to: REFUSED or FAILED."""
    found = list(problems)
    by_id = {problem.span_id: problem for problem in found}
    last: dict[str | bytes, Problem] = {}
    for problem in found:
        if problem.parent_id and (problem.parent_id not in last or last[problem.parent_id].end <= problem.end):
            last[problem.parent_id] = problem
    below: dict[str | bytes, Outcome] = {}
    above: dict[str | bytes, Outcome] = {}
    result = []
    for problem in found:
        outcome = _follow(problem, lambda one: last.get(one.span_id), below)
        if outcome is Outcome.UNEXPLAINED:
            outcome = _follow(problem, lambda one: by_id.get(one.parent_id or b""), above)
        result.append(Outcome.REFUSED if outcome is Outcome.REFUSED else Outcome.FAILED)
    return result


def _follow(problem: Problem, step: Callable[[Problem], Problem | None], known: dict[str | bytes, Outcome]) -> Outcome:
    """Step from span to span until one explains itself. Each is passed once: `known` are those that were."""
    passed: dict[str | bytes, None] = {}
    at: Problem | None = problem
    while at and at.own is Outcome.UNEXPLAINED and at.span_id not in known and at.span_id not in passed:
        passed[at.span_id] = None
        at = step(at)
    outcome = known.get(at.span_id, at.own) if at else Outcome.UNEXPLAINED
    known.update(dict.fromkeys(passed, outcome))
    return outcome
