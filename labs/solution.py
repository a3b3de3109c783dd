"""The model solution: what a learner who knows the lab finds in the telemetry of this very stack."""

from labs import predicates
from labs.attempts import Answer, Attempt
from labs.definitions import Question
from labs.expected import NOT_YET, instance_of
from labs.grading import Grader
from local import client
from local.settings import HOST, LocalSettings
from waybill_explorer.client import ClientError
from waybill_explorer.trace_tree import Span, Trace

PATIENCE = 60.0


def answers(settings: LocalSettings, attempt: Attempt) -> dict[str, str]:
    """Return the right answer to each question. Raise a ClientError if too little is recorded."""
    found: dict[str, str] = {}
    known = attempt.model_copy(update={"answers": dict(attempt.answers)})
    for question in attempt.case.questions:
        found[question.key] = answer(Grader(settings, known), question)
        known.answers[question.key] = Answer(value=found[question.key], right=True)
    return found


def answer(grader: Grader, question: Question) -> str:
    """Return the right answer to one question."""
    match question.kind:
        case "choice":
            return question.right
        case "text":
            return sorted(grader.words(question))[0]
        case "number":
            return f"{grader.number(question):.2f}"
        case "order":
            return _order(grader)
        case "span":
            trace, span = _spans(grader, question)[0]
            return f"{trace.trace_id} {span.span_id}"
        case "two-spans":
            return _two_spans(grader, question)
        case "two-traces":
            return _two_traces(grader, question)
        case "two-instances":
            return _two_instances(grader, question)
        case "unfinished":
            return _unfinished(grader, question)
        case "untraced":
            return _untraced(grader, question)


def _order(grader: Grader) -> str:
    """Place the order that the lab asks for."""
    known = grader.attempt.answers.get("order")
    if known and known.right:
        return known.value
    values = grader.case.values
    api = f"http://{HOST}:{grader.settings.port('order')}"
    skus = client.skus_in_stock(api)[: int(values["lines"])]
    body = client.order_body(
        dict.fromkeys(skus, 1), token=str(values["token"]), region=str(values["region"]), customer="cus_42"
    )
    trace_id = client.trace_id_of(client.place_order(api, body))
    if not trace_id or not grader.evidence.api.wait_for_trace(trace_id, PATIENCE):
        raise ClientError(NOT_YET)
    return trace_id


def _spans(grader: Grader, question: Question) -> list[tuple[Trace, Span]]:
    """Return all spans that show it, in the newest orders, or in the learner's own."""
    if "order" in grader.attempt.answers:
        fetched = grader.evidence.fetched(grader.attempt.answers["order"].value)
        traces = [fetched.trace] if fetched else []
    else:
        traces = grader.evidence.traces("order-service", question.operation)
    arguments = dict(question.arguments)
    found = [(trace, span) for trace in traces for span in predicates.matching(trace, question.predicate, arguments)]
    if not found:
        raise ClientError(NOT_YET)
    return found


def _two_spans(grader: Grader, question: Question) -> str:
    service, name = str(question.other["service"]), str(question.other["name"])
    others = [
        (trace, span)
        for trace in grader.evidence.traces(service, name)
        for span in predicates.matching(trace, "runs", dict(question.other))
    ]
    for trace, span in _spans(grader, question):
        for other, held in others:
            if predicates.overlap(span, held):
                return f"{trace.trace_id} {span.span_id} {other.trace_id} {held.span_id}"
    raise ClientError(NOT_YET)


def _two_traces(grader: Grader, question: Question) -> str:
    service = str(question.other["service"])
    others = grader.evidence.traces(service)
    for trace in grader.evidence.orders():
        if predicates.has_service(trace, service):
            continue
        for other in others:
            if other.trace_id != trace.trace_id and predicates.order_ids(trace) & predicates.order_ids(other):
                return f"{trace.trace_id} {other.trace_id}"
    raise ClientError(NOT_YET)


def _two_instances(grader: Grader, question: Question) -> str:
    special = grader.words(question)
    by_instance = {instance_of(trace): trace.trace_id for trace in grader.evidence.orders()}
    here = [trace_id for instance, trace_id in by_instance.items() if instance in special]
    elsewhere = [trace_id for instance, trace_id in by_instance.items() if instance not in special]
    if not here or not elsewhere:
        raise ClientError(NOT_YET)
    return f"{here[0]} {elsewhere[0]}"


def _unfinished(grader: Grader, question: Question) -> str:
    last, absent = str(question.other["last"]), set(question.other["absent"])
    for trace in grader.evidence.traces("order-service", last):
        if not absent & {span.name for span in trace.spans if span.service == "order-service"}:
            return trace.trace_id
    raise ClientError(NOT_YET)


def _untraced(grader: Grader, question: Question) -> str:
    for record in grader.evidence.logs(service="order-service", text=str(question.other["text"])):
        if record["trace_id"] and not grader.evidence.fetched(record["trace_id"]):
            return str(record["trace_id"])
    raise ClientError(NOT_YET)
