"""Files into the store: which formats are read, what is stored of them, and what is said of the rest."""

import gzip
import json
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from waybill_explorer.transfer import files

from .conftest import SECOND, START, Backend, attributes, logs, span, spans

Json = dict[str, Any]


def send(backend: Backend, body: Any, **headers: str) -> requests.Response:
    """Import a file: JSON of a value, or text or bytes as they are."""
    data = body if isinstance(body, str | bytes) else json.dumps(body)
    return requests.post(f"http://127.0.0.1:{backend.traces_port}/api/import", data, headers=headers, timeout=120)


def imported(backend: Backend, body: Any) -> Json:
    response = send(backend, body)
    assert response.status_code == 200, response.text
    return dict(response.json()["data"])


def problem(backend: Backend, body: Any) -> str:
    """Return why a file was refused as a whole."""
    response = send(backend, body)
    assert response.status_code == 400
    assert response.json()["data"] is None
    return str(response.json()["errors"][0]["msg"])


def a_span(trace_id: str, name: str = "work", **fields: Any) -> Json:
    times = {"startTimeUnixNano": str(START), "endTimeUnixNano": str(START + SECOND)}
    return {"traceId": trace_id, "spanId": secrets.token_hex(8), "name": name, **times, **fields}


def of_spans(service: str, *members: Json) -> Json:
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": "s"}, "spans": [*members]}]}]}


def of_logs(service: str, *records: Json) -> Json:
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
    return {"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": [*records]}]}]}


def of_metrics(service: str, *values: int) -> Json:
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
    points = [{"timeUnixNano": str(START + n * SECOND), "asInt": str(value)} for n, value in enumerate(values)]
    metric = {"name": f"{service}.sum", "sum": {"aggregationTemporality": 2, "isMonotonic": True, "dataPoints": points}}
    return {"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": [metric]}]}]}


def a_record(body: str, **fields: Any) -> Json:
    return {"timeUnixNano": str(START), "severityNumber": 9, "body": {"stringValue": body}, **fields}


def lines(*values: Any) -> str:
    return "".join(f"{json.dumps(value)}\n" for value in values)


def new_id() -> str:
    return secrets.token_hex(16)


# ----------------------------------------------------------------------------------------------------------- formats


def test_the_lines_of_the_collectors_file_exporter_are_stored_whatever_the_signal(
    backend: Backend, service: str
) -> None:
    one, two = new_id(), new_id()
    body = lines(
        of_spans(service, a_span(one, "GET /one")),
        of_spans(service, a_span(two, "GET /two")),
        of_logs(service, a_record("hello")),
        of_metrics(service, 1, 2),
    )

    found = imported(backend, body)

    assert found["summary"] == "2 spans, 1 log record and 2 data points stored"
    assert [trace["traceID"] for trace in found["traces"]] == [one, two]
    assert (found["problems"], found["unread"]) == ([], 0)
    assert backend.get(f"/api/services/{service}/operations") == ["GET /one", "GET /two"]
    assert [record["body"] for record in backend.get("/api/logs", service=service)] == ["hello"]
    assert backend.get("/api/instruments", text=service)[0]["name"] == f"{service}.sum"


def test_a_first_part_without_spans_does_not_hide_the_second(backend: Backend, service: str) -> None:
    trace_id = new_id()
    body = of_spans(service, a_span(trace_id))
    body["resourceSpans"].insert(0, {"resource": {}, "scopeSpans": []})
    assert imported(backend, json.dumps(body, indent=1))["summary"] == "1 span stored"
    assert backend.get(f"/api/traces/{trace_id}")[0]["traceID"] == trace_id


