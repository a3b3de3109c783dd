"""Traces and log lines found by the query language, through the index and without it."""

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from waybill_explorer import log_queries, store, texts, trace_queries, trace_search
from waybill_explorer.log_search import SELECT, LogLine, holds
from waybill_explorer.needles import needles_of_text
from waybill_explorer.query_language import QueryError, parse
from waybill_explorer.trace_search import StoredTrace, fits, for_traces

from .conftest import SECOND, START, Backend, attributes, logs, span, spans, start

ERROR = Status(code=Status.STATUS_CODE_ERROR, message="the card was declined")
US = START // 1000


def new_id(name: str) -> bytes:
    return name.encode().ljust(16, b".")


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """A backend of this module: a search reads the traces that arrived together, those of other tests may be huge."""
    running = start(tmp_path_factory.mktemp("searched"))
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="module")
def shop(backend: Backend) -> str:
    """Four orders in services whose names begin with this one's: quick, slow, declined and failed."""
    name = f"shop{secrets.token_hex(4)}"
    run = secrets.token_hex(4).encode()
    for number, (kind, ms) in enumerate({"quick": 5, "slow": 800, "declined": 50, "failed": 60}.items()):
        trace_id = new_id(kind)[:8] + run
        at = START + number * SECOND
        root = span(
            trace_id,
            "POST /orders",
            at=at,
            ms=ms,
            kind=Span.SPAN_KIND_SERVER,
            attributes={
                "http.route": "/orders",
                "http.response.status_code": {"declined": 402, "failed": 500}.get(kind, 201),
                "order.region": "ap" if kind == "slow" else "eu",
                "order.id": f"Order-{kind}-{name}",
            },
        )
        charge = span(trace_id, "charge", parent=root.span_id, at=at, ms=ms // 2, kind=Span.SPAN_KIND_CLIENT)
        if kind == "failed":
            charge.status.CopyFrom(ERROR)
            charge.events.add(name="exception").attributes.add(key="exception.type").value.string_value = "TimeoutError"
        pay = span(trace_id, "PUT /charges", parent=charge.span_id, at=at, ms=ms // 4, attributes={"pay.amount": 7})
        backend.send(
            spans(f"{name}-order", root, charge, resource={"host.name": f"host-{kind}"}),
            spans(f"{name}-payment", pay),
        )
    body = f"Card DECLINED for {name}: Zürich"
    of_declined = new_id("declined")[:8] + run
    backend.send(
        logs(
            f"{name}-payment",
            {"trace_id": of_declined, "body": body, "severity_number": 13, "attributes": {"pay.card": "visa", "n": 5}},
            {"body": f"started {name}", "time_unix_nano": START + SECOND},
            {"body": f"broken {name}", "severity_number": 17, "time_unix_nano": START + 2 * SECOND},
            scope="pay.cards",
        )
    )
    return name


QUERIES = {
    "": ["failed", "declined", "slow", "quick"],
    "order.region=ap": ["slow"],
    "order.region:AP": ["slow"],
    "order.region=AP": [],
    "order.region!=ap": ["failed", "declined", "quick"],
    "order.region:* -order.region=ap": ["failed", "declined", "quick"],
    "order.region:a*": ["slow"],
    "duration>500ms": ["slow"],
    "name:charge duration>500ms": [],
    "name:charge duration>=400ms": ["slow"],
    "total>55ms": ["failed", "slow"],
    "status:error": ["failed"],
    "status:refused": ["declined"],
    "status:error or status:refused": ["failed", "declined"],
    "-status!=ok": ["slow", "quick"],
    "http.response.status_code>=400": ["failed", "declined"],
    "http.response.status_code:402": ["declined"],
    "http.response.status_code:40": [],
    "http.response.status_code>=600": [],
    "exists:exception.type": ["failed"],
    "exception.type=TimeoutError": ["failed"],
    "host.name=host-slow": ["slow"],
    'operation:"put /CHARGES" pay.amount=7': ["failed", "declined", "slow", "quick"],
    "operation:charge pay.amount=7": ["failed", "declined", "slow", "quick"],
    "operation=charge pay.amount=7": [],
    "kind:client status:error": ["failed"],
    "declined": ["failed", "declined"],
    '"card declined"': ["declined"],
    "zürich": ["declined"],
    "ZÜRICH": ["declined"],
    "order-slow": ["slow"],
    "-declined": ["slow", "quick"],
    "level>=warn": ["declined"],
    "level:warn body:declined": ["declined"],
    "level:warn body:started": [],
    "logger:cards": ["declined"],
    "(order.region=ap or declined) -status:error": ["declined", "slow"],
    "nowhere": [],
    "no.such.key=1": [],
}


@pytest.mark.parametrize("query", QUERIES)
def test_traces_are_found_by_a_query(backend: Backend, shop: str, query: str) -> None:
    found = backend.get("/api/summaries", q=f"({query}) service:{shop}" if query else f"service:{shop}")
    assert [bytes.fromhex(one["traceID"])[:8].rstrip(b".").decode() for one in found] == QUERIES[query]


def test_a_trace_is_found_by_the_beginning_of_its_id(backend: Backend, shop: str) -> None:
    (one,) = backend.get("/api/summaries", q=f"service:{shop} order.region=ap")
    for query in (one["traceID"][:20], f"trace:{one['traceID'][:20]}", f"trace={one['traceID']}"):
        assert [each["traceID"] for each in backend.get("/api/summaries", q=query)] == [one["traceID"]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["broken", "started", "Card"]),
        ("level:error", ["broken"]),
        ("level>=warn", ["broken", "Card"]),
        ("-level:error", ["started", "Card"]),
        ("body:STARTED", ["started"]),
        ('"declined for"', ["Card"]),
        ("zürich", ["Card"]),
        ("pay.card=visa n=5", ["Card"]),
        ("n>5", []),
        ("exists:trace", ["Card"]),
        ("-exists:trace", ["broken", "started"]),
        ("logger=pay.cards level:info", ["started"]),
        ("started or broken", ["broken", "started"]),
        ("-started -broken", ["Card"]),
        ("nowhere", []),
    ],
)
def test_log_lines_are_found_by_a_query(backend: Backend, shop: str, query: str, expected: list[str]) -> None:
    found = backend.get("/api/logs", q=f"service:{shop} ({query})" if query else f"service:{shop}")
    assert [one["body"].split()[0] for one in found] == expected


