"""What some traces have more often than the others: planted causes are found first, noise is not reported."""

import math
import random
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span, Status

from explorer.tests.conftest import SECOND, START, Backend, any_value, span, spans
from waybill_explorer import difference
from waybill_explorer.difference import Counts, DifferenceQuery, add_durations, certain_difference, chance, stand_out
from waybill_explorer.encoded import EncodedSpans, decoded
from waybill_explorer.query_text import attribute_term
from waybill_explorer.store import reading
from waybill_explorer.trace_queries import TraceQuery
from waybill_explorer.words import percent

US = START // 1000
ERROR = Status(code=Status.STATUS_CODE_ERROR, message="it broke")
REGIONS = ("eu", "us", "ap")


def requests_of(
    backend: Backend, service: str, count: int, seed: int = 1, **planted: Any
) -> Iterator[tuple[int, Span, Span]]:
    """Send requests with an inner span, a second apart, and values of chance; yield number and spans to be changed."""
    chance = random.Random(seed)
    for n in range(count):
        trace_id = secrets.token_bytes(16)
        root = span(trace_id, "POST /orders", at=START + n * SECOND, ms=chance.randrange(20, 60), kind=2)
        values = {f"noise.{i}": chance.randrange(4) for i in range(12)} | {"order.id": f"order-{n}"}
        inner = span(trace_id, "charge", parent=root.span_id, at=START + n * SECOND, attributes=values)
        yield n, root, inner
        resource = {"service.version": "1.0", "service.instance.id": f"i-{n % 3}", **planted}
        backend.send(spans(service, root, inner, resource=resource))


def add(one: Span, **values: Any) -> None:
    """Add attributes; `a__b` is the key `a.b`."""
    for key, value in values.items():
        one.attributes.add(key=key.replace("__", "."), value=any_value(value))


def slow_down(root: Span) -> None:
    root.end_time_unix_nano += 2 * SECOND


def found(backend: Backend, service: str, **parameters: Any) -> dict[str, Any]:
    answer: dict[str, Any] = backend.get("/api/difference", service=service, **parameters)
    return answer


def test_an_attribute_that_the_slow_ones_have_is_named_first_with_both_shares(backend: Backend, service: str) -> None:
    for n, root, inner in requests_of(backend, service, 300):
        is_slow = n % 10 == 0
        add(inner, order__region="ap" if is_slow and n else REGIONS[n % 2])
        if is_slow:
            slow_down(root)

    answer = found(backend, service, select="slow")

    assert (answer["selected"], answer["others"], answer["note"]) == (30, 270, "Read all 300 traces.")
    (row,) = answer["rows"]
    assert {key: row[key] for key in ("kind", "service", "key", "value", "selected", "others")} == {
        "kind": "attribute",
        "service": service,
        "key": "order.region",
        "value": "ap",
        "selected": 29,
        "others": 0,
    }
    assert row["sentence"] == f"97 % of the slow ones have order.region=ap in {service}; 0 % of the others"
    assert row["query"] == f"service={service} order.region=ap"
    assert 0.5 < row["score"] < row["selectedShare"] - row["othersShare"]


@pytest.mark.parametrize("seed", range(5))
def test_chance_is_not_reported_as_a_cause(backend: Backend, service: str, seed: int) -> None:
    for _ in requests_of(backend, service, 120, seed):
        pass

    answer = found(backend, service, select="slow")

    assert answer["rows"] == []
    assert answer["tested"] > 40
    assert answer["note"].endswith("nothing more often than the others, as far as chance can be ruled out.")


