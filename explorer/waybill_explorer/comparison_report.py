"""Two traces or two groups of traces side by side in the terminal."""

import re
import time
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from waybill_explorer.client import ClientError, TraceApi, valid_trace_id
from waybill_explorer.comparison import TracesComparedJson, compare_traces, growth, own_growth
from waybill_explorer.durations import duration_text
from waybill_explorer.score_report import seconds
from waybill_explorer.terminal import clean
from waybill_explorer.words import percent

MAX_LINES = 200
MAX_OPERATIONS = 30
LEAST_SHARE = 0.01
"""Of the longest line: what changed by less is dim."""


def fetch(api: TraceApi, a: str, b: str, since: str) -> dict[str, Any]:
    """Return two traces (ids) or two groups (queries, of the time `since`) compared. Raise ClientError."""
    are_ids = [bool(re.fullmatch(r"[0-9a-fA-F]{32}", text.strip())) for text in (a, b)]
    if all(are_ids):
        here, there = (api.find(valid_trace_id(text)).trace for text in (a, b))
        return {"traces": compare_traces(here, there)}
    if any(are_ids):
        raise ClientError("a trace is compared with a trace, and a query with a query: give two of one kind")
    end = time.time_ns() // 1000
    return {"groups": api.comparison(a=a, b=b, start=end - seconds(since) * 1_000_000, end=end)}


def print_report(console: Console, compared: dict[str, Any], a: str, b: str, api: TraceApi) -> None:
    """Print what `fetch` returned of `a` and `b`."""
    if "traces" in compared:
        _print_traces(console, compared["traces"], api)
    else:
        _print_groups(console, compared["groups"], a, b)


def _table(*numbers: str, first: str) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column(first, overflow="ellipsis", no_wrap=True)
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _print_traces(console: Console, compared: TracesComparedJson, api: TraceApi) -> None:
    lines, most = compared["lines"], compared["most"]
    scale = max(max(line["here"]["duration"], line["there"]["duration"]) for line in lines)
    if most is None:
        console.print(Text("Each span took as long in A as in B.", "bold"))
    else:
        line, differs = lines[most], own_growth(lines[most])
        text = Text("Differs most: ", "yellow").append(f"{clean(line['service'])} {clean(line['name'])}", "bold")
        words = f", {duration_text(abs(differs))} {'more' if differs > 0 else 'less'} of its own time in A"
        console.print(text.append(words), soft_wrap=True)
    table = _table("A", "B", "A - B", first="Span")
    for index, line in enumerate(lines[:MAX_LINES]):
        here, there = line["here"], line["there"]
        grown = growth(line)
        look = "dim" if abs(grown) < scale * LEAST_SHARE else "red" if grown > 0 else "green"
        name = Text("  " * min(line["depth"], 12)).append(clean(line["name"]), "bold" if index == most else "")
        if line["depth"] == 0:
            name.append(f" {clean(line['service'])}", "dim")
        if max(here["spans"], there["spans"]) > 1:
            name.append(f" x{here['spans']} / x{there['spans']}", "dim")
        sign = "+" if grown >= 0 else "-"
        shown = (duration_text(side["duration"]) if side["spans"] else "absent" for side in (here, there))
        table.add_row(name, *shown, Text(f"{sign}{duration_text(abs(grown))}", look))
    console.print(table)
    if len(lines) > MAX_LINES:
        console.print(Text(f"{len(lines) - MAX_LINES:,} more lines: --json has all.", "yellow"))
    for letter, trace_id in (("A", compared["here"]), ("B", compared["there"])):
        console.print(Text(f"{letter}  ", "bold").append(api.link(clean(trace_id)), "underline"), soft_wrap=True)


def _print_groups(console: Console, compared: dict[str, Any], a: str, b: str) -> None:
    table = _table("Traces", "Rate", "Failed", "Refused", "P50", "P95", first="Group")
    for name, query, group in (("A", a, compared["a"]), ("B", b, compared["b"])):
        table.add_row(
            Text(f"{name}  ", "bold").append(clean(query), ""), f"{group['traces']:,}", *_figures(group["whole"])
        )
    console.print(table)
    for name in "ab":
        group = compared[name]
        if group["read"] < group["traces"]:
            text = f"Of {name.upper()} {group['read']:,} of {group['traces']:,} traces were read."
            console.print(Text(text, "dim"))
    operations = compared["operations"]
    if not operations:
        console.print(Text("No trace fits either query. Look further back with --since.", "yellow"))
        return
    console.print()
    table = _table("per trace", "failed", "P50", "P95", first="Operation (A above B)")
    for one in operations[:MAX_OPERATIONS]:
        for name in "ab":
            label = Text(f"{name.upper()} ", "dim")
            if name == "a":
                label.append(clean(one["operation"]), "bold").append(f" {clean(one['service'])}", "dim")
            table.add_row(label, *_operation(one[name]))
    console.print(table)
    left_out = len(operations) - MAX_OPERATIONS + compared["left_out"]
    if left_out > 0:
        console.print(Text(f"{left_out:,} more operations differ less: --json has them.", "dim"))


def _figures(figures: dict[str, Any]) -> list[str]:
    rate = "-" if figures["rate"] is None else f"{figures['rate']:.2g}/s"
    return [rate, percent(figures["errors"]), percent(figures["refused"]), *_durations(figures)]


def _operation(figures: dict[str, Any] | None) -> list[str]:
    if figures is None:
        return ["absent", "", "", ""]
    return [f"{figures['perTrace']:.2g}", percent(figures["errors"]), *_durations(figures)]


def _durations(figures: dict[str, Any]) -> list[str]:
    return ["-" if figures[key] is None else duration_text(figures[key]) for key in ("p50", "p95")]
