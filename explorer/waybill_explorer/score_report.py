"""The Instrumentation Score in the terminal: a line per service, and under it each rule that fails, with evidence."""

import re
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.text import Text

from waybill_explorer.client import ClientError, TraceApi
from waybill_explorer.terminal import clean

DEFAULT_LIMIT = 1_000
"""Traces to read, as the read API does by itself."""
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
COLORS = {"Excellent": "green", "Good": "cyan", "Needs Improvement": "yellow", "Poor": "red"}
MAX_SEEN = 400


def fetch(api: TraceApi, *, service: str, since: str, limit: int) -> dict[str, Any]:
    """Return the scores of a time such as `10m`, `2h` or `7d`, of the newest `limit` traces. Raise ClientError."""
    return api.score(service=service, lookback=seconds(since), limit=limit)


def seconds(text: str) -> int:
    """Parse `30s`, `10m`, `2h` or `7d` to seconds. Raise ClientError."""
    match = re.fullmatch(r"(\d{1,9})([smhd])", text.strip())
    if not match or not int(match[1]):
        raise ClientError(f"{text!r} is not a duration: write 30s, 10m, 2h or 7d")
    return int(match[1]) * UNITS[match[2]]


def is_enough(report: dict[str, Any], minimum: float | None) -> bool:
    """Return whether every service scores at least a minimum. Where nothing is scored, no minimum is reached."""
    if minimum is None:
        return True
    return bool(report["services"]) and all(one["score"] >= minimum for one in report["services"])


def print_report(console: Console, report: dict[str, Any], link: Callable[[str], str]) -> None:
    """Print the services, the best last, so that what needs work is read first; `link` gives the URL of a trace."""
    if not report["services"]:
        text = "No telemetry in this time. Send some, look further back with --since, or name another --service."
        console.print(Text(text, "yellow"), soft_wrap=True)
        return
    width = max(len(clean(one["service"])) for one in report["services"])
    for one in sorted(report["services"], key=lambda one: (one["score"], one["service"])):
        _print_service(console, one, width, link)
    _print_footer(console, report)


def _print_service(console: Console, one: dict[str, Any], width: int, link: Callable[[str], str]) -> None:
    failed = [rule for rule in one["rules"] if rule["passed"] is False]
    text = Text().append(f"{clean(one['service']):<{width}}  ", "bold")
    text.append(f"{shown(one['score']):>6}  {one['category']}", COLORS[one["category"]])
    text.append(f"  {len(failed)} of {len(one['rules'])} rules fail" if failed else "", "dim")
    console.print(text, soft_wrap=True)
    for rule in sorted(failed, key=lambda rule: -rule["weight"]):
        line = Text("  ").append(f"{rule['id']} {rule['impact']}: ", "bold red").append(clean(rule["seen"])[:MAX_SEEN])
        console.print(line.append(f" ({rule['count']:,} cases)" if rule["count"] > 1 else "", "dim"), soft_wrap=True)
        console.print(Text(f"    {rule['advice']}."), soft_wrap=True)
        if where := _evidence(rule["evidence"], link):
            console.print(Text(f"    {where}", "dim"), soft_wrap=True)


def shown(score: float) -> str:
    """Return a score with two decimals at most, and never rounded up to a whole number: 100, 93.48."""
    return f"{score:.2f}".rstrip("0").rstrip(".")


def _evidence(evidence: dict[str, str], link: Callable[[str], str]) -> str:
    if trace_id := evidence.get("trace_id"):
        return clean(link(trace_id))
    if metric := evidence.get("metric"):
        return f"metric {clean(metric)[:MAX_SEEN]}"
    return f"log record of {clean(evidence['logger'])[:MAX_SEEN]}" if "logger" in evidence else ""


def _print_footer(console: Console, report: dict[str, Any]) -> None:
    read = report["read"]
    text = f"\n{report['specification']}, from {read['traces']:,} of {read['of_traces']:,} traces, "
    console.print(Text(f"{text}{read['logs']:,} log records and {read['series']:,} series.", "dim"), soft_wrap=True)
    reasons: dict[tuple[str, str], list[str]] = {}
    for one in report["services"]:
        for rule in one["rules"]:
            if rule["passed"] is None:
                reasons.setdefault((rule["id"], rule["reason"]), []).append(clean(one["service"]))
    for name, reason in report["not_judged"].items():
        reasons[name, reason] = ["any service"]
    for (name, reason), services in reasons.items():
        where = "any service" if len(services) == len(report["services"]) else ", ".join(services)
        console.print(Text(f"{name} is not counted for {where}: {reason}.", "dim"), soft_wrap=True)
