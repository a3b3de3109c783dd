"""`make up`, with a small program in the place of `docker`: what it is asked, and what a person is told."""

import socket
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from explorer.tests.jaeger_json import TRACE_ID, order_trace
from local.cli import app
from local.containers import PUBLISHED
from tests.local.small_api import SmallApi
from tests.support.servers import free_port


def containers() -> Result:
    return CliRunner().invoke(app, ["containers"])


@pytest.fixture(autouse=True)
def ports(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """A free port for each one that is published."""
    found = {variable: free_port() for variable in PUBLISHED}
    for variable, port in found.items():
        monkeypatch.setenv(variable, str(port))
    return found


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program named docker that notes its words, lists two services once `up` was called, and fails as told."""
    program = tmp_path / "docker"
    program.write_text(
        f"""#!/bin/sh
echo "$*" >>{tmp_path}/calls
case "$*" in
  "compose ps"*) [ ! -e {tmp_path}/up ] || printf 'order-service\\njaeger\\n' ;;
  "compose up"*) touch {tmp_path}/up; exit $(cat {tmp_path}/status 2>/dev/null || echo 0) ;;
esac
"""
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path


def test_the_stack_is_started_a_first_order_placed_and_its_trace_and_the_links_are_shown(
    docker: Path, ports: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    api = SmallApi()
    api.traces, api.logs = [order_trace()], None
    with api.listening(ports["ORDER_PORT"]), api.listening(ports["TRACES_PORT"]):
        monkeypatch.setattr("local.containers.taken_ports", lambda _ports: [])  # by the small API itself
        result = containers()

    assert result.exit_code == 0
    assert "compose up --detach --build --wait" in (docker / "calls").read_text()
    assert len(api.orders) == 1
    assert TRACE_ID in result.output
    assert f"Traces       http://127.0.0.1:{ports['TRACES_PORT']}/" in result.output
    assert "Dashboards" not in result.output
    assert "Healthy after " in result.output
    links = [f"http://127.0.0.1:{ports[variable]}/" for variable in ("ORDER_PORT", "TRACES_PORT")]
    assert [line.split()[-1] for line in result.output.splitlines()[-2:]] == links


@pytest.mark.usefixtures("docker")
def test_a_taken_port_is_named_with_the_variable_that_moves_it(ports: dict[str, int]) -> None:
    with socket.socket() as taker:
        taker.bind(("127.0.0.1", ports["GRAFANA_PORT"]))
        taker.listen()
        result = containers()

    assert result.exit_code == 1
    assert f"port {ports['GRAFANA_PORT']} is used by" in result.stderr
    assert "set GRAFANA_PORT to move it" in result.stderr


def test_a_stack_that_is_not_healthy_is_said_with_where_to_look(docker: Path) -> None:
    (docker / "status").write_text("1")

    result = containers()

    assert result.exit_code == 1
    assert "the stack is not healthy: `docker compose ps -a` says which part" in result.stderr


def test_without_docker_the_way_without_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    result = containers()

    assert result.exit_code == 1
    assert "or run `make demo`, which needs neither" in result.stderr
