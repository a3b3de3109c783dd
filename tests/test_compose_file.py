"""docker-compose.yml and its neighbours, read without an engine: pinned, bounded, and one with the local stack."""

import re
from typing import Any

import pytest
import yaml
from dotenv import dotenv_values

from local.registry import SERVICES
from local.settings import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
COLLECTOR: dict[str, Any] = yaml.safe_load((ROOT / "otel-collector-config.yaml").read_text())
ONE_SHOT = {"migrate"}


@pytest.fixture(params=COMPOSE["services"])
def service(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Each service of the file in turn."""
    found: dict[str, Any] = COMPOSE["services"][request.param]
    return found


def test_the_container_stack_has_the_services_of_the_local_stack() -> None:
    commands = {name: str(service.get("command")) for name, service in COMPOSE["services"].items()}
    started = {name: re.search(r"services\.(\w+):create_app", command) for name, command in commands.items()}
    assert {name: found[1] for name, found in started.items() if found} == {
        f"{name}-service": name for name in SERVICES
    }


def test_a_container_has_a_memory_limit_and_unless_it_ends_by_itself_a_health_check(service: dict[str, Any]) -> None:
    assert re.fullmatch(r"\d+m", service["mem_limit"])
    assert service["healthcheck"].get("disable", False) == ("migrations" in str(service.get("command")))


def test_an_image_is_built_here_or_pinned_to_a_version(service: dict[str, Any]) -> None:
    assert service["image"].startswith("waybill") or re.search(r":v?\d+(\.\d+){1,2}$", service["image"])


def test_each_published_port_is_on_this_machine_alone_and_comes_from_the_file_of_ports(service: dict[str, Any]) -> None:
    known = dotenv_values(ROOT / ".env")
    for port in service.get("ports", []):
        published = re.fullmatch(r"127\.0\.0\.1:\$\{(\w+)\}:(\$\{\w+\}|\d+)", port)
        assert published
        assert published[1] in known


def test_the_collectors_stand_in_is_built_of_the_components_that_are_used_and_no_other() -> None:
    kinds = ("extension", "receiver", "processor", "exporter", "connector")
    builder = yaml.safe_load((ROOT / ".ci/images/otel-collector/builder.yaml").read_text())
    modules = [module["gomod"].split() for kind in kinds for module in builder[f"{kind}s"]]
    named_otherwise = {"otlp_grpc": "otlpexporter", "file_storage": "filestorage"}
    used = {
        named_otherwise.get(component, component.replace("_", "") + kind)
        for kind in kinds
        for component in (name.partition("/")[0] for name in COLLECTOR[f"{kind}s"])
    }
    assert {path.rpartition("/")[2] for path, _version in modules} == used
    version = builder["dist"]["version"]
    assert {version for _path, version in modules} == {f"v{version}"}
    assert f"opentelemetry-collector-contrib:{version}" in (ROOT / "docker-compose.yml").read_text()
