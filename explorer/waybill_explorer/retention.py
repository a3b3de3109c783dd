"""Keeps the file under its cap: first what nothing refers to goes, then the oldest data of all signals."""

import time

from waybill_explorer.ingest import Ingest
from waybill_explorer.texts import LOGS, TRACES

SHRINK_TO = 0.95
MAX_SECONDS = 0.3
"""Exports wait while old data is dropped, so it is done in parts, after each group of exports."""
UNREFERENCED = (
    "exemplars WHERE NOT EXISTS (SELECT 1 FROM points WHERE points.series = exemplars.series)",
    "operations WHERE NOT EXISTS (SELECT 1 FROM matches WHERE operation = operations.id)",
    "series WHERE NOT EXISTS (SELECT 1 FROM points WHERE series = series.id)",
    f"texts WHERE signal = {TRACES} AND NOT EXISTS (SELECT 1 FROM traces)",  # noqa: S608
    f"texts WHERE signal = {LOGS} AND NOT EXISTS (SELECT 1 FROM logs)",  # noqa: S608
    "resources WHERE id NOT IN"
    " (SELECT resource FROM chunks UNION SELECT resource FROM series UNION SELECT resource FROM logs)",
)
OLDEST_TEXTS = tuple(
    f"texts WHERE signal = {signal} AND segment <"  # noqa: S608
    f" (SELECT max(segment) FROM texts WHERE signal = {signal} AND segment <= :cutoff)"
    for signal in (TRACES, LOGS)
)
"""A segment has the texts of all its traces, or log lines: it goes when the last of them is gone."""
OLDEST = (
    "chunks WHERE trace < :cutoff",
    "spans WHERE trace < :cutoff",
    "problems WHERE trace < :cutoff",
    "matches WHERE trace < :cutoff",
    "traces WHERE id < :cutoff",
    "logs WHERE id < :cutoff",
    "points WHERE id < :cutoff",
    "exemplars WHERE id < :cutoff",
    *OLDEST_TEXTS,
)


def keep_under(ingest: Ingest, limit: int) -> None:
    """Drop data, a twentieth at a time, while the file holds more than `limit` bytes.

    It stops when a step frees nothing: then deleting more cannot free space either.
    """
    used = used_bytes(ingest)
    if used <= limit:
        return
    deadline = time.monotonic() + MAX_SECONDS
    _delete(ingest, UNREFERENCED)
    while (used := used_bytes(ingest)) > limit * SHRINK_TO and time.monotonic() < deadline:
        cutoff = _cutoff(ingest)
        if cutoff is None:
            return
        _delete(ingest, (*OLDEST, *UNREFERENCED), cutoff)
        if used_bytes(ingest) >= used:
            return


def used_bytes(ingest: Ingest) -> int:
    """Return the bytes of the pages in use."""
    pages, free, size = (
        ingest.db.execute(f"PRAGMA {p}").fetchone()[0] for p in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def _delete(ingest: Ingest, conditions: tuple[str, ...], cutoff: int = 0) -> None:
    ingest.db.execute("BEGIN IMMEDIATE")
    for condition in conditions:
        ingest.db.execute(f"DELETE FROM {condition}", {"cutoff": cutoff})  # noqa: S608
    ingest.db.execute("COMMIT")
    ingest.forget()


def _cutoff(ingest: Ingest) -> int | None:
    """Return the id below which the oldest twentieth of one signal is, of the signal where that is longest ago."""
    cutoffs = [
        ingest.db.execute(
            f"SELECT id FROM {t} ORDER BY id LIMIT 1 OFFSET (SELECT max(count(*) / 20, 1) FROM {t})"  # noqa: S608
        ).fetchone()
        for t in ("traces", "logs", "points")
    ]
    if oldest := [int(row[0]) for row in cutoffs if row]:
        return min(oldest)
    # Of each signal one row at most is left, and that is too much: a single trace can grow beyond any cap.
    newest = [ingest.db.execute(f"SELECT max(id) FROM {t}").fetchone()[0] for t in ("traces", "logs", "points")]  # noqa: S608
    return max((int(number) + 1 for number in newest if number), default=None)