def test_versions_statements_exceptions_operations_and_services_are_found(backend: Backend, service: str) -> None:
    statement = "SELECT * FROM items WHERE sku = ?"
    for n in range(100):
        trace_id, is_bad = secrets.token_bytes(16), n % 5 == 0
        root = span(trace_id, "GET /", at=START + n * SECOND, kind=2, status=ERROR if is_bad else Status())
        if is_bad:
            event = root.events.add(name="exception")
            event.attributes.add(key="exception.type", value=any_value("Timeout"))
        inner = span(trace_id, "SELECT items", parent=root.span_id, attributes={"db.query.text": statement})
        backend.send(spans(service, root, *[inner] * is_bad, resource={"service.version": "2" if n % 5 < 2 else "1"}))
        if is_bad:
            backend.send(spans(f"{service}-repair", span(trace_id, "repair", parent=root.span_id)))

    answer = found(backend, service, select="failed")

    first, version = answer["rows"]
    assert (first["selectedShare"], first["othersShare"]) == (1, 0)
    alike = {(one["kind"], one["service"], one["value"]) for one in [first, *first["alike"]]}
    assert alike == {
        ("attribute", service, "Timeout"),
        ("attribute", service, statement),
        ("operation", service, "SELECT items"),
        ("operation", f"{service}-repair", "repair"),
        ("service", f"{service}-repair", f"{service}-repair"),
    }
    assert version["sentence"] == f"100 % of the failed ones have service.version=2 in {service}; 25 % of the others"


def test_where_slow_requests_take_longer_is_named_by_the_innermost_operation(backend: Backend, service: str) -> None:
    for n, root, inner in requests_of(backend, service, 200):
        inner.end_time_unix_nano = inner.start_time_unix_nano + (10 + n % 7) * 1_000_000
        if n % 10 == 0:
            slow_down(root)
            called = span(root.trace_id, "PUT /charges", inner.span_id, at=inner.start_time_unix_nano, ms=1_900 + n)
            inner.end_time_unix_nano += 2 * SECOND
        else:
            called = span(root.trace_id, "PUT /charges", inner.span_id, at=inner.start_time_unix_nano, ms=5)
        backend.send(spans(f"{service}-payment", called))

    (row,) = found(backend, service, select="slow")["rows"]

    assert row["sentence"] == (
        f"100 % of the slow ones took 1.90 s or more in PUT /charges of {service}-payment; 0 % of the others"
    )
    assert row["query"] == f'service={service}-payment operation="PUT /charges" duration>=1900000us'
    assert [(one["kind"], one["key"]) for one in row["alike"]] == [("duration", "charge")]


def test_a_slow_operation_is_no_cause_of_slow_requests(backend: Backend, service: str) -> None:
    for n, root, _ in requests_of(backend, service, 200):
        if n % 4 == 0:
            root.name = "POST /reports"
            slow_down(root)

    assert found(backend, service, select="slow")["rows"] == []
    box = f"{US},{US + 300_000_000},1000000,9000000"
    assert found(backend, service, box=box)["rows"][0]["value"] == "POST /reports"


def test_a_part_of_the_plane_or_a_list_of_ids_is_compared_with_the_rest(backend: Backend, service: str) -> None:
    ids = []
    for n, root, inner in requests_of(backend, service, 60):
        if 20 <= n < 35:
            add(inner, cache__result="miss")
            ids.append(root.trace_id.hex())

    box = found(backend, service, box=f"{US + 20_000_000},{US + 34_000_000},0,100000")
    listed = found(backend, service, ids=",".join(ids))

    for answer in (box, listed):
        assert (answer["selected"], answer["others"], answer["noun"]) == (15, 45, "selected ones")
        assert answer["rows"][0]["sentence"].startswith("100 % of the selected ones have cache.result=miss")


def test_the_search_and_the_time_are_for_both_groups(backend: Backend, service: str) -> None:
    for n, root, _ in requests_of(backend, service, 60):
        root.name = "GET /items" if n % 2 else "POST /orders"

    answer = found(backend, service, operation="GET /items", end=US + 39_500_000, select="slow")

    assert (answer["selected"], answer["others"]) == (2, 18)
    assert answer["note"] == "Too few traces to compare: 2 selected."


