"""The alerts hold together without a Prometheus: each has a runbook, a severity and a test, and the numbers agree."""

import re
from typing import Any

import promql_parser
import pytest
import yaml

from local.registry import REGISTRY
from local.settings import ROOT
from tests.test_docs import anchors

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
CONFIGURATION: dict[str, Any] = yaml.safe_load((ROOT / "prometheus.yml").read_text())
RULES: list[dict[str, Any]] = [
    rule
    for path in sorted((ROOT / "prometheus").glob("*.yaml"))
    for group in yaml.safe_load(path.read_text())["groups"]
    for rule in group["rules"]
]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
UNIT_TESTS: list[dict[str, Any]] = [
    test
    for path in sorted((ROOT / "prometheus" / "tests").glob("*.yaml"))
    for test in yaml.safe_load(path.read_text())["tests"]
]
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(duration: str) -> int:
    """Return the seconds of a duration of Prometheus with one unit."""
    return int(duration[:-1]) * SECONDS[duration[-1]]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_a_rule_is_promql(rule: dict[str, Any]) -> None:
    promql_parser.parse(str(rule["expr"]))


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_has_a_severity_a_summary_and_a_section_of_the_runbooks(name: str) -> None:
    alert = ALERTS[name]
    base, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    runbooks = (ROOT / "docs" / "runbooks.md").read_text()
    assert alert["labels"]["severity"] in ("page", "ticket")
    assert alert["annotations"]["summary"]
    assert base == "{{ $externalLabels.runbooks }}"
    assert anchor in anchors(runbooks)
    assert f"*{name}*" in runbooks


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_is_seen_to_fire_and_not_to_fire_by_a_test_of_promtool(name: str) -> None:
    cases = [case for test in UNIT_TESTS for case in test.get("alert_rule_test", []) if case["alertname"] == name]
    assert {bool(case.get("exp_alerts")) for case in cases} == {True, False}


def test_the_links_to_the_runbooks_begin_with_an_address_that_the_stack_sets_and_publishes() -> None:
    (variable,) = re.findall(r"^\$\{(\w+)\}$", CONFIGURATION["global"]["external_labels"]["runbooks"])
    url = COMPOSE["services"]["prometheus"]["environment"][variable]
    (port,) = re.findall(r"^http://127\.0\.0\.1:\$\{(\w+)\}/runbooks$", url)
    assert COMPOSE["services"]["pager"]["ports"] == [f"127.0.0.1:${{{port}}}:9094"]


def test_no_rule_looks_back_further_than_prometheus_keeps() -> None:
    command = COMPOSE["services"]["prometheus"]["command"]
    (kept,) = [option.partition("=")[2] for option in command if option.startswith("--storage.tsdb.retention.time=")]
    windows = {window for rule in RULES for window in re.findall(r"\[(\d+[smhd])[\]:]", str(rule["expr"]))}
    assert max(map(seconds, windows)) == seconds(kept)


def test_a_ratio_alerts_only_with_some_traffic() -> None:
    of_ratios = {name: alert["expr"] for name, alert in ALERTS.items() if ":ratio_rate" in alert["expr"]}
    assert len(of_ratios) == 4
    for expr in of_ratios.values():
        (long_window, width) = re.findall(r"service:http_requests:rate(\d+h) \* (\d+) >= 30", expr)[0]
        assert seconds(long_window) == int(width)
        assert f"ratio_rate{long_window} > " in expr


def test_the_memory_limits_of_the_alerts_are_those_of_the_containers() -> None:
    limits = {
        rule["labels"]["job"]: int(re.fullmatch(r"(\d+) \* 2\^20", rule["expr"])[1])  # type: ignore[index]
        for rule in RULES
        if rule.get("record") == "job:memory_limit:bytes"
    }
    assert {service.host for service in REGISTRY.values()} < limits.keys()
    for job, limit in limits.items():
        assert COMPOSE["services"][job]["mem_limit"] == f"{limit}m"


def test_every_job_that_prometheus_scrapes_is_a_container_of_the_stack() -> None:
    for job in CONFIGURATION["scrape_configs"]:
        (target,) = job["static_configs"][0]["targets"]
        host = target.partition(":")[0]
        assert host == "localhost" or host in COMPOSE["services"]
    (alertmanagers,) = CONFIGURATION["alerting"]["alertmanagers"]
    assert alertmanagers["static_configs"] == [{"targets": ["alertmanager:9093"]}]


def test_every_receiver_that_a_route_names_exists_and_is_a_container_of_the_stack() -> None:
    notified: dict[str, Any] = yaml.safe_load((ROOT / "alertmanager" / "alertmanager.yml").read_text())
    (receiver,) = [each for each in notified["receivers"] if each["name"] == notified["route"]["receiver"]]
    (webhook,) = receiver["webhook_configs"]
    assert webhook == {"url": "http://pager:9094/", "send_resolved": True}
    matchers = " ".join(matcher for rule in notified["inhibit_rules"] for kind in rule for matcher in rule[kind])
    for pattern in re.findall(r'alertname=~?"([^"]+)"', matchers):
        assert any(re.fullmatch(pattern, name) for name in ALERTS)