@pytest.mark.parametrize("wrap", [lambda t: {"data": [t], "errors": None}, lambda t: t, lambda t: [t]])
@pytest.mark.parametrize("indent", [None, 2])
def test_jaegers_json_comes_back_as_it_was_exported(
    backend: Backend, launch: Callable[..., Backend], service: str, wrap: Callable[[Json], Any], indent: int | None
) -> None:
    trace_id, root = secrets.token_bytes(16), secrets.token_bytes(8)
    values = {"text": "ä", "whole": 2**60, "part": 0.5, "yes": True, "raw": b"\x00\xff"}
    link = Span.Link(trace_id=secrets.token_bytes(16), span_id=secrets.token_bytes(8))
    event = Span.Event(time_unix_nano=START + 5000, name="cache miss", attributes=attributes({"key": "a"}))
    failed = Status(code=Status.STATUS_CODE_ERROR, message="declined")
    members = [
        span(trace_id, "POST /orders", span_id=root, kind=2, attributes=values, trace_state="a=b"),
        span(trace_id, "charge", parent=root, kind=3, status=failed, links=[link], events=[event]),
        span(trace_id, "fine", parent=root, status=Status(code=Status.STATUS_CODE_OK)),
    ]
    backend.send(spans(service, *members, resource={"host.name": "here"}, scope="by.hand"))
    (exported,) = backend.get(f"/api/traces/{trace_id.hex()}")
    other = launch()

    found = imported(other, json.dumps(wrap(exported), indent=indent))

    assert found["summary"] == "3 spans stored"
    assert other.get(f"/api/traces/{trace_id.hex()}") == [exported]