def sent_with_versions(backend: Backend, service: str) -> None:
    """Send 60 requests of version 1.0 and 60 of 2.0, which has a new statement; all of region ap miss the cache."""
    for n, root, inner in requests_of(backend, service, 60):
        add(inner, order__region="ap" if n % 4 == 0 else "eu", **{"cache__result": "miss"} if n % 4 == 0 else {})
        root.attributes.add(key="tenant").value.string_value = "x" if n % 2 else "y"
    for _, _, inner in requests_of(backend, service, 60, seed=2, **{"service.version": "2.0"}):
        add(inner, db__query__text="SELECT rate FROM fees")


def facts(answer: dict[str, Any]) -> set[tuple[str, str]]:
    found = [one for row in answer["rows"] for one in (row, *row["alike"])]
    return {(one["key"], one["value"]) for one in found}


def test_the_traces_of_a_query_are_compared_with_the_rest_or_with_those_of_another(
    backend: Backend, service: str
) -> None:
    sent_with_versions(backend, service)

    of_the_rest = found(backend, service, q="order.region=ap")
    of_another = found(
        backend, service, q="service.version=2.0", against="service.version=1.0 tenant=x", noun="B traces"
    )

    assert (of_the_rest["selected"], of_the_rest["others"]) == (15, 105)
    assert of_the_rest["rows"][0]["sentence"].startswith("100 % of the selected ones have cache.result=miss in")
    assert (of_another["selected"], of_another["others"]) == (60, 30)
    assert of_another["rows"][0]["sentence"] == (
        f"100 % of the B traces run SELECT rate FROM fees in {service}; 0 % of the others"
    )


