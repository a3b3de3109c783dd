"""What the slow orders of a load run have in common, by their traces."""

import time
from typing import Any

from local.client import TraceApi
from local.load import Report
from local.registry import REGISTRY
from waybill_explorer.client import ClientError

OPERATION = "POST /orders"
DEADLINE = 15.0
"""Seconds within which the traces arrive: services send their spans in batches, up to 5 s late."""
PAUSE = 0.5
SHOWN = 3


def in_common(api: TraceApi, report: Report) -> list[dict[str, Any]]:
    """Return what the slow orders have more often than the others of the same time, the most telling first.

    Nothing, if nothing is clearly different, if there are too few orders, or if the backend is a Jaeger, which has no
    such query.
    """
    slow = report.slow
    if not slow:
        return []
    parameters = {
        "ids": ",".join(slow),
        "noun": "slow ones",
        "service": REGISTRY["order"].host,
        "operation": OPERATION,
        "start": report.began,
        "end": time.time_ns() // 1000,
    }
    deadline = time.monotonic() + DEADLINE
    try:
        before, answer = None, api.difference(**parameters)
        # Complete once each slow order is there and nothing has changed since the last look.
        while (answer["selected"] < len(slow) or answer != before) and time.monotonic() < deadline:
            time.sleep(PAUSE)
            before, answer = answer, api.difference(**parameters)
    except ClientError:
        return []
    return list(answer["rows"][:SHOWN])
