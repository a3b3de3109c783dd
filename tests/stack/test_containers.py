"""What of the stack can be reached, by whom, and with which rights it runs."""

import json
import socket
import subprocess
from typing import Any

import pytest

from local.registry import REGISTRY, SERVICES
from local.settings import HOST
from tests.stack.conftest import compose, containers, service_of, settings
from tests.test_compose_file import BACKENDS_MIB, ONE_SHOT

PUBLISHED = {
    "proxy": settings.port("order"),
    "otel-collector": settings.otlp_http_port,
    "jaeger": settings.traces_port,
    "prometheus": settings.prometheus_port,
    "grafana": settings.grafana_port,
    "loki": settings.loki_port,
    "alertmanager": settings.alerts_port,
    "pager": settings.pager_port,
}
INSIDE = {
    **{service.host: settings.port(service.name) for service in REGISTRY.values() if not service.page},
    "postgres": 5432,
    "valkey": 6379,
}


@pytest.fixture(params=containers(), ids=service_of)
def container(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Each container in turn."""
    found: dict[str, Any] = request.param
    return found


def test_a_container_is_healthy_and_was_never_restarted(container: dict[str, Any]) -> None:
    assert container["State"]["Health"]["Status"] == "healthy"
    assert container["RestartCount"] == 0
    assert not container["State"]["OOMKilled"]


def test_no_process_of_a_container_is_roots_or_can_become_it(container: dict[str, Any]) -> None:
    command = ["docker", "top", container["Id"], "-eo", "uid,pid"]
    _heading, *processes = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert processes
    assert "0" not in {process.split()[0] for process in processes}
    assert container["HostConfig"]["CapDrop"] == ["ALL"]
    assert "no-new-privileges:true" in container["HostConfig"]["SecurityOpt"]
    assert container["HostConfig"]["ReadonlyRootfs"]


def test_only_what_a_person_opens_is_published_and_on_this_machine_alone(container: dict[str, Any]) -> None:
    bindings = [binding for ports in container["NetworkSettings"]["Ports"].values() for binding in ports or []]
    expected = PUBLISHED.get(service_of(container))
    assert [(binding["HostIp"], binding["HostPort"]) for binding in bindings] == (
        [(HOST, str(expected))] if expected else []
    )


def test_all_memory_limits_together_keep_to_the_budgets() -> None:
    services = json.loads(compose("config", "--format", "json"))["services"]
    limits = {name: int(service["mem_limit"]) for name, service in services.items()}
    staying = sum(limit for name, limit in limits.items() if name not in ONE_SHOT)
    budget = BACKENDS_MIB + sum(service.memory for service in REGISTRY.values())
    assert staying <= budget * 2**20


@pytest.mark.parametrize("port", INSIDE.values())
def test_services_and_databases_of_the_inside_do_not_listen_on_this_machine(port: int) -> None:
    with socket.socket() as probe:
        assert probe.connect_ex((HOST, port)) != 0


@pytest.mark.parametrize("host", INSIDE)
def test_the_backends_do_not_even_find_what_is_inside(host: str) -> None:
    command = ["exec", "-T", "prometheus", "wget", "-q", "-T", "3", "-O", "/dev/null", f"http://{host}:{INSIDE[host]}/"]
    with pytest.raises(subprocess.CalledProcessError) as failure:
        compose(*command)
    assert "bad address" in failure.value.stderr


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_can_read_no_database_but_its_own(service: str) -> None:
    for other in SERVICES:
        where = f"postgresql://{service}:{service}@127.0.0.1/{other}"
        command = ["exec", "-T", "postgres", "psql", "-qtAc", "SELECT 1", where]
        if other == service:
            assert compose(*command).strip() == "1"
        else:
            with pytest.raises(subprocess.CalledProcessError) as failure:
                compose(*command)
            assert "permission denied" in failure.value.stderr


def test_dead_letters_are_listed_by_a_container_beside_order_service() -> None:
    command = ("flask", "--app", "services.order", "dead-letters", "list")
    assert compose("run", "--rm", "--no-deps", "-T", "order-service", *command) == ""
