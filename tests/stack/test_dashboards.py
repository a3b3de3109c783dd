"""Every query of every dashboard, sent to its data source as Grafana would send it, has something to show."""

import math
import time

import pytest

from grafana.queries import Query, queries
from tests.stack.conftest import ARRIVAL_TIMEOUT, Order, loki, prometheus
from tests.support.waiting import until

SHOWN = 300
"""Seconds of the time range that a dashboard shows."""


def has_data(query: Query) -> bool:
    now = time.time()
    ask = {"prometheus": prometheus, "loki": loki}[query.datasource]
    if query.instant:
        return any(math.isfinite(float(entry["value"][1])) for entry in ask(query.expr, path="query", time=now))
    window = {"start": now - SHOWN, "end": now, "step": "10"}
    result = ask(query.expr, path="query_range", **window)
    if result and "stream" in result[0]:
        return True
    return any(math.isfinite(float(value)) for entry in result for _at, value in entry["values"])


@pytest.mark.parametrize("query", queries(), ids=lambda query: f"{query.dashboard}: {query.panel}")
def test_a_panel_has_something_to_show_after_a_minute_of_load(query: Query, minute_of_load: list[Order]) -> None:
    assert {order.status for order in minute_of_load} == {201}
    until(lambda: has_data(query), ARRIVAL_TIMEOUT)
