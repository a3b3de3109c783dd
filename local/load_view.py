"""What a load run looks like in a terminal: a progress bar while it runs, then a summary."""

import signal
import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from local.load import Load, Plan, Report
from waybill_explorer.terminal import clean


def run(plan: Plan, console: Console) -> Report:
    """Send the plan's orders with a progress bar on `console`. Ctrl-C ends it early; the report is of what was sent."""
    load = Load(plan)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[now]}"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task(f"{plan.rate:g} orders/s", total=plan.orders, now="")
        # A handler, not KeyboardInterrupt, which is lost when it strikes inside a callback that ignores exceptions.
        before = signal.signal(signal.SIGINT, lambda *_: load.end())
        try:
            load.start()
            while load.running() and not load.ended:
                time.sleep(0.2)
                report = load.report
                p95 = report.percentile(95)
                now = f"{report.answered}/{plan.orders}" + (f"  P95 {p95 * 1000:.0f} ms" if p95 is not None else "")
                now += f"  {report.retries} retried" * bool(report.retries) + f"  {report.failed} failed" * bool(
                    report.failed
                )
                progress.update(bar, completed=report.answered + report.failed, now=now)
        finally:
            signal.signal(signal.SIGINT, before)
        if load.ended:
            progress.update(bar, description="stopping")
            load.stop()
    return load.report


def print_report(console: Console, report: Report, link: str, in_common: Sequence[dict[str, Any]] = ()) -> None:
    """Print the summary: what was sent, latencies, outcomes, where to look, what slow orders have in common."""
    data = report.as_json(link)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("orders", f"{report.answered:,} answered of {report.sent:,} sent, {report.planned:,} planned")
    table.add_row("rate", f"{data['rate']:g}/s over {report.seconds:.1f} s")
    latency = {"P50": 50, "P95": 95, "P99": 99, "max": 100}
    values = {name: report.percentile(percent) for name, percent in latency.items()}
    text = "   ".join(f"{name} {value * 1000:,.0f} ms" for name, value in values.items() if value is not None)
    table.add_row("latency", text or "-")
    table.add_row("", Text("from the moment each was due", "dim"))
    for outcome in data["outcomes"]:
        reason = f" {outcome['reason']}" if outcome["reason"] else ""
        table.add_row(Text(outcome["status"]), Text(f"{outcome['count']:,}{reason}"))
    for error, number in data["errors"].items():
        kind, _, detail = clean(error).partition(": ")
        table.add_row(Text(kind, "red"), Text(f"{number:,} {detail}"))
    if report.errors:
        table.add_row("retried", f"{report.retries:,} times, under the same Idempotency-Key")
        table.add_row("failed", f"{report.failed:,} for good", style="red" if report.failed else "")
    console.print(table)
    if data["slowest"]:
        console.print(Text("\nThe slowest", "dim"))
    for slow in data["slowest"]:
        console.print(Text(f"{slow['latency_ms']:>8,.0f} ms  {slow['link']}"), soft_wrap=True)
    if in_common:
        console.print(Text("\nWhat the slow ones have in common", "dim"))
    for row in in_common:
        console.print(Text(clean(row["sentence"])), soft_wrap=True)
