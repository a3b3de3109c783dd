"""What a fuzzer found: equal failures are counted together, each with its shortest input in a file."""

import tempfile
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.text import Text


@dataclass
class Failure:
    """A broken promise: how often, by which service and by which mutation, and the shortest input that brings it."""

    payload: bytes
    command: str
    """A shell command that sends the input again; `{file}` stands for its path."""
    where: Counter[str] = field(default_factory=Counter)
    mutations: Counter[str] = field(default_factory=Counter)


class Findings:
    """Collects failures and counts from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.failures: dict[str, Failure] = {}
        """What was seen -> the failure."""
        self.counts: Counter[str] = Counter()
        self.notes: list[str] = []

    def fail(self, where: str, seen: str, mutation: str = "", payload: bytes = b"", command: str = "") -> None:
        """Record a failure."""
        with self._lock:
            failure = self.failures.setdefault(seen, Failure(payload, command))
            failure.where[where] += 1
            failure.mutations[mutation] += bool(mutation)
            if len(payload) < len(failure.payload):
                failure.payload, failure.command = payload, command

    def count(self, what: str) -> None:
        """Count an outcome that is allowed."""
        with self._lock:
            self.counts[what] += 1

    def note(self, line: str) -> None:
        """Keep a measurement for the report."""
        with self._lock:
            self.notes.append(line)

    def text(self) -> str:
        """Return the failures, one per line."""
        return "\n".join(f"{seen}: {_counts(failure.where)}" for seen, failure in self.failures.items())

    def report(self, console: Console) -> None:
        """Print counts, measurements and failures; write the shortest input of each failure to a file."""
        for line in [*self.notes, _counts(self.counts)]:
            console.print(line, highlight=False, soft_wrap=True)
        if not self.failures:
            console.print("Nothing failed.", style="green")
            return
        folder = Path(tempfile.mkdtemp(prefix="waybill-fuzz-"))
        for number, (seen, failure) in enumerate(sorted(self.failures.items()), 1):
            console.print(Text(f"{number:3}. {seen}", "red"), soft_wrap=True)
            console.print(f"     {_counts(failure.where)}", highlight=False, soft_wrap=True)
            if failure.mutations.total():
                console.print(f"     by {_counts(failure.mutations)}", style="dim", highlight=False, soft_wrap=True)
            if failure.command:
                file = folder / f"{number:03}.bin"
                file.write_bytes(failure.payload)
                console.print(Text(f"     {failure.command.format(file=file)}"), soft_wrap=True)


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{number:,} x {what}" for what, number in counter.most_common() if number)
