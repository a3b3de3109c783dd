"""Prometheus' configuration and rules, looked at by its own promtool, and its alerts."""

import re

import requests

from tests.conftest import ROOT
from tests.stack.conftest import ARRIVAL_TIMEOUT, compose, prometheus, url
from tests.support.waiting import until
from tests.test_alerts import ALERTS, CONFIGURATION, RULES

READ = {
    name
    for rule in RULES
    for name in re.findall(r"\b((?:otelcol|process|http_server|orders)_\w+)(?=[\[{\s)])", str(rule["expr"]))
}
"""The metrics that the rules name, without those that begin with the first failure."""


def promtool(*arguments: str) -> str:
    return compose("exec", "-T", "prometheus", "promtool", *arguments)


def running() -> list[str]:
    """The services that `up` starts."""
    return compose("config", "--services").split()


def test_promtool_finds_nothing_wrong_with_the_configuration_and_its_rules() -> None:
    assert "SUCCESS" in promtool("check", "config", "--lint=all", "--lint-fatal", "/etc/prometheus/prometheus.yml")


def test_the_rules_compute_and_the_alerts_fire_as_their_tests_say() -> None:
    tests = [f"/etc/prometheus/rules/tests/{path.name}" for path in (ROOT / "prometheus" / "tests").glob("*.yaml")]
    assert "SUCCESS" in promtool("test", "rules", *tests)


def test_every_rule_is_evaluated_without_an_error_and_every_alert_can_be_asked_for() -> None:
    groups = requests.get(f"{url('PROMETHEUS_PORT')}/api/v1/rules", timeout=60).json()["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    for alert in (rule for rule in rules if rule["type"] == "alerting"):
        prometheus(alert["query"])
    assert {rule["name"] for rule in rules if rule["type"] == "alerting"} == ALERTS.keys()


def test_every_target_is_up() -> None:
    jobs = {job["job_name"] for job in CONFIGURATION["scrape_configs"]}
    # Without an image registry there is no Grafana.
    health = dict.fromkeys(jobs, "up") | ({} if "grafana" in running() else {"grafana": "down"})
    targets = requests.get(f"{url('PROMETHEUS_PORT')}/api/v1/targets", timeout=60).json()["data"]["activeTargets"]
    assert {target["labels"]["job"]: target["health"] for target in targets} == health


def test_the_metrics_that_the_rules_read_exist() -> None:
    assert len(READ) >= 8
    until(lambda: all(prometheus(name) for name in READ), ARRIVAL_TIMEOUT)


def test_alertmanager_accepts_its_configuration() -> None:
    checked = compose("exec", "-T", "alertmanager", "amtool", "check-config", "/etc/alertmanager/alertmanager.yml")
    assert "SUCCESS" in checked
