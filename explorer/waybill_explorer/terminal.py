"""A trace as a waterfall in the terminal: `─` where a span ran, `█` where it was on the critical path."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Any

from rich.cells import cell_len
from rich.columns import Columns
from rich.console import Console
from rich.text import Text

from waybill_explorer import titles
from waybill_explorer.bottleneck import Bottleneck, bottlenecks
from waybill_explorer.client import Fetched
from waybill_explorer.durations import duration_text
from waybill_explorer.outcome import Outcome
from waybill_explorer.trace_tree import Section, Span, Trace, critical_path, time_by_service, walk

COLORS = ("cyan", "magenta", "green", "dodger_blue1", "orange1", "medium_purple1", "turquoise2", "violet")
LEVELS = {"WARNING": "yellow", "WARN": "yellow", "ERROR": "red", "CRITICAL": "red", "FATAL": "red"}
MAX_ROWS, MAX_DEPTH, MAX_ALIKE, MAX_NOTE_LINES = 400, 24, 3, 4
MAX_WIDTH = 160


@dataclass(frozen=True, slots=True)
class Note:
    """A line inside a span: a log record or an event (at a time in µs), a status description or link (at none)."""

    timestamp: int | None
    text: Text


@dataclass(frozen=True, slots=True)
class Rest:
    """Spans that share one row: further siblings like the one before, or all that is too deep."""

    spans: list[Span]


@dataclass(frozen=True, slots=True)
class Row:
    """What a row shows, the guides before it (`head`) and before what is under it (`tail`)."""

    item: Span | Note | Rest
    head: str
    tail: str
    new_service: bool = False


def clean(text: object) -> str:
    """Text from outside on one line, without what could steer the terminal or turn the line around."""
    return "".join(char for char in re.sub(r"\s+", " ", str(text)[:4000]) if char.isprintable()).strip()


def title(span: Span) -> str:
    """Return what a span did, in a few words that are safe to print."""
    return clean(titles.title(span))


def _label(span: Span, color: str, new_service: bool, minor: bool) -> Text:
    text, peer = Text(), clean(titles.peer(span))
    if new_service:
        text.append("● ", color).append(f"{clean(span.service)} ", f"bold {color}")
    look = "bold red" if span.failed else "bold yellow" if span.refused else ""
    text.append("✗ " * span.failed + "⊘ " * span.refused, look)
    text.append(title(span), look or ("bold" if new_service else "dim" if minor else ""))
    text.append(f" {peer}" if peer else "", "dim")
    status = clean(span.tags.get("http.response.status_code", ""))
    return text.append(f" {status}" if look and status else "", look)


def _notes(span: Span, trace: Trace, logs: Iterable[Mapping[str, Any]]) -> Iterator[Note]:
    why = clean(span.status_description) if span.outcome else ""
    if why:
        yield Note(None, Text(why, "red" if span.failed else "yellow"))
    for warning in span.warnings:
        yield Note(None, Text(f"! {clean(warning)}", "yellow"))
    for link in span.links:
        if link.trace_id != trace.trace_id:
            yield Note(None, Text(f"linked to trace {clean(link.trace_id)}", "dim"))
    for event in span.events:
        exception = [clean(event.attributes.get(f"exception.{key}", "")) for key in ("type", "message")]
        if event.name != "exception":
            yield Note(event.timestamp + span.shift, Text(f"· {clean(event.name)}", "dim"))
        elif not exception[1] or exception[1] not in why:
            yield Note(event.timestamp + span.shift, Text(": ".join(filter(None, exception)), "red"))
    for log in logs:
        level = clean(log.get("level") or "INFO")
        text = (
            Text().append("· ", "dim").append(level, LEVELS.get(level, "dim")).append(f" {clean(log.get('body', ''))}")
        )
        yield Note(int(log.get("timestamp") or span.start) + span.shift, text)


def _items(span: Span, trace: Trace, logs: Iterable[Mapping[str, Any]], everything: bool) -> list[Span | Note | Rest]:
    """Return the rows under a span, by time. Of a run of similar children only the first few are kept."""
    items: list[tuple[int, Span | Note | Rest]] = [
        (span.start if note.timestamp is None else note.timestamp, note) for note in _notes(span, trace, logs)
    ]
    for _, run in groupby(span.children, lambda child: (child.service, title(child), child.outcome)):
        children = list(run)
        shown = len(children) if everything or len(children) <= MAX_ALIKE + 1 else MAX_ALIKE
        items += [(child.start, child) for child in children[:shown]]
        if rest := children[shown:]:
            items.append((rest[0].start, Rest([*walk(rest)])))
    return [item for _, item in sorted(items, key=lambda pair: pair[0])]


def rows(trace: Trace, logs: Iterable[Mapping[str, Any]], *, everything: bool = False) -> Iterator[Row]:
    """Return the rows of a trace from top to bottom. Iterative: a hostile trace may be deeper than Python's stack."""
    by_span: dict[str, list[Mapping[str, Any]]] = {span.span_id: [] for span in trace.spans}
    owners = trace.owners()
    for log in logs:
        span_id = str(log.get("span_id"))
        owner = owners.get((span_id, str(log.get("service"))))
        by_span.get(owner.span_id if owner else span_id, by_span[trace.root.span_id]).append(log)
    stack = [(Row(root, "", "", new_service=True), 0) for root in reversed(trace.roots)]
    while stack:
        row, depth = stack.pop()
        yield row
        if not isinstance(row.item, Span):
            continue
        items = _items(row.item, trace, by_span[row.item.span_id], everything)
        if depth >= MAX_DEPTH and row.item.children and not everything:
            items = [Rest([*walk(row.item.children)])]
        last = max((index for index, item in enumerate(items) if not isinstance(item, Note)), default=-1)
        for index, item in reversed([*enumerate(items)]):
            tail = row.tail + ("│ " if index < last else "  ")
            head = tail if isinstance(item, Note) else row.tail + ("├ " if index < last else "└ ")
            new_service = isinstance(item, Span) and item.service != row.item.service
            stack.append((Row(item, head, tail, new_service), depth + 1))