def test_a_query_is_joined_with_the_other_parameters(backend: Backend, shop: str) -> None:
    parameters: dict[str, Any] = {"service": f"{shop}-order", "minTotal": "55ms", "text": f"-{shop}"}
    assert len(backend.get("/api/summaries", **parameters)) == 2
    assert len(backend.get("/api/summaries", q="order.region=ap", **parameters)) == 1
    assert len(backend.get("/api/summaries", q="order.region=ap", **parameters | {"minTotal": "1s"})) == 0
    assert len(backend.get("/api/logs", q="-started", service=f"{shop}-payment", level="WARN")) == 2
    assert len(backend.get("/api/logs", q="-started", service=f"{shop}-payment", text="broken")) == 1


@pytest.mark.parametrize(
    ("path", "query", "position"),
    [
        ("/api/summaries", "a duration>500", 11),
        ("/api/logs", "a (b", 2),
        ("/api/logs", "a duration>500ms", 2),
        ("/api/logs/histogram", "status:error", 0),
        ("/api/logs/facets", "a=", 2),
    ],
)
def test_a_wrong_query_is_refused_with_the_place(backend: Backend, path: str, query: str, position: int) -> None:
    response = backend.ask(path, q=query)
    assert response.status_code == 400
    (error,) = response.json()["errors"]
    assert error["position"] == position
    assert error["msg"].startswith(f"unable to parse param 'q': position {position + 1}: ")


@pytest.fixture(scope="module")
def small() -> Iterator[Callable[..., Path]]:
    """Store exports in files of their own, with segments of few traces and lines."""
    sizes = dict(texts.MEMBERS)
    texts.MEMBERS.update({texts.TRACES: 3, texts.LOGS: 4})
    with TemporaryDirectory() as folder:

        def stored(*exports: Any) -> Path:
            path = Path(folder) / secrets.token_hex(8) / "telemetry.db"
            store.prepare(path)
            writer = store.Writer(path, 2**24, 2**30)
            for number, export in enumerate(exports):
                signal = "traces" if hasattr(export, "resource_spans") else "logs"
                writer.store(signal, export.SerializeToString(), store.Sender("test", str(number)))
            writer.close()
            return path

        yield stored
    texts.MEMBERS.update(sizes)


