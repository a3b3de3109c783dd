"""Each service scores 100 by the Instrumentation Score, whatever happens to its orders."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from explorer.tests.conftest import Backend
from local.client import skus_in_stock
from local.load import Load, Plan
from local.registry import REGISTRY
from tests.support.local_stack import LocalStack, local_stack
from tests.support.tested_services import TESTED
from tests.support.traced_shop import TracedShop
from tests.support.waiting import until
from waybill_explorer.score import scores
from waybill_explorer.score.query import ScoreQuery
from waybill_explorer.store import reading

pytestmark = pytest.mark.xdist_group("traced_shop")

TOKENS = {"tok_approve": 70, "tok_decline": 20, "tok_fail_then_succeed": 10}
SETTLED = 60_000_000
"""Microseconds from now: spans that are sent by then are there, since the services have ended."""


def score_of(explorer: Backend, service: str) -> dict[str, Any]:
    """What the explorer finds of a service in all that it has."""
    end = time.time_ns() // 1000 + SETTLED
    found = explorer.get("/api/score", service=f"{service}-service", end=end)
    assert found["read"]["traces"] == found["read"]["of_traces"] > 0
    return dict(found["services"][0])


def failures(score: dict[str, Any]) -> list[str]:
    """What fails, with its evidence."""
    failed = (rule for rule in score["rules"] if rule["passed"] is False)
    return [f"{rule['id']}: {rule['seen']} ({rule['count']} cases)" for rule in failed]


@pytest.mark.parametrize("service", TESTED)
def test_a_service_scores_100_with_declines_retries_and_recovery(service: str, traced_shop: TracedShop) -> None:
    score = score_of(traced_shop.explorer, service)
    failed = failures(score)
    assert not failed, "\n".join(failed)
    assert score["score"] == 100


def test_each_service_scores_100_under_load(tmp_path: Path) -> None:
    """Cards are declined, items sell out, and payment-service ends and is started again while orders arrive."""
    with local_stack(tmp_path, {}) as stack:
        load = Load(loaded(stack))
        load.start()
        until(lambda: load.report.answered >= 10)
        stack.process("payment-service").terminate()
        until(lambda: not load.running())
        until(lambda: in_progress(stack) == 0)
    end = time.time_ns() // 1000 + SETTLED
    with reading(stack.data / "telemetry.db") as db:
        found = scores(db, ScoreQuery(0, end))
    reasons = {reason for _, reason in load.report.outcomes}
    assert {"payment_declined", "out_of_stock"} <= reasons
    assert found["read"]["traces"] >= load.plan.orders
    by_service = {score["service"]: score for score in found["services"]}
    assert set(by_service) == {service.host for service in REGISTRY.values()}
    failed = [f"{name} {failure}" for name, score in by_service.items() for failure in failures(score)]
    assert not failed, "\n".join(failed)
    assert {score["score"] for score in by_service.values()} == {100}


def loaded(stack: LocalStack) -> Plan:
    """Return a load that sells out what there is least of."""
    api = stack.url("order")
    return Plan(
        api=api,
        rate=10,
        duration=6,
        concurrency=8,
        skus=skus_in_stock(api)[-3:],
        tokens=TOKENS,
        retry_for=120,
        seed=1,
    )


def in_progress(stack: LocalStack) -> int:
    """Return how many orders have a step that is still to be done."""
    with closing(sqlite3.connect(stack.data / "order.db")) as database:
        return int(database.execute("SELECT count(*) FROM orders WHERE next_attempt_at IS NOT NULL").fetchone()[0])