def test_what_older_jaegers_write_is_read(backend: Backend) -> None:
    trace = {
        "traceID": "abc123",
        "spans": [
            {"traceID": "abc123", "spanID": "1", "operationName": "old", "startTime": START // 1000, "duration": 5000}
            | {"process": {"serviceName": "inline", "tags": [{"key": "pid", "value": 7}]}, "parentSpanID": "2"}
        ],
    }
    assert imported(backend, trace)["summary"] == "1 span stored"
    (found,) = backend.get("/api/traces/abc123")
    assert found["processes"]["p1"] == {"serviceName": "inline", "tags": [{"key": "pid", "type": "int64", "value": 7}]}
    assert found["spans"][0]["references"][0]["spanID"] == "0000000000000002"


def test_a_file_in_gzip_of_several_members_is_read(backend: Backend, service: str) -> None:
    one, two = (lines(of_spans(service, a_span(new_id(), name))).encode() for name in ("one", "two"))
    assert imported(backend, gzip.compress(one) + gzip.compress(two))["summary"] == "2 spans stored"
    assert "is not whole gzip" in problem(backend, gzip.compress(one)[:-9])


def test_a_list_of_exports_is_read_and_a_byte_order_mark_is_not_in_the_way(backend: Backend, service: str) -> None:
    body = [of_spans(service, a_span(new_id())), of_logs(service, a_record("listed"))]
    assert (
        imported(backend, b"\xef\xbb\xbf\n" + json.dumps(body).encode())["summary"] == "1 span and 1 log record stored"
    )


# ------------------------------------------------------------------------------------------------------ what is known


def test_of_two_traces_the_known_one_does_not_keep_out_the_other(backend: Backend, service: str) -> None:
    known, new = a_span(new_id(), "known"), a_span(new_id(), "new")
    imported(backend, of_spans(service, known))
    late = a_span(known["traceId"], "late")

    found = imported(backend, of_spans(service, known, new, late))

    assert found["summary"] == "2 spans stored; 1 span already stored"
    assert found["traces"] == [
        {"traceID": known["traceId"], "spans": 2, "stored": 1},
        {"traceID": new["traceId"], "spans": 1, "stored": 1},
    ]
    assert len(backend.get(f"/api/traces/{known['traceId']}")[0]["spans"]) == 2


def test_log_records_are_not_doubled_and_equal_ones_are_not_lost(backend: Backend, service: str) -> None:
    three = of_logs(service, *[a_record("again")] * 3)
    assert imported(backend, three)["summary"] == "3 log records stored"
    four = lines(three, of_logs(service, a_record("again")))
    assert imported(backend, four)["summary"] == "1 log record stored; 3 log records already stored"
    assert imported(backend, four)["summary"] == "4 log records already stored"
    assert len(backend.get("/api/logs", service=service)) == 4


def test_a_record_that_differs_in_one_attribute_is_another_one(backend: Backend, service: str) -> None:
    def numbered(number: int) -> Json:
        return a_record("same", attributes=[{"key": "n", "value": {"intValue": str(number)}}])

    imported(backend, of_logs(service, numbered(1)))
    assert imported(backend, of_logs(service, numbered(2)))["summary"] == "1 log record stored"


# ----------------------------------------------------------------------------------------------------- what is refused


def test_a_bad_item_is_refused_with_its_place_and_the_others_are_stored(backend: Backend, service: str) -> None:
    good = a_span(new_id())
    bad = [
        a_span("xyz"),
        a_span("0" * 32),
        a_span(new_id(), startTimeUnixNano="soon"),
        a_span(new_id(), attributes=[{"key": "n", "value": {"intValue": {}}}]),
    ]

    found = imported(backend, lines(of_spans(service, good), {}, of_spans(service, *bad)) + '{"resourceSpans": [')

    assert found["summary"] == "1 span stored; 4 spans refused; 2 parts of the file not read"
    place = "line 3, resourceSpans[0].scopeSpans[0].spans"
    assert [text.split(": ")[0] for text in found["problems"]] == [
        "line 2",
        f"{place}[0].traceId",
        f"{place}[1].traceId",
        f"{place}[2].startTimeUnixNano",
        f"{place}[3].attributes.value.intValue",
        "line 4",
    ]
    assert "soon" in found["problems"][3]
    assert "column" in found["problems"][5]


def test_a_bad_span_of_jaeger_is_refused_with_its_place(backend: Backend) -> None:
    def one(**fields: Any) -> Json:
        trace_id = new_id()
        whole = {"traceID": trace_id, "spanID": "1", "operationName": "x", "startTime": 1, "duration": 1}
        return {"traceID": trace_id, "spans": [whole | {"processID": "p1"} | fields], "processes": {"p1": {}}}

    bad = [one(startTime="now"), one(spanID="nope"), one(processID="p2"), one(tags=[{"value": 1}]), one(duration=2**70)]
    found = imported(backend, {"data": [one(), *bad]})
    assert found["summary"] == "1 span stored; 5 spans refused"
    assert [text.split(": ")[0] for text in found["problems"]] == [
        "data[1].spans[0].startTime",
        "data[2].spans[0].spanID",
        "data[3].spans[0].processID",
        "data[4].spans[0].tags[0]",
        "data[5].spans[0].duration",
    ]


def test_points_that_cannot_be_stored_are_counted(backend: Backend, service: str) -> None:
    body = of_metrics(service, 1)
    metrics = body["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]
    point = {"timeUnixNano": str(START), "count": "1", "bucketCounts": ["1"], "explicitBounds": [1, 2]}
    metrics.append({"name": "odd", "histogram": {"dataPoints": [point]}})
    found = imported(backend, body)
    assert found["summary"] == "1 data point stored; 1 data point refused"
    assert "one bucket more than it has bounds" in found["problems"][0]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "the file is empty"),
        (b"\n\n", "the file is empty"),
        ("hello", "is not JSON: expected value at line 1 column 1"),
        ('{\n "resourceSpans": [\n}', "is not JSON: expected value at line 3 column 1"),
        ('{"resourceSpans": []}', "no spans, log records or data points"),
        ('{"data": []}', "neither OTLP/JSON"),
        ('{"name": "waybill"}', "this is neither OTLP/JSON"),
        ("[" * 5000, "recursion limit"),
    ],
)
def test_a_file_without_telemetry_is_refused_with_a_reason(backend: Backend, body: str | bytes, why: str) -> None:
    assert why in problem(backend, body)