def bar(spans: Sequence[Span], critical: Iterable[Section], trace: Trace, width: int) -> str:
    """Return a line of the waterfall, `width` characters from the trace's start to its end."""
    began, scale = trace.start, width / max(1, trace.end - trace.start)
    line, covered = [" "] * width, [0.0] * width
    for span in spans:
        first = min(width - 1, int((span.start - began) * scale))
        last = min(width, first + max(1, round(span.duration * scale)))
        line[first:last] = "─" * (last - first)
    for start, end in critical:
        low, high = (start - began) * scale, (end - began) * scale
        for cell in range(max(0, int(low)), min(width, int(high) + 1)):
            covered[cell] += min(high, cell + 1) - max(low, cell)
    for cell, share in enumerate(covered):
        line[cell] = "█" if share >= 0.5 else line[cell]
    if any(covered) and "█" not in line:
        line[max((cell for cell in range(width) if line[cell] == "─"), key=covered.__getitem__)] = "▌"
    return "".join(line)


def print_trace(console: Console, fetched: Fetched, link: str, *, everything: bool = False) -> None:
    """Print header, waterfall and footer; without `everything`, alike, deep and very many spans are summed up."""
    trace, width = fetched.trace, min(console.width, MAX_WIDTH)
    colors = {name: COLORS[index % len(COLORS)] for index, name in enumerate(trace.services)}
    path = critical_path(trace.root)
    worst = bottlenecks(trace.root, path, 3)
    shown = [*islice(rows(trace, fetched.logs or [], everything=everything), None if everything else MAX_ROWS)]
    _print_header(console, trace, path, colors, worst)

    most = width - 12 - max(14, width // 4)
    labels = [_row_label(row, trace, colors, most) for row in shown]
    longest = max(
        cell_len(text.plain) for row, text in zip(shown, labels, strict=True) if not isinstance(row.item, Note)
    )
    label_width = max(10, min(longest, most))
    bar_width = max(8, width - 12 - label_width)
    for row, text in zip(shown, labels, strict=True):
        if isinstance(row.item, Note):
            _print_note(console, _head(row, most), row.item, trace, label_width + 1 + bar_width)
            continue
        spans = [row.item] if isinstance(row.item, Span) else row.item.spans
        critical = [section for span in spans for section in path.get(span.span_id, ())]
        text.truncate(label_width, overflow="ellipsis", pad=True)
        text.append(" ")
        for part in re.findall("─+|[^─]+", bar(spans, critical, trace, bar_width)):
            text.append(part, f"{'dim ' * (part[0] == '─')}{colors[spans[0].service]}")
        marked = bool(worst) and worst[0].span in spans
        time = duration_text(sum(span.duration for span in spans)) if isinstance(row.item, Span) else ""
        text.append(f" {time:>7}", "bold yellow" if marked else "" if critical else "dim")
        console.print(text.append(" ◀" * marked, "bold yellow"), soft_wrap=True)
    _print_footer(console, fetched, shown, link)


def _row_label(row: Row, trace: Trace, colors: Mapping[str, str], width: int) -> Text:
    # Appended, since a base style would cover the whole row.
    text = Text().append(_head(row, width), "dim")
    if isinstance(row.item, Span):
        minor = row.item.duration * 100 < trace.root.duration
        text.append(_label(row.item, colors[row.item.service], row.new_service, minor))
    elif isinstance(row.item, Rest):
        failed, refused = _counts(row.item.spans)
        text.append(f"… {len(row.item.spans):,} more, such as {title(row.item.spans[0])}", "dim")
        text.append(f", {failed:,} failed" if failed else "", "red")
        text.append(f", {refused:,} refused" if refused else "", "yellow")
    return text


def _head(row: Row, width: int) -> str:
    """Return the guides before a row; of deep ones only the last, so that half of the width is left for the label."""
    return row.head if len(row.head) <= width // 2 else "…" + row.head[1 - width // 2 :]


def _print_note(console: Console, head: str, note: Note, trace: Trace, width: int) -> None:
    lines = note.text.wrap(console, max(20, width - cell_len(head)), overflow="fold")
    for index, line in enumerate(lines[:MAX_NOTE_LINES]):
        text = Text().append(head + "  " * (index > 0), "dim").append(line)
        if note.timestamp is not None and not index:
            text.truncate(width, overflow="ellipsis", pad=True)
            text.append(f"{'+' + duration_text(max(0, note.timestamp - trace.start)):>8}", "dim")
        console.print(text, soft_wrap=True)


def _counts(spans: Iterable[Span]) -> tuple[int, int]:
    """Return how many spans failed and how many were refused."""
    outcomes = Counter(span.outcome for span in spans)
    return outcomes[Outcome.FAILED], outcomes[Outcome.REFUSED]


def _print_header(
    console: Console,
    trace: Trace,
    path: Mapping[str, list[Section]],
    colors: Mapping[str, str],
    worst: Sequence[Bottleneck],
) -> None:
    spans, services = len(trace.spans), len(colors)
    failed, refused = _counts(trace.spans)
    text = Text("Trace ").append(f"{clean(trace.trace_id)} · {duration_text(trace.root.duration)}", "bold")
    text.append(f" · {spans:,} span{'s' * (spans != 1)} · {services} service{'s' * (services != 1)}")
    text.append(f" · {failed:,} failed" if failed else "", "red")
    console.print(text.append(f" · {refused:,} refused" if refused else "", "yellow"), soft_wrap=True)
    times = time_by_service(trace, path)
    shares = (
        Text.assemble(("● ", colors[name]), f"{clean(name)} {duration_text(time)}") for name, time in times.items()
    )
    console.print(Columns(shares, padding=(0, 3)))
    for place, one in enumerate(worst):
        look = "dim" if place else "bold"
        text = Text().append("Bottleneck: " if not place else "      then: ", "dim" if place else "yellow")
        text.append(duration_text(one.time), "dim" if place else "bold yellow")
        text.append(f" of {duration_text(one.total)}: ", look if place else "").append(clean(one.what), look)
        text.append(f", {clean(one.where)}", look if place else "")
        if place:
            text.truncate(min(console.width, MAX_WIDTH), overflow="ellipsis")
        console.print(text)
    console.print()


def _print_footer(console: Console, fetched: Fetched, shown: Iterable[Row], link: str) -> None:
    console.print(Text("\n█ critical path   ─ rest of a span   ◀ bottleneck   ✗ failed   ⊘ refused   · log", "dim"))
    hidden = len(fetched.trace.spans) - sum(isinstance(row.item, Span) for row in shown)
    if hidden:
        console.print(Text(f"{hidden:,} spans are summed up or left out: --all prints every one.", "yellow"))
    for warning in fetched.trace.warnings:
        console.print(Text(clean(warning), "yellow"))
    if fetched.logs is None:
        console.print(Text("No logs: this backend keeps traces only.", "dim"))
    if not fetched.complete:
        console.print(Text("Not all of it has arrived: print the trace again later.", "yellow"))
    elif fetched.trace.missing:
        console.print(Text("Some parent spans are missing, so the trace shows in parts.", "yellow"))
    console.print(Text(link, "underline"), soft_wrap=True)