WORDS = st.sampled_from(
    [
        "GET",
        "get",
        "Straße",
        "STRASSE",
        "500",
        "500.0",
        "5",
        "ab c",
        "x=1",
        "",
        "\0",
        "a\nb",
        "\N{LATIN SMALL LETTER LONG S}",
    ]
)
NUMBERS = st.one_of(st.integers(-3, 600), st.integers(-(2**63), 2**63 - 1), st.floats())
VALUES = st.one_of(
    *(WORDS, NUMBERS, st.booleans(), st.lists(WORDS, max_size=2), st.none(), st.binary(max_size=4)),
    st.dictionaries(WORDS, WORDS, max_size=1),
    WORDS.map(lambda word: f"{word} long" * 200),
)
KEYS = st.sampled_from(["k", "K", "k.k", "straße", "level", "a=b"])
SOME_ATTRIBUTES = st.dictionaries(st.one_of(KEYS, st.just(""), st.just("\6k")), VALUES, max_size=3)
ENCODED = SOME_ATTRIBUTES.map(attributes)
SOME_TERMS = st.one_of(
    st.builds('"{}"{}"{}"'.format, KEYS, st.sampled_from([":", "=", "!="]), WORDS),
    st.builds('"{}"{}{}'.format, KEYS, st.sampled_from([":", "=", "!=", ">", "<="]), st.integers(-3, 600)),
    st.builds('"{}":{}'.format, KEYS, st.sampled_from(["g*", "*ß*", "*"])),
    WORDS.filter(lambda word: bool(word.strip("\0"))).map('"{}"'.format),
    st.sampled_from(['"5"', '"0"', "tru", "empty", "lon", "AA", '"[\\""', '"k=get"', '"=g"', "nan"]),
    KEYS.map('exists:"{}"'.format),
    st.sampled_from(
        ["service:one", "service=two", "name:get", "total>3ms", "duration<5ms", "status:error", "kind:client"]
    ),
    st.sampled_from(["level:error", "body:get", 'body:"ab c"', "logger:app", "level!=info"]),
)
SOME_QUERIES = st.recursive(
    SOME_TERMS,
    lambda inner: st.one_of(
        inner.map("-({})".format),
        st.lists(inner, min_size=2, max_size=3).map(" ".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"({' or '.join(parts)})"),
    ),
    max_leaves=5,
)
ELSEWHERE = st.one_of(
    st.builds(lambda word: {"status": Status(message=word, code=Status.STATUS_CODE_ERROR)}, WORDS),
    st.builds(lambda word: {"trace_state": word}, WORDS),
    st.builds(lambda word, values: {"events": [Span.Event(name=word, attributes=values)]}, WORDS, ENCODED),
    st.builds(lambda values: {"links": [Span.Link(attributes=values)]}, ENCODED),
    st.builds(lambda kind: {"kind": kind}, st.integers(0, 5)),
)
SOME_SPANS = st.tuples(
    st.integers(0, 12), st.sampled_from(["one", "two"]), WORDS, st.integers(0, 9), SOME_ATTRIBUTES, ELSEWHERE
)
SOME_LINES = st.tuples(st.integers(0, 12), WORDS, st.sampled_from([9, 17]), SOME_ATTRIBUTES)