def test_a_part_of_a_search_is_compared_with_the_traces_of_another(backend: Backend, service: str) -> None:
    for n, root, inner in requests_of(backend, service, 80):
        root.status.CopyFrom(ERROR if n % 4 == 0 else Status())
        add(inner, gateway="b" if n % 4 == 0 else "a", half=str(n // 40))

    answer = found(backend, service, q="half=0", select="failed", against="half=1 status:ok")

    assert (answer["selected"], answer["others"]) == (10, 40)
    assert ("gateway", "b") in facts(answer)


def test_what_a_query_names_is_no_finding(backend: Backend, service: str) -> None:
    sent_with_versions(backend, service)

    assert ("order.region", "ap") not in facts(found(backend, service, q="order.region=ap"))
    assert ("order.region", "eu") not in facts(found(backend, service, q="-order.region=ap exists:order.region"))
    assert ("service.version", "2.0") not in facts(found(backend, service, q="SELECT", against="service.version=1.0"))
    named = backend.get("/api/difference", q=f"service={service} operation:charge")
    assert ("service", service) not in facts(named)
    assert ("operation", "charge") not in facts(named)
    assert ("operation", "POST /orders") in facts(named)


def test_without_others_nothing_is_said(backend: Backend, service: str) -> None:
    for _, root, _ in requests_of(backend, service, 5):
        root.status.CopyFrom(ERROR)

    answer = found(backend, service, select="failed")

    assert (answer["rows"], answer["note"]) == ([], "Too few traces to compare: nothing to compare with.")


@pytest.mark.parametrize(
    "parameters",
    [
        *({"q": "a=1", "against": "a="}, {"against": "a=1"}),
        *({}, {"select": "blue"}, {"box": "1,2,3"}, {"ids": "xyz"}, {"select": "slow", "minTotal": "soon"}),
    ],
)
def test_what_cannot_be_selected_is_refused(backend: Backend, parameters: dict[str, str]) -> None:
    answer = backend.ask("/api/difference", **parameters)
    assert answer.status_code == 400
    assert "unable to parse param" in answer.json()["errors"][0]["msg"]


def test_of_very_many_traces_a_sample_is_read_and_the_answer_says_so(
    backend: Backend, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n, root, inner in requests_of(backend, service, 200):
        if n % 5 == 0:
            root.status.CopyFrom(ERROR)
            add(inner, gateway="b")
    monkeypatch.setattr(difference, "SAMPLE", 30)
    monkeypatch.setattr(difference, "BUDGET", 60.0)
    search = TraceQuery(service=service, limit=1000)

    with reading(backend.data / "telemetry.db") as db:
        query = DifferenceQuery(search, search, "failed")
        answer = difference.difference(db, query)
        again = difference.difference(db, query)
        monkeypatch.setattr(difference, "BUDGET", 0.0)
        slow = difference.difference(db, query)
        monkeypatch.setattr(difference, "LEAST", 1)
        hurried = difference.difference(db, query)

    assert (answer["selectedRead"], answer["othersRead"]) == (30, 30)
    assert answer["note"] == "Read 30 of 40 failed ones and 30 of 160 others."
    assert answer["rows"][0]["value"] == "b"
    assert again == answer
    assert slow == answer, "however slow the machine is, enough are read"
    assert (hurried["selectedRead"], hurried["othersRead"], hurried["rows"]) == (1, 1, [])


def test_facts_beyond_the_limit_that_occur_once_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(difference, "MAX_ITEMS", 1000)
    counts = Counts()
    for n in range(1000):
        counts.add({"shop": {"", "GET /", *(f"only-{n}-{i}" for i in range(20))}}, {})

    assert counts.count(("shop", "GET /")) == 1000
    assert len(counts.of_service["shop"]) <= 1000 + 100 * 20
    assert counts.count(("elsewhere", "GET /")) == 0


def test_the_probability_is_that_of_fishers_exact_test() -> None:
    assert chance(3, 4, 1, 4) == pytest.approx(17 / 70)  # the lady tasting tea
    assert chance(0, 10, 3, 10) == pytest.approx(1)
    assert chance(5, 5, 0, 500) == pytest.approx(1 / math.comb(505, 5))


def test_the_score_is_the_lower_bound_of_newcombes_interval() -> None:
    assert certain_difference(56, 70, 48, 80) == pytest.approx(0.0524, abs=5e-5)  # his example (a), method 10
    assert certain_difference(500, 500, 0, 500) > certain_difference(5, 5, 0, 5)


def test_nothing_is_reported_of_groups_that_were_drawn_from_one() -> None:
    chance = random.Random(7)
    reported = 0
    for _ in range(20):
        sides = Counts(), Counts()
        for n in range(400):
            items = {f"{key}={chance.randrange(2 + key % 7)}" for key in range(60)}
            longest = {("shop", f"operation {key}"): chance.randrange(1000) for key in range(20)}
            sides[n % 8 > 0].add({"shop": items}, longest)
        add_durations(*sides)
        reported += len(stand_out(*sides)[1])
    assert reported <= 1


def test_attributes_that_stay_encoded_are_those_that_were_sent() -> None:
    one = span(b"1" * 16, "GET /", attributes={"a": "ä", "n": 2**60, "yes": True, "list": ["a", 1]})
    one.events.add(name="exception").attributes.add(key="b", value=any_value(0.5))
    sent = ResourceSpans()
    sent.scope_spans.add().spans.append(one)

    (read,) = EncodedSpans.FromString(sent.SerializeToString()).scope_spans[0].spans

    assert read.name == "GET /"
    assert [decoded(item) for item in read.attributes] == [("a", "ä"), ("n", 2**60), ("yes", True), ("list", ["a", 1])]
    assert [decoded(item) for item in read.events[0].attributes] == [("b", 0.5)]


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0 %"),
        (0.0004, "<0.1 %"),
        (0.004, "0.4 %"),
        (0.97, "97 %"),
        (0.9996, ">99.9 %"),
        (0.996, "99.6 %"),
        (1, "100 %"),
    ],
)
def test_a_share_is_never_rounded_to_none_or_all(share: float, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize(
    ("key", "value", "term"),
    [
        ("order.region", "ap", "order.region=ap"),
        ("http.route", "/orders/<id>", 'http.route="/orders/<id>"'),
        ("a", "", 'a=""'),
        ("a", 'say "a\\b"', 'a="say \\"a\\\\b\\""'),
        ("status", "on fire", '"status"="on fire"'),
        ("ein Schlüssel", "x:1", '"ein Schlüssel"=x:1'),
    ],
)
def test_a_term_is_quoted_where_the_query_language_needs_it(key: str, value: str, term: str) -> None:
    assert attribute_term(key, value) == term
