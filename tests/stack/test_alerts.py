"""From a fault to its alert, the notification, the runbook that it links to, and the news that it is over."""

from typing import Any

import pytest
import requests

from tests.stack.conftest import ARRIVAL_TIMEOUT, away, prometheus, url
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(900)

ALERT_TIMEOUT = 240
"""Seconds from a fault to its notification: the alert's `for`, evaluations, Alertmanager's grouping."""


def notifications(alert: str, **expected: str) -> list[dict[str, Any]]:
    """What the pager has received about an alert, the oldest first."""
    received = requests.get(f"{url('PAGER_PORT')}/notifications", timeout=30).json()
    return [each for each in received if {"alert": alert, **expected}.items() <= each.items()]


def active(alert: str) -> list[dict[str, Any]]:
    """The alerts of this name that Alertmanager holds."""
    params = {"filter": f'alertname="{alert}"'}
    return list(requests.get(f"{url('ALERTS_PORT')}/api/v2/alerts", params, timeout=30).json())


def opens(link: str) -> bool:
    """Whether a link leads to a page that has its anchor."""
    page, _, anchor = link.partition("#")
    return f'id="{anchor}"' in requests.get(page, timeout=30).text


def test_prometheus_knows_the_alertmanager() -> None:
    found = requests.get(f"{url('PROMETHEUS_PORT')}/api/v1/alertmanagers", timeout=30).json()["data"]
    assert [each["url"] for each in found["activeAlertmanagers"]] == ["http://alertmanager:9093/api/v2/alerts"]


def test_the_label_that_begins_the_links_is_on_no_alert_and_no_series() -> None:
    assert prometheus('{runbooks!=""}') == []


def test_a_collector_that_stops_is_notified_with_its_runbook_and_so_is_its_return() -> None:
    seen = {status: len(notifications("TargetDown", status=status)) for status in ("firing", "resolved")}
    with away("otel-collector"):
        fired = until(lambda: notifications("TargetDown", status="firing")[seen["firing"] :], ALERT_TIMEOUT)
        assert {each["severity"] for each in fired} == {"page"}
        assert any("otel-collector" in each["summary"] for each in fired)
        assert all(opens(each["runbook_url"]) for each in fired)
        (alert, *_others) = active("TargetDown")
        assert "runbooks" not in alert["labels"]
    until(lambda: notifications("TargetDown", status="resolved")[seen["resolved"] :], ALERT_TIMEOUT)
    until(lambda: not active("TargetDown"), ARRIVAL_TIMEOUT)
