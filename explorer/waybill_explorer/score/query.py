"""What is scored: which services, in which time, from how much data at most."""

from dataclasses import dataclass

MAX_TRACES = 1_000
MAX_SPANS = 500_000
MAX_LOGS = 50_000
MAX_SERIES = 50_000
MAX_EXEMPLARS = 10_000
"""What is read, the newest, unless the query says otherwise: a busy day has more than anyone waits for."""
SETTLING = 30_000_000
"""Microseconds for which a span may still be on its way: it is sent in batches, up to 5 s after its end."""


@dataclass(frozen=True)
class ScoreQuery:
    """A time in microseconds, one service or all, and how many traces to read."""

    start: int
    end: int
    service: str = ""
    traces: int = MAX_TRACES

    def since(self, microseconds: int) -> int:
        """Return when the last microseconds of the time begin."""
        return max(self.start, self.end - microseconds)
