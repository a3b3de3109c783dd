"""kubernetes/ without a cluster: what kustomize makes of it is valid, hardened, and one with the container stack."""

import ast
from functools import cache
from typing import Any

import kubernetes_validate
import pytest
import yaml

from app.gunicorn_conf import graceful_timeout
from local.cluster import LOCAL_TAG, images_of, kubectl, rendered
from local.kubernetes_files import SERVICES, files
from local.registry import ALL, REGISTRY
from local.settings import ROOT
from tests.test_compose_file import COLLECTOR, COMPOSE, pinned

Manifest = dict[str, Any]
FILES = files(ALL)
OVERLAYS = ("local", "production")
WITHOUT_A_SCHEMA = {"Cluster"}
"""Kinds of operators, which are not part of Kubernetes: nothing here knows their fields."""
WITH_A_TOKEN = {"otel-agent"}
"""Who may ask the API server."""


@cache
def built(overlay: str) -> str:
    """What kustomize makes of an overlay."""
    flags = ("--load-restrictor", "LoadRestrictionsNone") if overlay == "local" else ()
    return kubectl("kustomize", *flags, str(ROOT / "kubernetes/overlays" / overlay))


def manifests(overlay: str, *kinds: str) -> list[Manifest]:
    """The manifests of an overlay, of these kinds or all."""
    return [each for each in yaml.safe_load_all(built(overlay)) if not kinds or each["kind"] in kinds]


def named(overlay: str, kind: str, name: str) -> Manifest:
    """One manifest; generated names have a hash behind them."""
    (found,) = (each for each in manifests(overlay, kind) if each["metadata"]["name"].startswith(name))
    return found


def workloads(overlay: str) -> list[Manifest]:
    return manifests(overlay, "Deployment", "StatefulSet", "DaemonSet", "Job")


def pod(workload: Manifest) -> Manifest:
    found: Manifest = workload["spec"]["template"]["spec"]
    return found


def containers(workload: Manifest) -> list[Manifest]:
    return [*pod(workload).get("initContainers", []), *pod(workload)["containers"]]


def services(overlay: str) -> dict[str, Manifest]:
    """The Deployments of our services, by name."""
    found = (each for each in workloads(overlay) if labels(each).get("app.kubernetes.io/component") == "service")
    return {each["metadata"]["name"]: each for each in found}


