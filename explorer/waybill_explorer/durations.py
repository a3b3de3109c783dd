"""Durations as Go and Jaeger write them, such as `1.5ms` or `1m30s`."""

import re

UNITS = {"ns": 0.001, "us": 1, "µs": 1, "μs": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000}
MAX_DURATION = 2**62
"""Microseconds: what is beyond it could not be compared with stored ones."""
_DURATION = re.compile(r"(\d+(\.\d+)?(ns|us|µs|μs|ms|s|m|h))+", re.ASCII)


def microseconds(text: str) -> int | None:
    """Return a duration in microseconds, or None if the text is none."""
    if len(text) > 40 or not _DURATION.fullmatch(text):
        return None
    parts = re.findall(r"([\d.]+)([a-zµμ]+)", text)
    return min(int(sum(float(number) * UNITS[unit] for number, unit in parts)), MAX_DURATION)
