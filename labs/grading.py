"""Whether an answer is right, and what a wrong one overlooks. Judged by what the learner's own stack has recorded."""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from labs import expected, plan, predicates
from labs.attempts import Attempt
from labs.definitions import Case, Fix, Question
from labs.evidence import Evidence
from labs.faults import Release
from local import client
from local.load import REGIONS
from local.settings import HOST, LocalSettings
from waybill_explorer.client import ClientError, Fetched, new_session
from waybill_explorer.trace_tree import Span, Trace

PROBES = 20
PROBE_PAUSE = 0.25
"""Seconds between two probe orders: together they take longer than any fault pauses."""
PROBE_PATIENCE = 60.0
"""Seconds without any news of a trace after which it is judged as it is."""


@dataclass(frozen=True)
class Verdict:
    """Whether it is right; `reason` says what a wrong answer overlooks."""

    right: bool
    reason: str = ""


RIGHT = Verdict(True)


class Grader:
    """Judges the answers of one attempt."""

    def __init__(self, settings: LocalSettings, attempt: Attempt) -> None:
        self.settings = settings
        self.attempt = attempt
        self.case: Case = attempt.case
        self.evidence = Evidence(settings, attempt.since)

    def judge(self, question: Question, value: str) -> Verdict:
        """Judge an answer. Raise a ClientError if it cannot be judged yet."""
        value = value.strip()
        match question.kind:
            case "choice":
                return self._choice(question, value)
            case "text":
                return self._text(question, value)
            case "number":
                return self._number(question, value)
            case "order":
                return self._order(value)
            case "span":
                return self._span(question, value)
            case "two-spans":
                return self._two_spans(question, value)
            case "two-traces":
                return self._two_traces(question, value)

    def number(self, question: Question) -> float:
        """Return the right number of now. Raise a ClientError if too little is recorded."""
        if not question.expect:
            return float(question.right)
        if question.expect in expected.OWN_NUMBERS:
            return expected.OWN_NUMBERS[question.expect](self._own_trace())
        return expected.NUMBERS[question.expect](self.evidence, **question.arguments)

    def words(self, question: Question) -> set[str]:
        """Return the right texts of now. Raise a ClientError if too little is recorded."""
        if question.expect in expected.OWN_WORDS:
            return expected.OWN_WORDS[question.expect](self._own_trace())
        if question.expect:
            return expected.WORDS[question.expect](self.evidence, **question.arguments)
        return {question.right.casefold()}

    def _choice(self, question: Question, value: str) -> Verdict:
        if value not in question.choices:
            return Verdict(False, f"choose one of: {', '.join(question.choices)}.")
        if value == question.right:
            return RIGHT
        return Verdict(False, question.why.get(value) or question.wrong)

    def _text(self, question: Question, value: str) -> Verdict:
        return RIGHT if value.casefold() in self.words(question) else Verdict(False, question.wrong)

    def _number(self, question: Question, value: str) -> Verdict:
        match = re.fullmatch(r"(-?\d+(?:[.,]\d+)?) ?(?:%|ms)?", value)
        if not match:
            return Verdict(False, f"{value!r} is not a number.")
        right, given = self.number(question), float(match[1].replace(",", "."))
        room = question.tolerance * (right if question.relative else 1)
        if abs(given - right) <= room:
            return RIGHT
        return Verdict(False, f"{given:g} is too {'high' if given > right else 'low'}. {question.wrong}")

    def _order(self, value: str) -> Verdict:
        """Judge the trace of an order that the learner has placed as the lab asks."""
        found = self._find(value)
        if isinstance(found, Verdict):
            return found
        tags: dict[str, Any] = {}
        for span in found.trace.spans:
            if span.name == "process_order":
                tags |= span.tags
        if not tags:
            return Verdict(False, "that is no trace of an order: it has no span `process_order`.")
        for key, wanted in {
            "order.region": self.case.values["region"],
            "order.line_count": self.case.values["lines"],
        }.items():
            if str(tags.get(key)) != str(wanted):
                return Verdict(False, f"that order is another one: its {key} is {tags.get(key)}, not {wanted}.")
        return RIGHT

    def _span(self, question: Question, value: str) -> Verdict:
        found = self._find_span(value)
        if isinstance(found, Verdict):
            return found
        trace, span = found
        return self._shows(question, trace, span)

    def _shows(self, question: Question, trace: Trace, span: Span) -> Verdict:
        name, arguments = question.predicate, dict(question.arguments)
        if predicates.holds(span, name, arguments):
            return RIGHT
        if any(predicates.holds(below, name, arguments) for below in predicates.below(span)):
            return Verdict(False, f"right trace, but `{span.name}` of {span.service} only waits for a span inside it.")
        if predicates.matching(trace, name, arguments):
            return Verdict(False, f"right trace, but not `{span.name}` of {span.service}. {question.wrong}")
        return Verdict(False, f"nothing of it is in that trace. {question.wrong}")

    def _two_spans(self, question: Question, value: str) -> Verdict:
        pieces = _ids(value)
        if len(pieces) != 4:
            return Verdict(False, "give two spans: TRACE_ID SPAN_ID TRACE_ID SPAN_ID.")
        spans = []
        for piece in (" ".join(pieces[:2]), " ".join(pieces[2:])):
            found = self._find_span(piece)
            if isinstance(found, Verdict):
                return found
            spans.append(found)
        (first_trace, first), (_, second) = spans
        waits = self._shows(question, first_trace, first)
        if not waits.right:
            return Verdict(False, f"the first span: {waits.reason}")
        if not predicates.holds(second, "runs", dict(question.other)):
            return Verdict(False, f"the second span is `{second.name}` of {second.service}: it holds nothing for long.")
        if not predicates.overlap(first, second):
            return Verdict(False, "these two did not run at the same time, so one did not wait for the other.")
        return RIGHT

    def _two_traces(self, question: Question, value: str) -> Verdict:
        pieces = _ids(value)
        if len(pieces) != 2:
            return Verdict(False, "give two trace ids: that of the order, then that of the other trace.")
        found = [self._find(piece) for piece in pieces]
        for one in found:
            if isinstance(one, Verdict):
                return one
        first, second = (one.trace for one in found if isinstance(one, Fetched))
        service = str(question.other["service"])
        if predicates.has_service(first, service):
            return Verdict(False, f"the first trace has spans of {service}: nothing is missing there.")
        if not predicates.has_service(second, service):
            return Verdict(False, f"the second trace has no span of {service}.")
        if not predicates.order_ids(first) & predicates.order_ids(second):
            return Verdict(False, "these two are of different orders: compare order.id in both.")
        return RIGHT

    def _find(self, value: str) -> Fetched | Verdict:
        pieces = _ids(value)
        if not pieces or len(pieces[0]) != 32:
            return Verdict(False, f"{value!r} is no trace id: it has 32 hex digits.")
        found = self.evidence.fetched(pieces[0])
        if not found:
            return Verdict(False, f"there is no trace {pieces[0]} in this stack.")
        if found.trace.end < self.attempt.since:
            return Verdict(False, "that trace ended before the lab began.")
        return found

    def _find_span(self, value: str) -> tuple[Trace, Span] | Verdict:
        pieces = _ids(value)
        if len(pieces) != 2:
            return Verdict(False, "give a span as TRACE_ID SPAN_ID.")
        found = self._find(pieces[0])
        if isinstance(found, Verdict):
            return found
        for span in found.trace.spans:
            if span.span_id == pieces[1]:
                return found.trace, span
        return Verdict(False, f"that trace has no span {pieces[1]}.")

    def _own_trace(self) -> Fetched:
        """Return the trace of the order that the learner has placed. Raise a ClientError without one."""
        answer = self.attempt.answers.get("order")
        found = self._find(answer.value) if answer and answer.right else None
        if not isinstance(found, Fetched):
            raise ClientError("answer `order` first: this question is about that trace.")
        return found

    def fix(self) -> Verdict:
        """Send requests of our own and judge whether the trouble is gone. Raise a ClientError if none can be sent."""
        wanted = self.case.proof
        if wanted is None:
            return RIGHT
        now = plan.current(self.settings)
        on = now.faults if now else ()
        if wanted.off and on:
            return Verdict(False, "nothing is repaired yet. `waybill lab brief` lists what you can do.")
        probes = self._probe(wanted)
        if isinstance(probes, Verdict):
            return probes
        touched = [trace for trace in probes if self._still(trace, wanted.gone, wanted.arguments)]
        if len(touched) <= PROBES * wanted.noise:
            return RIGHT
        release = " The release that runs now still has it." if any(isinstance(one, Release) for one in on) else ""
        return Verdict(
            False, f"{len(touched)} of {PROBES} new orders still show it, such as {touched[0].trace_id}.{release}"
        )

    def _probe(self, wanted: Fix) -> list[Trace] | Verdict:
        """Send PROBES requests of our own and return their traces, once they are complete."""
        api, ids = f"http://{HOST}:{self.settings.port('order')}", []
        sku = "" if wanted.get else client.skus_in_stock(api)[0]
        with new_session() as session:
            for number in range(PROBES):
                if wanted.get:
                    response = session.get(api + wanted.get)
                else:
                    response = client.place_order(api, _probe_order(sku, wanted.quantity, number))
                trace_id = client.trace_id_of(response)
                if not response.ok or not trace_id:
                    return Verdict(False, f"a new request is refused: {response.status_code} {response.text[:200]}")
                ids.append(trace_id)
                time.sleep(PROBE_PAUSE)
        return [self._complete(trace_id) for trace_id in ids]

    def _complete(self, trace_id: str) -> Trace:
        fetched = self.evidence.api.wait_for_trace(trace_id, PROBE_PATIENCE)
        if fetched is None:
            raise ClientError(f"the trace {trace_id} of a new order has not arrived: look with `waybill doctor`.")
        return fetched.trace

    def _still(self, trace: Trace, gone: str, arguments: Mapping[str, Any]) -> bool:
        if gone == "joined":
            return not predicates.has_service(trace, str(arguments["service"]))
        return bool(predicates.matching(trace, gone, dict(arguments)))


def _probe_order(sku: str, quantity: int, number: int) -> dict[str, Any]:
    region = REGIONS[number % len(REGIONS)]
    return client.order_body({sku: quantity}, token="tok_approve", region=region, customer=f"cus_{number}")  # noqa: S106


def _ids(value: str) -> list[str]:
    """Return the hex ids in an answer, however they are separated; an explorer's address has them, too."""
    return re.findall(r"\b[0-9a-f]{32}\b|\b[0-9a-f]{16}\b", value.lower())
