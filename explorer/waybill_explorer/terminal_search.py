"""Traces, log lines and errors in the terminal, found by the query language."""

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from waybill_explorer.client import TraceApi, WrongQuery
from waybill_explorer.durations import duration_text
from waybill_explorer.score_report import seconds
from waybill_explorer.terminal import LEVELS, clean

MAX_ERRORS = 10_000
"""Failed traces that `errors` looks at, the newest."""
MAX_ARRIVED = 10_000
"""Log lines that `tail` prints at a time."""
MAX_BODY = 1_000
POLL_SECONDS = 1.0
BEFORE_TAIL = 10
"""Lines that `tail` begins with."""


@dataclass(frozen=True)
class Search:
    """What to look for: a query, how far back (such as `15m`), and how many."""

    query: str
    since: str
    limit: int

    def window(self) -> dict[str, Any]:
        """Return the parameters of the read API. Raise ClientError."""
        return {"q": self.query, "start": now() - seconds(self.since) * 1_000_000}


def now() -> int:
    """Return the time in microseconds."""
    return time.time_ns() // 1000


def traces(console: Console, api: TraceApi, search: Search, *, as_json: bool) -> None:
    """Print the newest traces that fit, one a line. Raise ClientError."""
    found = list(api.pages("/api/summaries", search.limit, **search.window()))
    if as_json:
        return _print_json(console, {"traces": found})
    for one in found:
        line = _time(one["startTime"]).append(f" {duration_text(one['duration']):>7}  ", "bold")
        line.append(f"{clean(one['service'])} {clean(one['operation'])}", _look(one)).append(_outcome(one), _look(one))
        _print_line(console, line, one["traceID"])
    return _print_end(console, len(found), search, "trace")


def logs(console: Console, api: TraceApi, search: Search, *, as_json: bool) -> None:
    """Print the newest log lines that fit, the newest last as in a file. Raise ClientError."""
    found = list(api.pages("/api/logs", search.limit, **search.window()))[::-1]
    if as_json:
        return _print_json(console, {"logs": found})
    for one in found:
        _print_log(console, one)
    return _print_end(console, len(found), search, "log line")


def errors(console: Console, api: TraceApi, search: Search, *, as_json: bool) -> None:
    """Print how many requests of each service failed, and what the failed traces say, most frequent first.

    Raise ClientError.
    """
    window = search.window()
    services = [
        {"service": one["service"], "failed": round(one["errors"] * one["count"]), "requests": one["count"]}
        for one in api.data("/api/map", start=window["start"], end=now())["services"]
    ]
    services.sort(key=lambda one: (-one["failed"], one["service"]))
    failed = list(api.pages("/api/summaries", MAX_ERRORS, **window, failed=1))
    groups = _grouped(failed)
    if as_json:
        return _print_json(console, {"services": services, "errors": groups[: search.limit], "traces": len(failed)})
    if not search.query:
        for one in services:
            look = "red" if one["failed"] else "dim"
            console.print(Text(f"{one['failed']:>8,} of {one['requests']:,} requests to {clean(one['service'])}", look))
        console.print()
    for group in groups[: search.limit]:
        line = Text(f"{group['count']:>8,}  ", "bold red").append(
            f"{clean(group['service'])} {clean(group['operation'])}: "
        )
        line.append(clean(group["problem"]), "red").append(" last ", "dim").append(_time(group["last"]))
        _print_line(console, line, group["trace_id"])
    return _print_end(console, len(failed), search, "failed trace")


def tail(console: Console, api: TraceApi, query: str, *, as_json: bool) -> None:
    """Print log lines as they arrive, until Ctrl-C. Raise ClientError."""
    try:
        for one in arriving(api, query):
            if as_json:
                console.print(json.dumps(one, ensure_ascii=False), markup=False, soft_wrap=True)
            else:
                _print_log(console, one)
    except KeyboardInterrupt:
        return


def arriving(api: TraceApi, query: str) -> Iterator[dict[str, Any]]:
    """Yield the newest log lines, and then each that arrives, oldest first."""
    found, last = list(api.pages("/api/logs", BEFORE_TAIL, q=query)), 0
    while True:
        yield from reversed(found)
        last = max((one["id"] for one in found), default=last)
        time.sleep(POLL_SECONDS)
        found = list(api.pages("/api/logs", MAX_ARRIVED, q=query, after=last))


def print_wrong_query(console: Console, prefix: str, error: WrongQuery) -> None:
    """Print what is wrong with a query, and a mark under the place."""
    console.print(Text(f"{prefix}{clean(error)}"), soft_wrap=True)
    before = "".join(char if char.isprintable() else " " for char in error.query)
    console.print(Text(f"  {before}"), soft_wrap=True)
    console.print(Text("  " + " " * error.position + "^", "bold red"), soft_wrap=True)


def _grouped(failed: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the failed traces by what they say, with the newest of each."""
    groups: dict[tuple[str, ...], dict[str, Any]] = {}
    for one in failed:  # the newest first
        named = {name: one[name] for name in ("service", "operation", "problem")}
        newest = {"count": 0, "last": one["startTime"], "trace_id": one["traceID"]}
        group = groups.setdefault(tuple(named.values()), named | newest)
        group["count"] += 1
    return sorted(groups.values(), key=lambda group: -group["count"])


def _outcome(one: dict[str, Any]) -> str:
    counts = f"  ✗ {one['errors']:,}" * bool(one["errors"]) + f"  ⊘ {one['refusals']:,}" * bool(one["refusals"])
    return f"{counts} {clean(one['problem'])}" if counts else ""


def _look(one: dict[str, Any]) -> str:
    return "red" if one["errors"] else "yellow" if one["refusals"] else ""


def _time(microseconds: int) -> Text:
    at = datetime.fromtimestamp(microseconds / 1e6).astimezone()
    return Text().append(f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03}", "dim")


def _print_log(console: Console, one: dict[str, Any]) -> None:
    level = clean(one["level"])
    line = _time(one["timestamp"]).append(f" {level:<5} ", LEVELS.get(level, "dim"))
    line.append(f"{clean(one['service'])} ", "bold").append(clean(one["body"])[:MAX_BODY])
    for key, value in one["attributes"].items():
        line.append(f" {clean(key)}={clean(value)}", "dim")
    _print_line(console, line, one["trace_id"])


def _print_line(console: Console, line: Text, trace_id: str) -> None:
    """Print a line and the id of a trace, which is never cut."""
    if console.is_terminal:
        line.truncate(max(40, console.width - 34), overflow="ellipsis")
    console.print(line.append(f"  {trace_id}" if trace_id else "", "dim"), soft_wrap=True)


def _print_end(console: Console, count: int, search: Search, what: str) -> None:
    zone = datetime.now().astimezone().strftime("%Z (UTC%z)")
    more = (
        f", the newest {search.limit:,}: --limit gives more" if what != "failed trace" and count == search.limit else ""
    )
    text = f"{count:,} {what}{'s' * (count != 1)} in the last {search.since}{more}. Times are in {zone}."
    console.print(Text(text, "dim"), soft_wrap=True)


def _print_json(console: Console, value: Any) -> None:
    console.print(json.dumps(value, indent=2, ensure_ascii=False), markup=False, soft_wrap=True)
