"""Whether an answer is right, and what a wrong one overlooks. Judged by what the learner's own stack has recorded."""

import re
from dataclasses import dataclass
from typing import Any

from labs import expected, predicates
from labs.attempts import Attempt
from labs.definitions import Case, Question
from labs.evidence import Evidence
from local.settings import LocalSettings
from waybill_explorer.client import ClientError, Fetched
from waybill_explorer.trace_tree import Span, Trace


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
            case "two-instances":
                return self._two_instances(question, value)
            case "unfinished":
                return self._unfinished(question, value)
            case "untraced":
                return self._untraced(question, value)

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

    def _two_instances(self, question: Question, value: str) -> Verdict:
        """Judge two traces: one of an order that the process in question served, and one of another process."""
        pieces = _ids(value)
        if len(pieces) != 2:
            return Verdict(False, "give two trace ids: that of an order of this process, then that of another process.")
        instances = []
        for piece in pieces:
            found = self._find(piece)
            if isinstance(found, Verdict):
                return found
            instances.append(found.trace.processes[found.trace.root.process].tags.get("service.instance.id"))
        wanted = self.words(question)
        if str(instances[0]) not in wanted:
            return Verdict(False, f"the first order was served by {instances[0]}. {question.wrong}")
        if str(instances[1]) in wanted:
            return Verdict(False, "both orders were served by the same process: give one of another process.")
        return RIGHT

    def _unfinished(self, question: Question, value: str) -> Verdict:
        """Judge the trace of a request that has not come to its end."""
        found = self._find(value)
        if isinstance(found, Verdict):
            return found
        names = {span.name for span in found.trace.spans if span.service == "order-service"}
        if ended := sorted(names & set(question.other["absent"])):
            return Verdict(False, f"that order went on: its trace has `{ended[0]}` of order-service.")
        if question.other["last"] not in names:
            return Verdict(
                False, f"that trace has nothing of order-service that tells how far it came. {question.wrong}"
            )
        return RIGHT

    def _untraced(self, question: Question, value: str) -> Verdict:
        """Judge the trace id of a log record whose trace is not stored."""
        pieces = _ids(value)
        if not pieces or len(pieces[0]) != 32:
            return Verdict(False, f"{value!r} is no trace id: it has 32 hex digits.")
        if self.evidence.fetched(pieces[0]):
            return Verdict(False, "that trace is stored: it opens. Look for a log record whose trace does not.")
        records = self.evidence.logs(trace_id=pieces[0])
        if not records:
            return Verdict(False, f"no log record has the trace id {pieces[0]}.")
        if max(record["timestamp"] for record in records) < self.attempt.since:
            return Verdict(False, "those log records are from before the lab.")
        if not any(str(question.other["text"]) in str(record["body"]) for record in records):
            return Verdict(False, f"its log records tell of no such request. {question.wrong}")
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


def _ids(value: str) -> list[str]:
    """Return the hex ids in an answer, however they are separated; an explorer's address has them, too."""
    return re.findall(r"\b[0-9a-f]{32}\b|\b[0-9a-f]{16}\b", value.lower())
