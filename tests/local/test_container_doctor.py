"""`waybill doctor` while the container stack is up: what the engine says, what is published, which alerts fire."""

import json
import re
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from explorer.tests.jaeger_json import span, trace
from local.cli import app
from local.container_doctor import examine
from local.containers import PUBLISHED, Container, ContainerSettings, listed
from local.doctor import Finding, first_fix
from local.registry import REGISTRY
from tests.local.small_api import SmallApi
from tests.support.servers import free_port
from tests.test_compose_file import COMPOSE

HOSTS = tuple(service.host for service in REGISTRY.values())
ALERT = {
    "labels": {"alertname": "TargetDown", "job": "otel-collector"},
    "annotations": {
        "summary": "Prometheus cannot scrape it",
        "runbook_url": "http://127.0.0.1:9094/runbooks#target-down",
    },
}


@pytest.fixture
def api() -> SmallApi:
    """Everything that is published, on one port, with a trace of each service."""
    api = SmallApi()
    api.traces = [trace(*(span(name, "GET", 0, 1, service=name) for name in HOSTS))]
    return api


@pytest.fixture
def settings(api: SmallApi) -> Iterator[ContainerSettings]:
    """Settings whose every port is that of `api`."""
    with api.listening() as url:
        port = int(url.rpartition(":")[2])
        ports: dict[str, Any] = {name: port for name in ContainerSettings.model_fields if name.endswith("_port")}
        yield ContainerSettings(**ports)


@pytest.fixture
def stack(settings: ContainerSettings) -> list[Container]:
    """A healthy stack: what is published is on the port of `api`, and the two that end have ended."""
    ended = [container(name, state="exited", health="") for name in ("migrate", "databases")]
    inside = [container(name) for name in (*HOSTS, "postgres", "valkey")]
    outside = [container(name, ports=(settings.traces_port,)) for name, _path in PUBLISHED.values()]
    return [*ended, *inside, *outside]


def container(service: str, **changes: Any) -> Container:
    healthy = Container(f"waybill-{service}-1", service, "running", "healthy", 0, ())
    return replace(healthy, **changes)


def found(settings: ContainerSettings, containers: list[Container]) -> dict[str, Finding]:
    return {finding.what: finding for finding in examine(settings, containers)}


def test_each_container_that_publishes_a_port_is_known_with_the_variable_that_moves_it() -> None:
    published = {
        (variable, name)
        for name, service in COMPOSE["services"].items()
        for port in service.get("ports", [])
        for variable in re.findall(r"\$\{(\w+)\}:", port)
    }
    assert {(variable, service) for variable, (service, _path) in PUBLISHED.items()} == published


def test_a_healthy_stack_has_nothing_wrong_though_its_inner_services_listen_on_no_port_of_this_machine(
    settings: ContainerSettings, stack: list[Container]
) -> None:
    findings = found(settings, stack)

    assert [finding for finding in findings.values() if finding.state == "wrong"] == []
    assert findings["containers"] == Finding("ok", "containers", f"{len(stack) - 2} are up and healthy")
    assert findings["alerts"].detail == "none fires"
    assert "inventory-service" not in findings
    assert findings["traces of inventory"].state == "ok"
    assert not any("make demo" in finding.fix for finding in findings.values())


@pytest.mark.parametrize(
    ("changes", "state", "detail"),
    [
        ({"state": "exited", "exit_code": 137, "health": ""}, "wrong", "exited with status 137"),
        ({"state": "restarting", "health": ""}, "wrong", "restarting"),
        ({"health": "unhealthy"}, "wrong", "is running but unhealthy"),
        ({"health": "starting"}, "note", "is starting"),
    ],
)
def test_a_container_that_is_not_healthy_is_named_with_what_to_do(
    settings: ContainerSettings, stack: list[Container], changes: dict[str, Any], state: str, detail: str
) -> None:
    broken = [replace(each, **changes) if each.service == "payment-service" else each for each in stack]

    finding = found(settings, broken)["waybill-payment-service-1"]

    assert (finding.state, finding.detail) == (state, detail)
    assert "docker compose logs --tail 50 payment-service" in finding.fix
    if state == "wrong":
        assert first_fix(examine(settings, broken)) == finding.fix


