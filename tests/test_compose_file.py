"""docker-compose.yml and its neighbours, read without an engine: pinned, bounded, and one with the local stack."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from dotenv import dotenv_values

from app.gunicorn_conf import graceful_timeout
from local.containers import ENDING
from local.registry import REGISTRY, SERVICES
from local.settings import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
COLLECTOR: dict[str, Any] = yaml.safe_load((ROOT / "otel-collector-config.yaml").read_text())
NEW_PROJECT: dict[str, Any] = yaml.safe_load(
    re.sub(r"(?m)^\{.*\}$", "", (ROOT / "template/project/otel-collector-config.yaml.jinja").read_text())
)
"""The Collector of a new project, without what it has from ours."""
KUBERNETES: list[dict[str, Any]] = [
    yaml.safe_load((ROOT / f"kubernetes/base/collector/{name}.yaml").read_text()) for name in ("agent", "gateway")
]
"""The Collectors of a cluster."""
RECIPES: list[dict[str, Any]] = [yaml.safe_load(path.read_text()) for path in ROOT.glob("docs/recipes/*.yaml")]
ONE_SHOT = ENDING
"""They run one after the other and end before any service starts."""
BACKENDS_MIB = 1608
"""What all containers that are no service of ours may take; with four services of 192 MiB that makes 2,376 MiB."""
STAND_INS = ROOT / ".ci/no-registry"
LAGGING: dict[str, str] = tomllib.loads((STAND_INS / "lagging.toml").read_text())
"""Image -> the older version that its stand-in is built from."""


@pytest.fixture(params=COMPOSE["services"])
def name(request: pytest.FixtureRequest) -> str:
    """Each service of the file in turn, by its name."""
    return str(request.param)


@pytest.fixture
def service(name: str) -> dict[str, Any]:
    """Each service of the file in turn."""
    found: dict[str, Any] = COMPOSE["services"][name]
    return found


def test_the_container_stack_has_the_services_of_the_local_stack() -> None:
    commands = {name: str(service.get("command")) for name, service in COMPOSE["services"].items()}
    started = {name: re.search(r"services\.(\w+):create_app", command) for name, command in commands.items()}
    assert {name: found[1] for name, found in started.items() if found} == {
        f"{name}-service": name for name in SERVICES
    }


def test_a_container_has_a_memory_limit_and_unless_it_ends_by_itself_a_health_check(
    name: str, service: dict[str, Any]
) -> None:
    assert re.fullmatch(r"\d+m", service["mem_limit"])
    unchecked = name in ONE_SHOT or "profiles" in service
    assert service["healthcheck"].get("disable", False) == unchecked
    assert (service["restart"] == "no") == (name in ONE_SHOT)


def test_a_container_has_no_rights_that_it_does_not_need(service: dict[str, Any]) -> None:
    hardened = COMPOSE["x-hardened"]
    assert {key: service.get(key) for key in ("cap_drop", "security_opt")} == {
        key: hardened[key] for key in ("cap_drop", "security_opt")
    }
    assert hardened["read_only"] is True
    assert service["read_only"] in (True, "${READ_ONLY:-true}")


def test_watch_copies_changed_code_of_the_kit_and_of_the_service_to_its_place_in_the_image() -> None:
    workdir = re.findall(r"^WORKDIR (.*)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)[-1]
    for name in SERVICES:
        rules = COMPOSE["services"][f"{name}-service"]["develop"]["watch"]
        assert {rule["path"]: rule["target"] for rule in rules} == {
            "./app": f"{workdir}/app",
            f"./services/{name}": f"{workdir}/services/{name}",
        }
        assert {rule["action"] for rule in rules} == {"sync+restart"}
        assert all((ROOT / rule["path"]).is_dir() for rule in rules)


def test_memory_is_a_budget_for_the_backends_and_one_for_each_service() -> None:
    limits = {
        name: int(service["mem_limit"].removesuffix("m"))
        for name, service in COMPOSE["services"].items()
        if "profiles" not in service
    }
    services = {service.host: service.memory for service in REGISTRY.values()}
    assert {name: limits[name] for name in services} == services
    assert sum(limit for name, limit in limits.items() if name not in services and name not in ONE_SHOT) <= BACKENDS_MIB
    assert max(limits[name] for name in ONE_SHOT) <= min(services.values())  # each ends before a service starts


def test_a_service_starts_once_the_databases_are_there_and_migrated() -> None:
    after = {name: service.get("depends_on", {}) for name, service in COMPOSE["services"].items()}
    completed = {"condition": "service_completed_successfully"}
    assert all(after[service.host]["migrate"] == completed for service in REGISTRY.values())
    assert after["migrate"] == {"databases": completed}
    assert after["databases"] == {"postgres": {"condition": "service_healthy"}}


def test_containers_stop_in_the_order_in_which_telemetry_flows_so_that_the_last_of_it_arrives() -> None:
    after = {name: service.get("depends_on", {}) for name, service in COMPOSE["services"].items()}
    started = {"condition": "service_started"}  # nothing waits for a backend that is unavailable
    assert all(after[service.host]["otel-collector"] == started for service in REGISTRY.values())
    assert all(after["otel-collector"][backend] == started for backend in ("jaeger", "loki", "prometheus"))


def test_a_container_is_stopped_in_time_and_its_log_and_processes_are_bounded(service: dict[str, Any]) -> None:
    hardened = COMPOSE["x-hardened"]
    for key in ("init", "stop_grace_period", "pids_limit", "logging"):
        assert service[key] == hardened[key]
    assert hardened["init"] is True
    assert int(hardened["stop_grace_period"].removesuffix("s")) > graceful_timeout
    assert {"max-size", "max-file"} == {*hardened["logging"]["options"]}


def test_a_health_check_starts_no_more_than_a_process_every_30_s() -> None:
    checks = [service["healthcheck"] for service in COMPOSE["services"].values()]
    checks = [check for check in checks if not check.get("disable")]
    assert all(int(check["interval"].removesuffix("s")) >= 30 for check in checks)
    # Within this time Docker checks every 5 s, so that a rare check delays no start.
    assert all(int(check["start_period"].removesuffix("s")) >= 30 for check in checks)


def test_an_image_that_is_built_here_is_not_looked_for_in_a_registry(service: dict[str, Any]) -> None:
    if "build" in service:
        assert service["pull_policy"] == "build"
    elif service["image"].startswith("waybill"):
        assert service["pull_policy"] == "never"


def test_an_image_is_built_here_or_pinned_to_a_version(service: dict[str, Any]) -> None:
    assert service["image"].startswith("waybill") or re.search(r":v?\d+(\.\d+){1,2}(-alpine)?$", service["image"])


def test_each_published_port_is_on_this_machine_alone_and_comes_from_the_file_of_ports(service: dict[str, Any]) -> None:
    known = dotenv_values(ROOT / ".env")
    for port in service.get("ports", []):
        published = re.fullmatch(r"127\.0\.0\.1:\$\{(\w+)\}:(\$\{\w+\}|\d+)", port)
        assert published
        assert published[1] in known


def test_the_collectors_stand_in_is_built_of_the_components_that_are_used_and_no_other() -> None:
    kinds = ("extension", "receiver", "processor", "exporter", "connector")
    builder = yaml.safe_load((ROOT / ".ci/no-registry/otel-collector/builder.yaml").read_text())
    modules = [module["gomod"].split() for kind in kinds for module in builder[f"{kind}s"]]
    named_otherwise = {"otlp_grpc": "otlpexporter", "file_storage": "filestorage"}
    used = {
        named_otherwise.get(component, component.replace("_", "") + kind)
        for kind in kinds
        for configuration in (COLLECTOR, NEW_PROJECT, *RECIPES, *KUBERNETES)
        for component in (name.partition("/")[0] for name in configuration.get(f"{kind}s") or ())
    }
    assert {path.rpartition("/")[2] for path, _version in modules} == used
    version = builder["dist"]["version"]
    assert {version for _path, version in modules} == {f"v{version}"}
    assert LAGGING.get("opentelemetry-collector-contrib", pinned()["opentelemetry-collector-contrib"]) == version


def pinned() -> dict[str, str]:
    """Each image of a registry by its name, with the version that users get."""
    text = (ROOT / "docker-compose.yml").read_text()
    return dict(re.findall(r"docker\.io/[\w.-]+/([\w.-]+):(\S+)", text))


def numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.lstrip("v").split("."))


@pytest.mark.parametrize("image", LAGGING)
def test_a_stand_in_that_lags_is_older_than_what_users_get_and_of_the_same_major_version(image: str) -> None:
    assert numbers(LAGGING[image]) < numbers(pinned()[image])
    assert numbers(LAGGING[image])[0] == numbers(pinned()[image])[0]


def test_each_image_of_a_registry_has_a_stand_in_or_is_left_out() -> None:
    left_out = yaml.safe_load((STAND_INS / "without-grafana.yaml").read_text())["services"]
    names = {"opentelemetry-collector-contrib": "otel-collector"}
    folders = {path.parent.name for path in STAND_INS.glob("*/Dockerfile")}
    assert folders == {names.get(image, image) for image in pinned() if image not in left_out}


EXTRAS = sorted((ROOT / "extras").glob("*.compose.yaml"))


@pytest.mark.parametrize("path", EXTRAS, ids=lambda path: path.name)
def test_an_extras_file_gives_the_collector_a_second_configuration_that_is_there(path: Path) -> None:
    text = path.read_text()
    assert f"docker compose -f docker-compose.yml -f extras/{path.name} up" in text
    ((name, service),) = yaml.safe_load(text)["services"].items()
    assert name == "otel-collector"
    (mount,) = service["volumes"]
    source, target, _mode = mount.split(":")
    assert (ROOT / source).is_file()
    assert service["command"].split() == ["--config", "/etc/otelcol-contrib/config.yaml", "--config", target]


def test_the_vendor_gets_all_that_the_backends_get() -> None:
    pipelines = COLLECTOR["service"]["pipelines"]
    extras = yaml.safe_load((ROOT / "extras/vendor.collector.yaml").read_text())
    (vendor,) = extras["exporters"]
    backends = COLLECTOR["exporters"].keys()
    sending = {name for name, pipeline in pipelines.items() if backends & {*pipeline["exporters"]}}
    assert extras["service"]["pipelines"] == {
        name: {"exporters": [*pipelines[name]["exporters"], vendor]} for name in sending
    }