def test_a_page_of_another_site_and_another_host_cannot_import(backend: Backend, service: str) -> None:
    body = json.dumps(of_spans(service, a_span(new_id())))
    own = f"http://127.0.0.1:{backend.traces_port}"
    assert send(backend, body, Origin="http://evil.example").status_code == 403
    assert send(backend, body, **{"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert send(backend, body, Origin=f"http://127.0.0.1:{backend.traces_port + 1}").status_code == 403
    assert send(backend, body, Host="evil.example").status_code == 421
    assert service not in backend.get("/api/services")
    assert send(backend, body, Origin=own, **{"Sec-Fetch-Site": "same-origin"}).status_code == 200


# --------------------------------------------------------------------------------------------------------- large files


def twenty_megabytes() -> bytes:
    def one(number: int) -> Json:
        blob = {"key": "blob", "value": {"stringValue": "y" * 20_000}}
        times = {"startTimeUnixNano": str(START), "endTimeUnixNano": str(START + SECOND)}
        return {"traceId": "c0ffee17" * 4, "spanId": f"{number + 1:016x}", "name": "s", "attributes": [blob], **times}

    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [one(n) for n in range(1000)]}]}]}).encode()


def test_twenty_megabytes_are_imported_in_parts_that_the_receiver_takes_with_progress(
    launch: Callable[..., Backend],
) -> None:
    backend = launch()
    url = f"http://127.0.0.1:{backend.traces_port}/api/import"
    with requests.post(
        url, twenty_megabytes(), headers={"Accept": "application/x-ndjson"}, timeout=120, stream=True
    ) as response:
        found = [json.loads(line) for line in response.iter_lines()]

    *progress, last = found
    shares = [line["done"] for line in progress]
    assert len(shares) > 8
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert last["data"]["summary"] == "1,000 spans stored"
    assert len(backend.get("/api/traces/" + "c0ffee17" * 4)[0]["spans"]) > 700  # an answer is made of 16 MiB


def test_many_lines_are_imported_with_progress_by_place_in_the_file(
    launch: Callable[..., Backend], service: str
) -> None:
    backend = launch()  # one of its own: the others read a sample of so many traces
    body = lines(*(of_spans(service, *(a_span(new_id()) for _ in range(100))) for _ in range(60)))
    headers = {"Accept": "application/x-ndjson"}
    found = [json.loads(line) for line in send(backend, body, **headers).iter_lines()]
    assert 0 < found[0]["done"] < 0.5
    assert found[-1]["data"]["summary"] == "6,000 spans stored"
    assert (found[-1]["data"]["traceCount"], len(found[-1]["data"]["traces"])) == (6000, 100)


def test_too_large_a_line_is_refused_and_the_next_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_VALUE", 1000)
    file = tmp_path / "file"
    file.write_bytes(b'{"a": "' + b"x" * 5000 + b'"}\n{"b": 1}\n')
    with file.open("rb") as opened:
        found = list(files.read_values(opened))
    assert [(one.place, one.content, bool(one.problem)) for one in found] == [
        ("line 1", None, True),
        ("line 2", {"b": 1}, False),
    ]
    file.write_bytes(b"{\n" + b" " * 2000 + b"}")
    with file.open("rb") as opened, pytest.raises(files.FileTooLarge, match="one trace on each line"):
        list(files.read_values(opened))


def test_a_gzip_bomb_ends_at_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_FILE", 10_000)
    with (tmp_path / "bomb").open("wb+") as file:
        file.write(gzip.compress(b"{}\n" * 100_000))
        with pytest.raises(files.FileTooLarge):
            list(files.read_values(file))


# -------------------------------------------------------------------------------------------------------- command line