def test_a_container_that_failed_in_its_only_task_is_wrong(settings: ContainerSettings, stack: list[Container]) -> None:
    failed = [replace(each, exit_code=1) if each.service == "migrate" else each for each in stack]

    assert found(settings, failed)["waybill-migrate-1"].detail == "exited with status 1"


def test_what_is_published_and_does_not_respond_or_is_not_ready_is_wrong(
    api: SmallApi, settings: ContainerSettings, stack: list[Container]
) -> None:
    silent = settings.model_copy(update={"loki_port": free_port()})
    moved = [replace(each, ports=(silent.loki_port,)) if each.service == "loki" else each for each in stack]
    assert found(silent, moved)["loki"].detail.endswith("does not respond")

    api.readiness = 503
    assert found(settings, stack)["prometheus"].detail.endswith("/-/ready responds with 503")


def test_a_port_that_was_moved_is_named_with_the_variable_to_export(
    settings: ContainerSettings, stack: list[Container]
) -> None:
    elsewhere = settings.model_copy(update={"order_port": free_port()})

    finding = found(elsewhere, stack)["proxy"]

    assert finding.state == "wrong"
    assert f"is published on {settings.traces_port}" in finding.detail
    assert "export ORDER_PORT=" in finding.fix


def test_an_alert_that_fires_is_noted_with_its_runbook(
    api: SmallApi, settings: ContainerSettings, stack: list[Container]
) -> None:
    api.alerts = [ALERT]

    finding = found(settings, stack)["TargetDown"]

    assert (finding.state, finding.detail) == ("note", "Prometheus cannot scrape it")
    assert "runbooks#target-down" in finding.fix


LISTED = [
    {
        "Name": "waybill-jaeger-1", "Service": "jaeger", "State": "running", "Health": "healthy", "ExitCode": 0,
        "Publishers": [
            {"URL": "", "TargetPort": 4317, "PublishedPort": 0, "Protocol": "tcp"},
            {"URL": "127.0.0.1", "TargetPort": 16686, "PublishedPort": 26686, "Protocol": "tcp"},
        ],
    },
    {
        "Name": "waybill-migrate-1", "Service": "migrate", "State": "exited", "Health": "", "ExitCode": 0,
        "Publishers": None,
    },
]  # fmt: skip
"""What `docker compose ps --all --format json` prints."""


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a program named docker that prints its file `printed`."""
    program = tmp_path / "docker"
    program.write_text(f"#!/bin/sh\ncat {tmp_path}/printed\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path


@pytest.mark.parametrize("text", ["\n".join(map(json.dumps, LISTED)), json.dumps(LISTED)], ids=["lines", "array"])
def test_containers_are_read_in_both_forms_that_compose_prints(docker: Path, text: str) -> None:
    (docker / "printed").write_text(text)

    assert listed() == [
        Container("waybill-jaeger-1", "jaeger", "running", "healthy", 0, (26686,)),
        Container("waybill-migrate-1", "migrate", "exited", "", 0, ()),
    ]


@pytest.mark.parametrize("text", ["", "[]", "no such command", '[{"Names": ["another form"]}]', json.dumps(LISTED[1])])
def test_without_a_running_container_there_is_no_container_stack(docker: Path, text: str) -> None:
    (docker / "printed").write_text(text)

    assert listed() == []


def test_the_doctor_looks_at_the_containers_if_they_are_up(docker: Path, settings: ContainerSettings) -> None:
    entries = [{**LISTED[0], "Publishers": [{"PublishedPort": settings.traces_port}]}, LISTED[1]]
    (docker / "printed").write_text(json.dumps(entries))

    result = CliRunner().invoke(app, ["doctor"], env=settings.as_environment())

    assert result.exit_code == 0
    assert "1 are up and healthy" in result.stdout
    assert f"127.0.0.1:{settings.traces_port}" in result.stdout