def labels(workload: Manifest) -> dict[str, str]:
    found: dict[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return found


def selects(selector: Manifest, given: dict[str, str]) -> bool:
    """Whether a label selector selects these labels."""
    equal = all(given.get(key) == value for key, value in selector.get("matchLabels", {}).items())
    return equal and all(given.get(each["key"]) in each["values"] for each in selector.get("matchExpressions", []))


overlays = pytest.mark.parametrize("overlay", OVERLAYS)


@pytest.mark.parametrize("file", FILES)
def test_a_generated_file_is_fresh(file: str) -> None:
    assert (ROOT / file).read_text() == FILES[file], "run `make generate`"


def test_each_service_of_the_stacks_has_its_folder_and_no_other_has() -> None:
    assert {path.parent.name for path in (ROOT / SERVICES).glob("*/kustomization.yaml")} == REGISTRY.keys()


@overlays
def test_an_api_server_would_accept_every_field(overlay: str) -> None:
    unknown = set()
    for manifest in manifests(overlay):
        if manifest["kind"] in WITHOUT_A_SCHEMA:
            unknown.add(manifest["kind"])
        else:
            kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
    assert unknown == (WITHOUT_A_SCHEMA if overlay == "production" else set())


def test_a_field_that_is_not_known_is_refused() -> None:
    manifest = named("local", "Deployment", "order-service")
    pod(manifest)["restartPolicies"] = "Always"
    with pytest.raises(kubernetes_validate.ValidationError, match="restartPolicies"):
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


@overlays
def test_everything_is_in_the_namespace_and_it_enforces_restricted(overlay: str) -> None:
    spaces = {each["metadata"].get("namespace") for each in manifests(overlay) if each["kind"] != "Namespace"}
    assert spaces == {"waybill"}
    assert named(overlay, "Namespace", "waybill")["metadata"]["labels"][
        "pod-security.kubernetes.io/enforce"
    ] == "restricted"  # fmt: skip


@overlays
def test_a_pod_has_no_rights_that_it_does_not_need(overlay: str) -> None:
    accounts = {each["metadata"]["name"]: each for each in manifests(overlay, "ServiceAccount")}
    for workload in workloads(overlay):
        name, spec = workload["metadata"]["name"], pod(workload)
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["runAsUser"] > 0, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        account = accounts.get(spec.get("serviceAccountName", ""), {})
        token = spec.get("automountServiceAccountToken", account.get("automountServiceAccountToken", True))
        assert token is (name in WITH_A_TOKEN), name
        for container in containers(workload):
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True, name
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name


@overlays
def test_a_container_says_what_it_needs_and_its_memory_is_bounded(overlay: str) -> None:
    for workload in workloads(overlay):
        for container in containers(workload):
            resources = container["resources"]
            assert {"cpu", "memory"} <= resources["requests"].keys(), workload["metadata"]["name"]
            assert resources["limits"]["memory"] == resources["requests"]["memory"]


@overlays
def test_a_service_is_what_its_entry_in_the_registry_says(overlay: str) -> None:
    assert services(overlay).keys() == {service.host for service in REGISTRY.values()}
    for service in REGISTRY.values():
        (container,) = pod(services(overlay)[service.host])["containers"]
        values = {each["name"]: each.get("value") for each in container["env"]}
        assert f"services.{service.name}:create_app()" in container["args"]
        assert values["PORT"] == str(service.port)
        assert service.host in str(values["ALLOWED_HOSTS"]).split(",")
        assert {name for name in values if name.endswith("_URL") and not name.startswith(("PAGE_", "CACHE_"))} == {
            REGISTRY[called].variable("URL") for called in service.calls
        }
        assert container["resources"]["limits"]["memory"] == f"{service.memory}Mi"
        ports = named(overlay, "Service", service.host)["spec"]["ports"]
        assert [port["port"] for port in ports] == [service.port]


@overlays
def test_a_service_starts_is_drained_and_is_spread_as_one_should(overlay: str) -> None:
    for name, deployment in services(overlay).items():
        spec, (container,) = pod(deployment), pod(deployment)["containers"]
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys()
        pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert spec["terminationGracePeriodSeconds"] > pause + graceful_timeout
        assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
        assert [each["args"][-1] for each in spec["initContainers"]] == [name.removesuffix("-service")]
        for constraint in spec["topologySpreadConstraints"]:
            assert selects(constraint["labelSelector"], labels(deployment))
        budget = named(overlay, "PodDisruptionBudget", name)["spec"]
        assert selects(budget["selector"], labels(deployment))
        scaled = named(overlay, "HorizontalPodAutoscaler", name)["spec"]
        assert scaled["scaleTargetRef"]["name"] == name
        assert "replicas" not in deployment["spec"]  # or each rollout would set what the autoscaler chose


@overlays
def test_secrets_are_files(overlay: str) -> None:
    for deployment in services(overlay).values():
        for container in containers(deployment):
            assert all("secretKeyRef" not in each.get("valueFrom", {}) for each in container.get("env", []))
            folder = next(each["value"] for each in container["env"] if each["name"] == "SECRETS_DIR")
            assert folder in {mount["mountPath"] for mount in container["volumeMounts"]}


@overlays
def test_only_the_callers_of_a_service_reach_it(overlay: str) -> None:
    policies = manifests(overlay, "NetworkPolicy")
    denied = next(each["spec"] for each in policies if each["metadata"]["name"] == "default-deny")
    assert denied == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    deployed = services(overlay)
    for service in REGISTRY.values():
        own = labels(deployed[service.host])
        rules = [
            rule
            for policy in policies
            if selects(policy["spec"]["podSelector"], own)
            for rule in policy["spec"].get("ingress", [])
        ]
        callers = {
            name
            for name, deployment in deployed.items()
            for rule in rules
            for each in rule["from"]
            if "podSelector" in each and selects(each["podSelector"], labels(deployment))
        }
        assert callers == {each.host for each in REGISTRY.values() if service.name in each.calls}


@overlays
def test_images_are_those_of_the_container_stack_and_the_migrations_are_named_after_ours(overlay: str) -> None:
    images = images_of(built(overlay))
    ours = {image for image in images if image.rpartition("/")[2].startswith("waybill:")}
    assert len(ours) == 1
    compose = pinned()
    for image in set(images) - ours:
        name, _, tag = image.rpartition("/")[2].partition(":")
        assert compose[name] == tag
    (job,) = manifests(overlay, "Job")
    assert job["metadata"]["name"] == f"migrate-{ours.pop().partition(':')[2]}"


def test_each_build_of_our_image_is_a_rollout_of_its_own() -> None:
    text = rendered("0123")
    assert f":{LOCAL_TAG}" not in text
    assert [image for image in images_of(text) if image.startswith("waybill:")] == ["waybill:0123"]
    assert "name: migrate-0123\n" in text


def merged(*configurations: Manifest) -> Manifest:
    """What the Collector makes of several files: maps key by key, and lists are replaced."""
    result: Manifest = {}
    for configuration in configurations:
        for key, value in configuration.items():
            both = isinstance(value, dict) and isinstance(result.get(key), dict)
            result[key] = merged(result[key], value) if both else value
    return result


def collectors(overlay: str) -> dict[str, Manifest]:
    """The configurations of the agents and the gateways, merged in the order of the command line."""
    found = {}
    for name, kind in (("otel-agent", "DaemonSet"), ("otel-gateway", "StatefulSet")):
        data = named(overlay, "ConfigMap", name)["data"]
        arguments = pod(named(overlay, kind, name))["containers"][0]["args"]
        paths = [argument.rpartition("/")[2] for argument in arguments]
        assert sorted(paths) == sorted(data)
        found[name] = merged(*(yaml.safe_load(data[path]) for path in paths))
    return found


@overlays
def test_a_pipeline_of_a_collector_is_made_of_what_is_configured(overlay: str) -> None:
    for configuration in collectors(overlay).values():
        connectors = configuration.get("connectors", {}).keys()
        for pipeline in configuration["service"]["pipelines"].values():
            assert {*pipeline["receivers"]} <= configuration["receivers"].keys() | connectors
            assert {*pipeline["processors"]} <= configuration["processors"].keys()
            assert {*pipeline["exporters"]} <= configuration["exporters"].keys() | connectors
        assert {*configuration["service"]["extensions"]} <= configuration["extensions"].keys()


@overlays
def test_the_gateways_mask_what_the_container_stack_masks_before_anything_leaves(overlay: str) -> None:
    gateway = collectors(overlay)["otel-gateway"]
    assert gateway["processors"]["transform/redact"] == COLLECTOR["processors"]["transform/redact"]
    for pipeline in gateway["service"]["pipelines"].values():
        if "otlp" in pipeline["receivers"]:
            assert pipeline["processors"][0] == "memory_limiter"
            assert "transform/redact" in pipeline["processors"]
    queues = {name: exporter["sending_queue"]["storage"] for name, exporter in gateway["exporters"].items()}
    assert set(queues.values()) == {"file_storage"}
    mounts = pod(named(overlay, "StatefulSet", "otel-gateway"))["containers"][0]["volumeMounts"]
    assert gateway["extensions"]["file_storage"]["directory"] in {mount["mountPath"] for mount in mounts}


@overlays
def test_all_spans_of_a_trace_reach_one_gateway_which_samples_it_as_a_whole(overlay: str) -> None:
    agent, gateway = (collectors(overlay)[name] for name in ("otel-agent", "otel-gateway"))
    exporter = agent["exporters"]["loadbalancing"]
    assert exporter.get("routing_key", "traceID") == "traceID"
    statefulset = named(overlay, "StatefulSet", "otel-gateway")["spec"]
    hosts = [f"otel-gateway-{number}.{statefulset['serviceName']}" for number in range(statefulset["replicas"])]
    assert exporter["resolver"] == {"static": {"hostnames": hosts}}
    assert "tail_sampling" in gateway["service"]["pipelines"]["traces/jaeger"]["processors"]
    # Each gateway counts its own spans, and a series has one writer.
    assert "collector.instance.id" not in gateway["connectors"]["span_metrics"]["exclude_dimensions"]
    assert "collector.instance.id" not in gateway["connectors"]["span_metrics/service_graph"]["exclude_dimensions"]


def test_the_services_in_the_cluster_have_the_telemetry_settings_of_the_container_stack() -> None:
    compose = COMPOSE["x-environment"]
    for deployment in services("local").values():
        (container,) = pod(deployment)["containers"]
        values = {each["name"]: each.get("value") for each in container["env"]}
        shared = values.keys() & compose.keys() - {"OTEL_EXPORTER_OTLP_ENDPOINT"}
        assert {"HOST", "MALLOC_ARENA_MAX", "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT"} <= shared
        assert {name: values[name] for name in shared} == {name: compose[name] for name in shared}


def test_a_migration_takes_nothing_away_that_the_version_before_needs() -> None:
    """Expand and contract: what a revision drops or renames, the code before it may still use, so it has to say why
    that is safe. The revisions up to 0003 are from before the cluster: the services were stopped for them.
    """
    for path in (ROOT / "migrations").glob("*/[0-9]*.py"):
        tree = ast.parse(path.read_text())
        upgrade = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "upgrade")
        text = ast.unparse(upgrade)
        takes = any(word in text for word in ("drop_column", "drop_table", "RENAME", "alter_column", "rename_table"))
        document = ast.get_docstring(tree) or ""
        assert not takes or "Contract:" in document or "Stop order-service before" in document, path