def command(backend: Backend, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    url = f"http://127.0.0.1:{backend.traces_port}"
    whole = [sys.executable, "-m", "waybill_explorer", *map(str, arguments), "--url", url]
    return subprocess.run(whole, capture_output=True, text=True, timeout=120)


def test_the_command_line_imports_files_and_exits_with_1_if_not_all_is_stored(
    backend: Backend, service: str, tmp_path: Path
) -> None:
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad.json"
    trace_id = new_id()
    good.write_text(lines(of_spans(service, a_span(trace_id)), of_logs(service, a_record("hi"))))
    bad.write_text(lines(of_spans(service, a_span("xyz"))))

    done = command(backend, "import", good)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "good.jsonl: 1 span and 1 log record stored"
    assert f"/trace/{trace_id}" in done.stdout
    refused = command(backend, "import", good, bad)
    assert refused.returncode == 1
    assert "good.jsonl: 1 span and 1 log record already stored" in refused.stdout
    assert "bad.json: 1 span refused" in refused.stdout
    assert "resourceSpans[0].scopeSpans[0].spans[0].traceId" in refused.stderr
    for name, why in (("none.json", "cannot be read"), ("empty.json", "the file is empty")):
        if why != "cannot be read":
            (tmp_path / name).touch()
        failed = command(backend, "import", tmp_path / name)
        assert failed.returncode == 1
        assert why in failed.stderr


# -------------------------------------------------------------------------------------------------------------- export


def exported(backend: Backend, *trace_ids: bytes, **search: Any) -> str:
    response = backend.ask("/api/export", traceID=[one.hex() for one in trace_ids], **search)
    assert response.status_code == 200, response.text
    return response.text


def test_what_is_exported_and_imported_elsewhere_is_exported_the_same(
    backend: Backend, launch: Callable[..., Backend], service: str
) -> None:
    one, two = secrets.token_bytes(16), secrets.token_bytes(16)
    values = {"text": "ä", "whole": 2**60, "part": 0.1, "yes": True, "raw": b"\x00\xff", "list": ["b", 2]}
    first = spans(service, span(one, "a", at=START + 7, attributes=values), resource={"host.name": "x"}, scope="lib")
    first.resource_spans[0].schema_url = "https://opentelemetry.io/schemas/1.27.0"
    first.resource_spans[0].scope_spans[0].schema_url = "https://example.com/schemas/1"
    first.resource_spans[0].scope_spans[0].scope.version = "1.2"
    first.resource_spans[0].scope_spans[0].scope.attributes.extend(attributes({"lib": 1}))
    told = logs(
        service,
        {"trace_id": one, "span_id": b"12345678", "body": "text", "time_unix_nano": START + 123_456_789}
        | {
            "observed_time_unix_nano": START + 5,
            "severity_text": "Info",
            "flags": 1,
            "attributes": {"z": b"\x01", "a": 2},
        },
        {"trace_id": one, "body": 7, "event_name": "order.placed", "dropped_attributes_count": 3},
        {"trace_id": one, "body": ["x", 1.5], "severity_number": 0},
    )
    told.resource_logs[0].scope_logs[0].scope.version = "9"
    told.resource_logs[0].schema_url = "https://opentelemetry.io/schemas/1.26.0"
    backend.send(first, told, spans(f"{service}-b", span(one, "b", at=START + 3), span(two, "c"), scope="lib"))
    text = exported(backend, one, two)

    other = launch()
    assert imported(other, text)["summary"] == "3 spans and 3 log records stored"

    assert exported(other, one, two) == text
    body = json.loads(text)
    (a,) = [
        s for part in body["resourceSpans"] for scope in part["scopeSpans"] for s in scope["spans"] if s["name"] == "a"
    ]
    assert a["traceId"] == one.hex()
    assert a["startTimeUnixNano"] == str(START + 7)
    found = {item["key"]: item["value"] for item in a["attributes"]}
    assert (found["whole"], found["raw"]) == ({"intValue": str(2**60)}, {"bytesValue": "AP8="})
    assert body["resourceLogs"][0]["schemaUrl"] == "https://opentelemetry.io/schemas/1.26.0"
    (scope,) = body["resourceLogs"][0]["scopeLogs"]
    assert scope["scope"] == {"name": "app", "version": "9"}
    assert {record["timeUnixNano"] for record in scope["logRecords"]} == {str(START), str(START + 123_456_789)}
    (event,) = [record for record in scope["logRecords"] if record.get("eventName")]
    assert (event["body"], event["droppedAttributesCount"]) == ({"intValue": "7"}, 3)


def test_the_order_of_arrival_does_not_change_an_export(
    backend: Backend, launch: Callable[..., Backend], service: str
) -> None:
    trace_id = secrets.token_bytes(16)
    members = [span(trace_id, f"s{n}", at=START + n) for n in range(6)]
    lines_of = [{"trace_id": trace_id, "body": f"l{n}", "time_unix_nano": START + n % 2} for n in range(4)]
    other = launch()
    backend.send(spans(service, *members), logs(service, *lines_of))
    for one in reversed(members):
        other.send(spans(service, one))
    other.send(logs(service, *reversed(lines_of)))
    assert exported(other, trace_id) == exported(backend, trace_id)


def test_a_search_is_exported_and_what_is_not_stored_is_said(backend: Backend, service: str) -> None:
    ids = [secrets.token_bytes(16) for _ in range(3)]
    for number, trace_id in enumerate(ids):
        backend.send(spans(service, span(trace_id, "GET /", ms=10 * (number + 1))))
    body = json.loads(exported(backend, service=service, minTotal="15ms"))
    found = {s["traceId"] for part in body["resourceSpans"] for scope in part["scopeSpans"] for s in scope["spans"]}
    assert found == {ids[1].hex(), ids[2].hex()}
    assert json.loads(exported(backend, service=f"{service}-none")) == {"resourceSpans": [], "resourceLogs": []}
    missing = new_id()
    refused = backend.ask("/api/export", traceID=[ids[0].hex(), missing])
    assert (refused.status_code, refused.json()["errors"][0]["msg"]) == (404, f"not stored: {missing}")


def test_the_command_line_exports_what_it_imports(
    backend: Backend, launch: Callable[..., Backend], service: str, tmp_path: Path
) -> None:
    ids = [secrets.token_bytes(16) for _ in range(60)]
    backend.send(*(spans(service, span(one, "GET /")) for one in ids))
    backend.send(logs(service, {"trace_id": ids[0], "body": "told"}))
    names = [one.hex() for one in ids]
    file = tmp_path / "traces.jsonl"
    first = command(backend, "export", *names)
    assert first.returncode == 0, first.stderr
    file.write_text(first.stdout)
    other = launch()
    assert command(other, "import", file).stdout.startswith("traces.jsonl: 60 spans and 1 log record stored")
    assert command(other, "export", *names).stdout == first.stdout
    failed = command(backend, "export", new_id())
    assert failed.returncode == 1
    assert "not stored" in failed.stderr


# ---------------------------------------------------------------------------------------------------------- operations


def test_the_operations_of_a_trace_have_their_percentiles_over_all_traces(backend: Backend, service: str) -> None:
    query = "SELECT a FROM items WHERE id = ?"
    now = time.time_ns() // 1_000_000 * 1_000_000
    for number in range(20):
        trace_id = secrets.token_bytes(16)
        root = span(trace_id, "GET /", at=now, ms=100 + number)
        select = span(
            trace_id, "SELECT shop", parent=root.span_id, at=now, ms=number, attributes={"db.query.text": query}
        )
        other = span(
            trace_id, "SELECT shop", parent=root.span_id, at=now, ms=90, attributes={"db.query.text": "SELECT 1"}
        )
        backend.send(spans(service, root, select, *([other] if number == 0 else [])))
    backend.send(spans(service, span(secrets.token_bytes(16), "not in this trace", at=now)))

    found = backend.get(f"/api/traces/{trace_id.hex()}/operations")

    assert (found["traces"], found["isSampled"]) == (20, False)
    assert found["operations"] == [
        {"service": service, "title": "GET /", "count": 20, "p50": 110_000, "p95": 119_000},
        {"service": service, "title": "SELECT … FROM items WHERE id = ?", "count": 20, "p50": 10_000, "p95": 19_000},
    ]
    later = backend.get(f"/api/traces/{trace_id.hex()}/operations", start=now // 1000 + 1)
    assert (later["traces"], later["operations"]) == (0, [])
    assert backend.ask(f"/api/traces/{new_id()}/operations").status_code == 404