@given(
    st.lists(SOME_SPANS, min_size=1, max_size=12),
    st.lists(SOME_LINES, max_size=8),
    st.lists(SOME_QUERIES, min_size=1, max_size=8),
    st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_the_index_loses_nothing_and_pages_give_each_once(
    small: Callable[..., Path], some_spans: list[Any], some_lines: list[Any], queries: list[str], together: bool
) -> None:
    """What a search finds is what fits, looked at one by one."""
    made = [
        (service, span(bytes([trace + 1]) * 16, name, ms=ms, at=START + trace, attributes=values, **more))
        for trace, service, name, ms, values, more in some_spans
    ]
    members = {service: [one for other, one in made if other == service] for service, _ in made}
    of_services = members.items() if together else [(service, [one]) for service, one in made]
    exports: list[Any] = [
        spans(service, *some, resource={"K": "Straße"} if service == "two" else None, scope="ab c")
        for service, some in of_services
    ]
    exports += [
        logs("three", {"trace_id": bytes([t + 1]) * 16, "body": body, "severity_number": n, "attributes": values})
        for t, body, n, values in some_lines
    ]
    with store.reading(small(*exports)) as db:
        numbers = [row["id"] for row in db.execute("SELECT id FROM traces")]
        rows = db.execute(SELECT).fetchall()
        for query in queries:
            node = parse(query)
            expected = [number for number in numbers if fits(for_traces(node), StoredTrace(db, number))]
            assert sorted(paged_traces(db, query)) == sorted(bytes_of(db, number) for number in expected), query
            try:
                found = paged_lines(db, query)
            except QueryError:
                continue
            assert sorted(found) == sorted(row["id"] for row in rows if holds(node, LogLine(row))), query


@given(st.one_of(st.text(), KEYS), st.one_of(VALUES, st.text(), st.binary(), st.integers(-99, 99).map(float)))
@settings(max_examples=500, deadline=None)
def test_what_is_looked_for_in_bytes_is_in_an_attribute_of_that_text(key: str, value: Any) -> None:
    (attribute,) = attributes({key: value})
    encoded = attribute.SerializeToString()
    (text, *_) = texts.stored_texts([encoded])
    needles = needles_of_text(text)
    assert needles is None or any(needle in encoded for needle in needles)
    (beside,) = attributes({key: "another"})
    if (
        needles
        and "=" not in key
        and text[:1] >= b" "
        and isinstance(value, str | int)
        and value != "another"
        and str(value)[:1] not in "[{"
    ):
        assert not any(needle in beside.SerializeToString() for needle in needles)


def test_only_a_trace_that_may_fit_is_decoded(small: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []

    class Counted(StoredTrace):
        def __init__(self, db: Any, number: int) -> None:
            decoded.append(number)
            super().__init__(db, number)

    monkeypatch.setattr(trace_search, "StoredTrace", Counted)
    ids = [new_id(f"t{number}") for number in range(9)]
    path = small(
        *(
            spans("s", span(one, attributes={"id": one.hex(), "n": n % 2}), span(one, "other", attributes={"m": n}))
            for n, one in enumerate(ids)
        )
    )
    with store.reading(path) as db:
        for query, expected in (
            (ids[4].hex(), [ids[4].hex()]),
            (f"id={ids[5].hex()}", [ids[5].hex()]),
            ("name:other m=3", [ids[3].hex()]),
            ("id:* m>=0", []),
            ("n=1 name:other", []),
        ):
            decoded.clear()
            assert paged_traces(db, query) == expected, query
            assert len(decoded) == len(expected), query


def bytes_of(db: Any, number: int) -> str:
    return str(db.execute("SELECT trace_id FROM traces WHERE id = ?", (number,)).fetchone()["trace_id"].hex())


def paged_traces(db: Any, query: str) -> list[str]:
    wanted = trace_queries.TraceQuery(query=parse(query), limit=2)
    found: list[str] = []
    while True:
        page = trace_queries.find_summaries(db, wanted)
        found += [one["traceID"] for one in page.items]
        if page.next is None:
            return found
        wanted.cursor = page.next


def paged_lines(db: Any, query: str) -> list[int]:
    wanted = log_queries.LogQuery(query=parse(query), limit=2)
    found: list[int] = []
    while True:
        page = log_queries.find_logs(db, wanted)
        found += [one["id"] for one in page.items]
        if page.next is None:
            return found
        wanted.cursor = page.next


def test_a_span_that_comes_much_later_is_found_in_its_trace(small: Callable[..., Path]) -> None:
    early = new_id("early")
    others = [spans("s", span(secrets.token_bytes(16), attributes={"n": n})) for n in range(40)]
    path = small(spans("s", span(early)), *others, spans("s", span(early, attributes={"late": "Yes"})))
    with store.reading(path) as db:
        assert paged_traces(db, "late=Yes") == paged_traces(db, '"late=yes"') == [early.hex()]


def test_a_text_that_all_traces_have_is_stored_once_in_a_segment(small: Callable[..., Path]) -> None:
    path = small(*(spans("s", span(secrets.token_bytes(16), attributes={"same": "x" * 300})) for _ in range(9)))
    with store.reading(path) as db:
        rows = db.execute("SELECT segment, data FROM texts").fetchall()
    assert len({row["segment"] for row in rows}) == 3
    assert sum(row["data"].count(b"\0same=xxx") for row in rows) == 3


def test_a_restart_keeps_what_is_indexed(small: Callable[..., Path]) -> None:
    path = small(*(spans("s", span(new_id(f"t{n}"), attributes={"n": f"v{n}"})) for n in range(4)))
    writer = store.Writer(path, 2**24, 2**30)
    for number in (0, 3, 9):
        export = spans("s", span(new_id(f"t{number}"), attributes={"again": f"w{number}"}))
        writer.store("traces", export.SerializeToString(), store.Sender("test", f"again{number}"))
    writer.close()
    with store.reading(path) as db:
        for number in (0, 3, 9):
            assert paged_traces(db, f"again=w{number}") == [new_id(f"t{number}").hex()]
        assert paged_traces(db, "n=v3") == [new_id("t3").hex()]


def test_pages_of_traces_and_lines_continue_where_the_last_one_ended(backend: Backend, service: str) -> None:
    for number in range(7):
        trace_id = secrets.token_bytes(16)
        backend.send(
            spans(service, span(trace_id, f"op {number}", at=START + number * SECOND)),
            logs(service, {"body": f"line {number}", "time_unix_nano": START + number // 2 * SECOND}),
        )
    late = span(trace_id, "early", at=START - 50 * SECOND, ms=60_000)
    backend.send(spans(service, late))  # its trace has a second place in the list now

    def pages(path: str, key: str) -> list[list[str]]:
        found, cursor = [], ""
        while cursor is not None:
            body = backend.ask(path, service=service, limit=3, cursor=cursor).json()
            found.append([one[key] for one in body["data"]])
            cursor = body["next"]
        return found

    traces = pages("/api/summaries", "operation")
    assert [len(page) for page in traces][:2] == [3, 3]
    assert sorted(name for page in traces for name in page) == ["early", *(f"op {number}" for number in range(6))]
    lines = pages("/api/logs", "body")
    assert lines == [["line 6", "line 5", "line 4"], ["line 3", "line 2", "line 1"], ["line 0"]]
    assert backend.ask("/api/logs", cursor="x").status_code == 400


def test_log_lines_are_counted_by_step_and_level(backend: Backend, service: str) -> None:
    times = (0, 1, 1, 7)
    backend.send(
        logs(service, *({"time_unix_nano": START + n * SECOND, "attributes": {"n": n}} for n in times)),
        logs(service, {"time_unix_nano": START + SECOND, "severity_number": 17}),
    )
    window = {"start": US, "end": US + 10_000_000, "step": 5}
    points = [{"time": US, "counts": {"ERROR": 1, "INFO": 3}}, {"time": US + 5_000_000, "counts": {"INFO": 1}}]
    for query in (f"service={service}", f"service={service} (exists:n or level:error)"):
        found = backend.get("/api/logs/histogram", q=query, **window)
        assert found == {"step": 5, "every": 1, "points": points}
    assert backend.get("/api/logs/histogram", q=f"service={service} n=9", **window)["points"] == []


def test_the_values_of_log_lines_are_counted(backend: Backend, service: str) -> None:
    lines = [{"attributes": {"region": "eu" if n % 3 else "ap", "id": f"id-{n}"}} for n in range(9)]
    backend.send(logs(service, *lines, {"severity_number": 17}))
    found = backend.get("/api/logs/facets", q=f"service={service}")
    assert (found["lines"], found["every"]) == (10, 1)
    facets = {one["field"]: one for one in found["facets"]}
    assert facets["level"]["values"] == [{"value": "INFO", "count": 9}, {"value": "ERROR", "count": 1}]
    assert facets["region"]["values"] == [{"value": "eu", "count": 6}, {"value": "ap", "count": 3}]
    assert facets["id"]["distinct"] == 9


def test_of_very_many_log_lines_some_are_counted(small: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_queries, "MAX_SAMPLED", 10)
    path = small(logs("s", *({"attributes": {"k": "v"}, "time_unix_nano": START + n} for n in range(35))))
    with store.reading(path) as db:
        found = log_queries.log_facets(db, log_queries.LogQuery())
        counted = log_queries.log_histogram(db, log_queries.LogQuery(query=parse("k=v"), start=US, end=US + 10), 1)
    assert (found["lines"], found["every"]) == (36, 4)
    assert (counted["every"], sum(sum(point["counts"].values()) for point in counted["points"])) == (4, 36)


def test_the_lines_around_a_line_are_of_its_service_or_of_all(backend: Backend, service: str) -> None:
    other = f"{service}-other"
    at = START + 7 * 10**6 * SECOND
    for number in range(5):
        backend.send(logs(service, {"body": f"mine {number}", "time_unix_nano": at + number * 1000}))
        backend.send(logs(other, {"body": f"other {number}", "time_unix_nano": at + number * 1000}))
    (line,) = backend.get("/api/logs", service=service, text="mine 2")

    def around(**parameters: Any) -> list[str]:
        return [one["body"] for one in backend.get("/api/logs/context", id=line["id"], **parameters)]

    assert around(before=1, after=1) == ["mine 1", "mine 2", "mine 3"]
    assert around() == [f"mine {number}" for number in range(5)]
    assert around(before=1, after=2, all=1) == ["other 1", "mine 2", "other 2", "mine 3"]
    assert backend.ask("/api/logs/context", id=1).status_code == 404


def test_a_page_that_takes_too_long_says_where_it_stopped(
    small: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = small(*(spans("s", span(new_id(f"t{n}"), at=START + n * SECOND)) for n in range(5)))

    class Short:
        """A deadline that is over when it is looked at for the second time."""

        looks = 0

        @property
        def is_over(self) -> bool:
            self.looks += 1
            return self.looks > 1

    monkeypatch.setattr(trace_queries, "Deadline", Short)
    with store.reading(path) as db:
        page = trace_queries.find_summaries(db, trace_queries.TraceQuery(query=parse("duration>1h or name:work")))
    assert (len(page.items), page.next is not None) == (1, True)


@pytest.mark.parametrize(
    ("signal", "text", "begin", "expected"),
    [
        ("traces", "service:{shop}", 0, ["service:{shop}-order", "service:{shop}-payment"]),
        ("traces", "a -stat", 3, ["status:"]),
        ("traces", "status:", 0, ["status:error", "status:refused", "status:ok"]),
        ("traces", "(exists:exception.t", 1, ["exists:exception.type"]),
        ("traces", "pay.amou", 0, ["pay.amount:"]),
        ("traces", 'order.id:"order-slow-{shop}', 0, ["order.id:Order-slow-{shop}"]),
        ("traces", 'operation="PUT /ch', 0, ['operation="PUT /charges"']),
        ("logs", "pay.card=v", 0, ["pay.card=visa"]),
        ("logs", "level:e", 0, ["level:error", "level:trace", "level:debug"]),
        ("logs", "logger:pay.c", 0, ["logger:pay.cards"]),
        ("logs", "duratio", 0, []),
    ],
)
def test_the_last_word_is_completed_from_what_is_stored(
    backend: Backend, shop: str, signal: str, text: str, begin: int, expected: list[str]
) -> None:
    found = backend.get("/api/suggestions", signal=signal, q=text.format(shop=shop))
    assert found["from"] == begin
    completed = [one["text"] for one in found["items"]]
    assert completed[: len(expected)] == [one.format(shop=shop) for one in expected]
    assert bool(completed) == bool(expected)


def test_every_completion_is_a_query_that_finds_something(backend: Backend, shop: str) -> None:
    for key in ("order.id", "http.route", "service", "operation", "order.region", "exists"):
        for one in backend.get("/api/suggestions", q=f"{key}:")["items"]:
            assert backend.get("/api/summaries", q=one["text"], limit=1), one
    counts = {one["text"]: one["count"] for one in backend.get("/api/suggestions", q=f"service:{shop}")["items"]}
    assert counts == {f"service:{shop}-order": 4, f"service:{shop}-payment": 4}
    assert backend.ask("/api/suggestions", signal="metrics").status_code == 400
