"""`waybill-explorer mcp`: the read API as tools for coding assistants, over the Model Context Protocol on stdio.

Needs the extra `waybill-explorer[mcp]`. The tools return what a person would read, not all that is stored: an assistant
has little room, and every answer names the ids with which it can go on.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

from waybill_explorer import titles
from waybill_explorer.bottleneck import bottlenecks
from waybill_explorer.client import ClientError, TraceApi, valid_trace_id
from waybill_explorer.comparison import compare_traces, own_growth
from waybill_explorer.terminal_search import Search, now
from waybill_explorer.trace_tree import Span, Trace, critical_path, time_by_service

P = ParamSpec("P")
R = TypeVar("R")

INSTRUCTIONS = """Traces, logs and services of OpenTelemetry apps, as a running waybill-explorer stores them.
Start with `services` or `search_traces`, then `get_trace` explains one. Times are microseconds since 1970, durations
microseconds, `since` is how far back: 30s, 15m, 2h, 7d.
Queries: service:order duration>500ms status:error order.region=ap "card declined" -http.route=/items
`:` is contains, `=` is exactly, `!=` another value, > >= < <= compare numbers and durations, exists:key, a or b, -term,
parentheses, a bare word is a text anywhere. Fields: service, operation, duration (of a span), total (of the trace),
status (error, refused, ok), kind, trace; of log lines level, logger, body. Any other name is an attribute.
"error" is a failure (5xx, exception), "refused" a response the caller caused (4xx)."""
READ_ONLY = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)
MAX_SPANS = 100
MAX_LINES = 50
MAX_PROBLEMS = 20
MAX_DIFFERENCES = 30


def explaining(tool: Callable[P, R]) -> Callable[P, R]:
    """Give the assistant the text of a ClientError, with which it can correct its call."""

    @wraps(tool)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return tool(*args, **kwargs)
        except ClientError as error:
            raise ToolError(str(error)) from error

    return call


def mcp_server(api: TraceApi) -> MCPServer[Any]:
    """Make the server with its tools, which read from `api`."""
    server: MCPServer[Any] = MCPServer("waybill-explorer", instructions=INSTRUCTIONS, log_level="WARNING")

    @server.tool(annotations=READ_ONLY)
    @explaining
    def search_traces(query: str = "", since: str = "1h", limit: int = 20) -> dict[str, Any]:
        """Find the newest traces that fit a query: one line each, with the id, duration, errors and what they say."""
        found = list(api.pages("/api/summaries", limit, **Search(query, since, limit).window()))
        return {"traces": found}

    @server.tool(annotations=READ_ONLY)
    @explaining
    def get_trace(trace_id: str) -> dict[str, Any]:
        """Explain one trace: where its time went, what failed and why, its longest spans and its log lines."""
        fetched = api.find(valid_trace_id(trace_id))
        logs = fetched.logs or []
        return explained(fetched.trace) | {"logs": logs[:MAX_LINES], "all_logs": len(logs), "page": api.link(trace_id)}

    @server.tool(annotations=READ_ONLY)
    @explaining
    def compare_traces(first: str, second: str) -> dict[str, Any]:
        """Compare two traces by id, span by span: what each does more often or for longer.

        The largest difference of a span's own time comes first; that is the time in which none of its children ran.
        """
        one, other = (api.find(valid_trace_id(trace_id)).trace for trace_id in (first, second))
        return {
            "durations": [one.root.duration, other.root.duration],
            "bottlenecks": [_bottlenecks(one), _bottlenecks(other)],
            **differences(one, other),
        }

    @server.tool(annotations=READ_ONLY)
    @explaining
    def search_logs(query: str = "", since: str = "1h", limit: int = 50) -> dict[str, Any]:
        """Find the newest log lines that fit a query; each names its trace."""
        found = list(api.pages("/api/logs", limit, **Search(query, since, limit).window()))
        return {"logs": found}

    @server.tool(annotations=READ_ONLY)
    @explaining
    def services(since: str = "15m") -> dict[str, Any]:
        """Return the services with their requests, shares of errors and percentiles, and the calls between them."""
        start = Search("", since, 1).window()["start"]
        return dict(api.data("/api/map", start=start, end=now()))

    return server


def explained(trace: Trace) -> dict[str, Any]:
    """Return what is to be known of a trace in few words."""
    path = critical_path(trace.root)
    problems = [span for span in trace.spans if span.outcome]
    longest = sorted(trace.spans, key=lambda span: -span.duration)[:MAX_SPANS]
    return {
        "trace_id": trace.trace_id,
        "root": titles.title(trace.root),
        "duration": trace.root.duration,
        "services": time_by_service(trace, path),
        "bottlenecks": _bottlenecks(trace),
        "problems": [_span(span) | {"says": span.status_description} for span in problems[:MAX_PROBLEMS]],
        "all_problems": len(problems),
        "spans": [_span(span) for span in longest],
        "all_spans": len(trace.spans),
    }


def differences(one: Trace, other: Trace) -> dict[str, Any]:
    """Return the lines of a comparison in which two traces differ: how many spans, their time and own time (µs)."""
    lines = [line for line in compare_traces(one, other)["lines"] if line["here"] != line["there"]]
    lines.sort(key=lambda line: -abs(own_growth(line)))
    rows = [
        {
            "service": line["service"],
            "operation": line["name"],
            "depth": line["depth"],
            "counts": [line["here"]["spans"], line["there"]["spans"]],
            "times": [line["here"]["duration"], line["there"]["duration"]],
            "own_times": [line["here"]["own"], line["there"]["own"]],
        }
        for line in lines[:MAX_DIFFERENCES]
    ]
    return {"differences": rows, "all_differences": len(lines)}


def _bottlenecks(trace: Trace) -> list[dict[str, Any]]:
    found = bottlenecks(trace.root, critical_path(trace.root), 5)
    return [{"where": one.where, "what": one.what, "time": one.time, "spans": one.count} for one in found]


def _span(span: Span) -> dict[str, Any]:
    outcome = "error" if span.failed else "refused" if span.refused else "ok"
    return {
        "span_id": span.span_id,
        "parent_id": span.parent_id,
        "service": span.service,
        "operation": titles.title(span),
        "start": span.start,
        "duration": span.duration,
        "status": outcome,
        "attributes": span.tags,
    }
