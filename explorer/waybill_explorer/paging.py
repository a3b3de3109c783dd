"""Pages of a long answer: a cursor says where the next one begins."""

import re
import time
from dataclasses import dataclass, field
from typing import Any

MAX_SECONDS = 2.0
"""How long one page may be searched for. What is found until then is given, with a cursor to search on."""


@dataclass(frozen=True)
class Cursor:
    """The place of the last row that was looked at: its time (µs) and its id."""

    time: int
    number: int

    def __str__(self) -> str:
        return f"{self.time}-{self.number}"


def cursor_of(text: str) -> Cursor | None:
    """Return the cursor that a text is, or None."""
    match = re.fullmatch(r"([0-9]{1,19})-([0-9]{1,19})", text)
    return Cursor(int(match[1]), int(match[2])) if match and max(map(int, match.groups())) < 2**63 else None


@dataclass
class Page:
    """Some of what was found, newest first, and the cursor that continues; None at the end."""

    items: list[Any]
    next: Cursor | None


@dataclass
class Deadline:
    """When a page must be given, however little of it is found."""

    at: float = field(default_factory=lambda: time.monotonic() + MAX_SECONDS)

    @property
    def is_over(self) -> bool:
        return time.monotonic() > self.at
