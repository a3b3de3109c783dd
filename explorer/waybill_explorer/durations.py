"""Durations: read as Go and Jaeger write them, such as `1.5ms` or `1m30s`, and written as the page does."""

import re
from decimal import ROUND_HALF_UP, Decimal

UNITS = {"ns": 0.001, "us": 1, "µs": 1, "μs": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000}
MAX_DURATION = 2**62
"""Microseconds: what is beyond it could not be compared with stored ones."""
_DURATION = re.compile(r"(\d+(\.\d+)?(ns|us|µs|μs|ms|s|m|h))+", re.ASCII)


def duration_text(microseconds: float) -> str:
    """Return a duration with three figures at most: `840 µs`, `12.3 ms`, `2.10 s`, `3 min 20 s`, `1 d 4 h`.

    The same rule as in the page's format.ts; durations.json beside it has the cases of both.
    """
    if microseconds < 999.5:
        return f"{_rounded(microseconds)} µs"
    if microseconds < 999_500:
        return f"{_figures(microseconds / 1e3)} ms"
    if microseconds < 59.95e6:
        return f"{_figures(microseconds / 1e6)} s"
    seconds = int(_rounded(microseconds / 1e6))
    if seconds < 3600:
        return _parts(seconds, 60, "min", "s")
    minutes = int(_rounded(seconds / 60))
    return _parts(minutes, 60, "h", "min") if minutes < 24 * 60 else _parts(int(_rounded(minutes / 60)), 24, "d", "h")


def _figures(value: float) -> str:
    return _rounded(value, 2 if value < 9.995 else 1 if value < 99.95 else 0)


def _rounded(value: float, digits: int = 0) -> str:
    """Round half up, as JavaScript's toFixed: Python's own format rounds half to even."""
    return str(Decimal(value).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP))


def _parts(value: int, base: int, large: str, small: str) -> str:
    whole, rest = divmod(value, base)
    return f"{whole} {large} {rest} {small}" if rest else f"{whole} {large}"


def microseconds(text: str) -> int | None:
    """Return a duration in microseconds, or None if the text is none."""
    if len(text) > 40 or not _DURATION.fullmatch(text):
        return None
    parts = re.findall(r"([\d.]+)([a-zµμ]+)", text)
    return min(int(sum(float(number) * UNITS[unit] for number, unit in parts)), MAX_DURATION)
