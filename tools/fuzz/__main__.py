"""Sends generated requests to the services and mutated exports to the explorer, and reports what failed.

    python -m tools.fuzz --requests 10000 --exports 10000 --seed 1

Starts a stack of its own, on free ports and in a folder of its own. The promises: no 5xx answer (501 and 505, which
refuse another protocol, are counted apart; the explorer may answer 503 with Retry-After); every 4xx of a service is
application/problem+json, every 4xx of the explorer an OTLP Status; honest requests beside are served within 1 s; no
process dies; memory stays bounded; what was acknowledged can be read. Exit status 1 if one was broken; each kind of
failure is printed with a command that sends its shortest input again.
"""

import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from local.registry import SERVICES
from tests.support.local_stack import LocalStack, local_stack
from tools.fuzz import explorer, services
from tools.fuzz.findings import Findings

console = Console()


def main(
    requests: Annotated[int, typer.Option(min=0, help="Requests to each service.")] = 10_000,
    exports: Annotated[int, typer.Option(min=0, help="Exports to the explorer.")] = 10_000,
    seed: Annotated[
        int | None, typer.Option(help="The same requests and exports again.", show_default="random")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Let the stack run until Enter, to send failures again.")
    ] = False,
) -> None:
    """Fuzz the services and the explorer of a stack of its own."""
    seed = random.getrandbits(32) if seed is None else seed
    console.print(f"{requests:,} requests to each service, {exports:,} exports, seed {seed}")
    failed = 0
    with fuzzed_stack() as stack:
        for title, fuzz, number in (
            ("requests", services.fuzz, requests * len(SERVICES)),
            ("exports", explorer.fuzz, exports),
        ):
            if not number:
                continue
            findings = Findings()
            columns = (TextColumn(title), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
            with Progress(*columns, console=console, transient=True) as progress:
                bar = progress.add_task(title, total=number)
                each = number // len(SERVICES) if fuzz is services.fuzz else number
                fuzz(stack, each, seed, findings, lambda done, bar=bar: progress.update(bar, completed=done))  # type: ignore[misc]
            console.rule(title)
            findings.report(console)
            failed += len(findings.failures)
        if keep:
            console.input("The stack runs until you press Enter. ")
    raise typer.Exit(1 if failed else 0)


@contextmanager
def fuzzed_stack() -> Iterator[LocalStack]:
    """Run a stack whose card processor answers immediately."""
    with (
        tempfile.TemporaryDirectory(prefix="waybill-fuzz-stack-") as folder,
        local_stack(Path(folder), {"PROCESSOR_LATENCY_MS": "0"}) as stack,
    ):
        yield stack


if __name__ == "__main__":
    typer.run(main)
