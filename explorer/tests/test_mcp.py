"""The tools for coding assistants, called by the client of the protocol's own SDK over stdio."""

import json
import secrets
import sys
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest
from mcp import Client, StdioServerParameters, stdio_client
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from waybill_explorer.mcp_server import INSTRUCTIONS
from waybill_explorer.query_language import parse

from .conftest import Backend, logs, span, spans

FAILED = Status(code=Status.STATUS_CODE_ERROR, message="no stock database")


def asked(backend: Backend, session: Callable[[Client], Awaitable[Any]]) -> Any:
    """Start the command, let a session use it, and return what it returns."""
    url = f"http://127.0.0.1:{backend.traces_port}"
    server = StdioServerParameters(command=sys.executable, args=["-m", "waybill_explorer", "mcp", "--url", url])

    async def run() -> Any:
        async with Client(stdio_client(server)) as client:
            return await session(client)

    # Not in this thread: Playwright's browser, once a test of this process has asked for it, runs an event loop here.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(anyio.run, run).result()


def called(backend: Backend, tool: str, **arguments: Any) -> Any:
    async def session(client: Client) -> Any:
        result = await client.call_tool(tool, arguments)
        text = "".join(getattr(block, "text", "") for block in result.content)
        assert not result.is_error, text
        return json.loads(text)

    return asked(backend, session)


@pytest.fixture
def traces(backend: Backend, service: str) -> list[str]:
    """A slow order that failed, with a log line, and a quick one; the newest first."""
    ids = [secrets.token_bytes(16) for _ in range(2)]
    now = time.time_ns()
    for number, trace_id in enumerate(ids):
        root = span(
            trace_id, "POST /orders", at=now - number * 10**9, ms=400 if number else 20, kind=Span.SPAN_KIND_SERVER
        )
        calls = [
            span(trace_id, "SELECT stock", parent=root.span_id, at=now - number * 10**9, ms=5)
            for _ in range(1 + 9 * number)
        ]
        if number:
            root.status.CopyFrom(FAILED)
        backend.send(spans(service, root, *calls))
    line = {"trace_id": ids[1], "body": "stock is unavailable", "time_unix_nano": now, "severity_number": 17}
    backend.send(logs(service, line))
    return [trace_id.hex() for trace_id in ids]


def test_the_tools_are_described_and_only_read(backend: Backend) -> None:
    async def session(client: Client) -> Any:
        return (await client.list_tools()).tools

    tools = asked(backend, session)
    assert {tool.name for tool in tools} == {"search_traces", "get_trace", "compare_traces", "search_logs", "services"}
    for tool in tools:
        assert tool.description
        assert tool.annotations.read_only_hint


def test_the_query_in_the_instructions_is_one() -> None:
    (example,) = [line.removeprefix("Queries: ") for line in INSTRUCTIONS.splitlines() if line.startswith("Queries: ")]
    assert len(parse(example).nodes) == 6  # type: ignore[union-attr]


def test_an_assistant_finds_a_failed_trace_and_gets_it_explained(
    backend: Backend, service: str, traces: list[str]
) -> None:
    (found,) = called(backend, "search_traces", query=f"service={service} status:error")["traces"]
    assert found["traceID"] == traces[1]
    trace = called(backend, "get_trace", trace_id=found["traceID"])
    assert (trace["root"], trace["duration"], trace["all_spans"]) == ("POST /orders", 400_000, 11)
    assert [(one["status"], one["says"]) for one in trace["problems"]] == [("error", "no stock database")]
    assert trace["bottlenecks"][0]["time"] > 300_000
    assert [line["body"] for line in trace["logs"]] == ["stock is unavailable"]


def test_two_traces_are_compared_by_what_they_do(backend: Backend, traces: list[str]) -> None:
    compared = called(backend, "compare_traces", first=traces[0], second=traces[1])
    assert compared["durations"] == [20_000, 400_000]
    root, select = compared["differences"]
    assert (root["operation"], root["times"], root["own_times"]) == (
        "POST /orders",
        [20_000, 400_000],
        [15_000, 395_000],
    )
    assert (select["operation"], select["depth"], select["counts"]) == ("SELECT stock", 1, [1, 10])
    assert compared["all_differences"] == 2


@pytest.mark.usefixtures("traces")
def test_logs_and_services_are_given(backend: Backend, service: str) -> None:
    (line,) = called(backend, "search_logs", query=f"service={service} level:error")["logs"]
    assert line["body"] == "stock is unavailable"
    nodes = {node["service"]: node for node in called(backend, "services", since="1h")["services"]}
    assert (nodes[service]["count"], nodes[service]["errors"]) == (2, 0.5)


@pytest.mark.parametrize(
    ("tool", "arguments", "text"),
    [
        ("search_traces", {"query": "duration>500"}, "position 10: '500' is no duration"),
        ("search_logs", {"since": "soon"}, "'soon' is not a duration"),
        ("get_trace", {"trace_id": "xyz"}, "'xyz' is not a trace id"),
    ],
)
def test_a_mistake_is_explained_to_the_assistant(
    backend: Backend, tool: str, arguments: dict[str, str], text: str
) -> None:
    async def session(client: Client) -> Any:
        return await client.call_tool(tool, arguments)

    result = asked(backend, session)
    assert result.is_error
    assert text in result.content[0].text
