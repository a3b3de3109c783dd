"""`waybill doctor`: it finds what is wrong, says what to do first, and needs nothing to be up."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from explorer.tests.jaeger_json import BEGAN, span, trace
from local import data_folder
from local.cli import app
from local.doctor import Finding, examine, first_fix
from local.ports import taken_ports
from local.registry import REGISTRY
from local.settings import LocalSettings
from tests.local.small_api import SmallApi
from tests.support.servers import free_port

SERVICES = tuple(service.host for service in REGISTRY.values())


@pytest.fixture
def settings(tmp_path: Path) -> LocalSettings:
    """Settings whose ports nobody listens on."""
    ports: dict[str, Any] = {name: free_port() for name in LocalSettings.model_fields if name.endswith("_port")}
    return LocalSettings(waybill_data=tmp_path / "data", **ports)


@pytest.fixture
def api() -> SmallApi:
    """Everything on one port, with a trace of each service."""
    api = SmallApi()
    late = time.time() * 1000 - BEGAN / 1000
    api.traces = [trace(*(span(name, "GET", late, 1, service=name) for name in SERVICES))]
    return api


@pytest.fixture
def up(api: SmallApi, tmp_path: Path) -> Iterator[LocalSettings]:
    """Settings whose every port is that of `api`."""
    with api.listening() as url:
        port = int(url.rpartition(":")[2])
        ports: dict[str, Any] = {name: port for name in LocalSettings.model_fields if name.endswith("_port")}
        yield LocalSettings(waybill_data=tmp_path, **ports)


def found(settings: LocalSettings) -> dict[str, Finding]:
    return {finding.what: finding for finding in examine(settings)}


def test_when_nothing_is_up_every_part_is_named_with_its_port(settings: LocalSettings) -> None:
    findings = found(settings)

    for name in SERVICES:
        port = getattr(settings, name.replace("-service", "_port"))
        assert findings[name] == Finding(
            "wrong", name, f"nothing listens on 127.0.0.1:{port}", "start the stack with `make demo`"
        )
    assert {findings[what].state for what in ("trace backend", "cache", "OTLP over gRPC", "OTLP over HTTP")} == {
        "wrong"
    }
    assert "not made yet" in findings["data folder"].detail
    assert first_fix(findings.values()) == "start the stack with `make demo`"


def test_when_all_is_up_nothing_is_to_be_done(up: LocalSettings) -> None:
    findings = found(up)

    assert {finding.state for finding in findings.values()} == {"ok"}
    assert "10 spans, 2 logs, 3 points" in findings["trace backend"].detail
    assert findings["traces of payment"].detail.endswith("s ago")
    assert first_fix(findings.values()) == ""


def test_a_service_that_lives_but_is_not_ready_says_why(api: SmallApi, up: LocalSettings) -> None:
    api.readiness = 503

    finding = found(up)["order-service"]

    assert finding.state == "wrong"
    assert "database is not ready: no such table" in finding.detail


def test_a_port_that_belongs_to_something_else_is_told_with_the_variable_that_moves_it(
    settings: LocalSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local.doctor.TIMEOUT_SECONDS", 0.2)  # who listens never responds
    with socket.create_server(("127.0.0.1", settings.port("payment")), backlog=8) as stranger:
        stranger.settimeout(0)
        finding = found(settings)["payment-service"]

    assert finding.state == "wrong"
    assert "something else answers" in finding.detail
    assert "PAYMENT_PORT=" in finding.fix


def test_a_service_whose_telemetry_never_came_is_noted(api: SmallApi, up: LocalSettings) -> None:
    api.traces = [None]

    finding = found(up)["traces of order"]

    assert (finding.state, finding.detail) == ("note", "none has ever arrived")
    assert "waybill order" in finding.fix


def test_too_little_disk_space_is_wrong(settings: LocalSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr("local.doctor.LOW_SPACE", usage.free * 2)

    assert found(settings)["data folder"].state == "wrong"


def test_the_pinned_packages_are_compared_with_the_installed_ones(settings: LocalSettings) -> None:
    finding = found(settings)["pinned packages"]

    assert finding.state == "ok"
    assert "opentelemetry-sdk 1." in finding.detail


def test_the_exit_status_tells_whether_something_is_wrong(
    settings: LocalSettings, up: LocalSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local.containers.listed", list)

    def doctor(settings: LocalSettings) -> tuple[int, str]:
        for variable, value in settings.as_environment().items():
            monkeypatch.setenv(variable, value)
        result = CliRunner().invoke(app, ["doctor"])
        return result.exit_code, result.stdout

    assert doctor(up)[0] == 0
    status, output = doctor(settings)
    assert status == 1
    assert "First: start the stack with `make demo`" in output


def test_another_clone_s_stack_is_told_from_our_own(
    settings: LocalSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local.doctor.TIMEOUT_SECONDS", 0.2)  # who listens never responds
    clone, data = tmp_path / "clone", tmp_path / "clone" / ".waybill"
    data.mkdir(parents=True)
    with listening(clone, settings.port("payment"), WAYBILL_DATA=str(data)) as pid:
        (data / "processes.json").write_text(json.dumps({"payment-service": pid}))
        (data / "lock").write_text("4711")

        finding = found(settings)["payment-service"]
        own = found(settings.model_copy(update={"waybill_data": data}))["payment-service"]
        (line,) = taken_ports({"PAYMENT_PORT": settings.port("payment")})

    stack = f"is used by a Waybill stack of {clone} (pid 4711, data in {data})"
    assert finding.detail == f"port {settings.port('payment')} {stack}"
    assert finding.fix.startswith("stop that stack with Ctrl-C in its terminal (pid 4711), or move this one: ")
    assert "Waybill stack" not in own.detail
    assert line.startswith(f"{settings.port('payment')} {stack}: set PAYMENT_PORT to move it")


@contextmanager
def listening(folder: Path, port: int, **environment: str) -> Iterator[int]:
    """Listen on a port in a process of its own, which is started in `folder`; gives its pid."""
    listen = f"import socket, sys; s = socket.create_server(('127.0.0.1', {port})); print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", listen]
    with subprocess.Popen(
        command, cwd=folder, env={**os.environ, **environment}, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.kill()


def test_the_running_stack_s_ports_are_looked_at_whatever_this_shell_has(
    settings: LocalSettings, up: LocalSettings
) -> None:
    elsewhere = settings.model_copy(update={"waybill_data": up.waybill_data})
    (up.waybill_data / data_folder.PORTS).write_text(json.dumps(up.ports()))

    with data_folder.locked(up.waybill_data):
        findings = found(elsewhere)
    stopped = found(elsewhere)

    note = findings.pop("ports")
    assert note.state == "note"
    assert f"ORDER_PORT={up.port('order')}" in note.detail
    assert f"ORDER_PORT={settings.port('order')}" in note.detail.partition("this shell has")[2]
    assert note.fix.startswith("set the ports of the running stack in this shell: `export ")
    assert {finding.state for finding in findings.values()} == {"ok"}
    assert "ports" not in stopped
    assert stopped["order-service"].state == "wrong"
