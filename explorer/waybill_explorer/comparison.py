"""Two traces side by side: alike spans at the same place in the tree are one line. Pure functions, times in µs."""

from dataclasses import dataclass, field

from typing_extensions import TypedDict

from waybill_explorer import titles
from waybill_explorer.trace_tree import Span, Trace


class SideJson(TypedDict):
    """What a line is in one of the traces: `own` is the time in which no child of its `spans` ran."""

    spans: int
    duration: int
    own: int


class LineJson(TypedDict):
    """Spans of one service with one title under the same line, in both traces; in the order of a waterfall."""

    service: str
    name: str
    depth: int
    here: SideJson
    there: SideJson


class TracesComparedJson(TypedDict):
    """Two traces; `most` is the index of the line whose own time differs most between them, if any differs."""

    here: str
    there: str
    lines: list[LineJson]
    most: int | None


@dataclass
class _Node:
    line: LineJson | None = None
    children: dict[tuple[str, str], "_Node"] = field(default_factory=dict)


def compare_traces(here: Trace, there: Trace) -> TracesComparedJson:
    """Return the lines of both traces. Iterative: a hostile trace may be deeper than Python's stack."""
    root = _Node()
    _merge(root, here, is_here=True)
    _merge(root, there, is_here=False)
    lines: list[LineJson] = []
    stack = [*root.children.values()][::-1]
    while stack:
        node = stack.pop()
        if node.line:
            lines.append(node.line)
        stack += [*node.children.values()][::-1]
    most = max(range(len(lines)), key=lambda i: abs(own_growth(lines[i])))
    differs = own_growth(lines[most]) != 0
    return {"here": here.trace_id, "there": there.trace_id, "lines": lines, "most": most if differs else None}


def growth(line: LineJson) -> int:
    """Return by how much longer the spans of a line took here."""
    return line["here"]["duration"] - line["there"]["duration"]


def own_growth(line: LineJson) -> int:
    """Return by how much longer they took here in time of their own."""
    return line["here"]["own"] - line["there"]["own"]


def _merge(root: _Node, trace: Trace, *, is_here: bool) -> None:
    stack = [(span, root, 0) for span in reversed(trace.roots)]
    while stack:
        span, parent, depth = stack.pop()
        key = (span.service, titles.title(span))
        node = parent.children.setdefault(key, _Node())
        if node.line is None:
            node.line = {"service": key[0], "name": key[1], "depth": depth, "here": _nothing(), "there": _nothing()}
        side = node.line["here"] if is_here else node.line["there"]
        side["spans"] += 1
        side["duration"] += span.duration
        side["own"] += own_time(span)
        stack += [(child, node, depth + 1) for child in reversed(span.children)]


def _nothing() -> SideJson:
    return {"spans": 0, "duration": 0, "own": 0}


def own_time(span: Span) -> int:
    """Return the time of a span in which none of its children ran, however they overlap or outlast it."""
    own, cursor = span.duration, span.start
    for child in span.children:
        start, end = max(cursor, child.start), min(span.end, child.end)
        own -= max(0, end - start)
        cursor = max(cursor, end)
    return own
