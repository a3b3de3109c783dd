"""Prometheus' configuration and rules, looked at by its own promtool, and its alerts."""

import requests

from tests.conftest import ROOT
from tests.stack.conftest import compose, prometheus, url


def promtool(*arguments: str) -> str:
    return compose("exec", "-T", "prometheus", "promtool", *arguments)


def test_promtool_finds_nothing_wrong_with_the_configuration_and_its_rules() -> None:
    assert "SUCCESS" in promtool("check", "config", "--lint=all", "--lint-fatal", "/etc/prometheus/prometheus.yml")


def test_the_rules_compute_and_the_alerts_fire_as_their_tests_say() -> None:
    tests = [f"/etc/prometheus/rules/tests/{path.name}" for path in (ROOT / "prometheus" / "tests").glob("*.yaml")]
    assert "SUCCESS" in promtool("test", "rules", *tests)


def test_every_rule_is_evaluated_without_an_error_and_every_alert_can_be_asked_for() -> None:
    groups = requests.get(f"{url('PROMETHEUS_PORT')}/api/v1/rules", timeout=60).json()["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    alerts = [rule for rule in rules if rule["type"] == "alerting"]
    assert {rule["health"] for rule in rules} == {"ok"}
    assert {alert["name"] for alert in alerts} == {
        "ErrorBudgetBurnsFast",
        "ErrorBudgetBurnsSlowly",
        "OrdersWaitForAPerson",
    }
    for alert in alerts:
        prometheus(alert["query"])
        assert alert["annotations"]["runbook"].startswith("docs/runbooks.md#")


def test_every_target_is_up() -> None:
    assert {
        entry["metric"]["job"]: entry["value"][1] for entry in prometheus('up{job=~"services|otel-collector"}')
    } == {
        "services": "1",
        "otel-collector": "1",
    }
