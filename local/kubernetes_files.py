"""What `make generate` writes into `kubernetes/`: a folder for each service, versions of images, the shared pipelines.

It follows from services.toml, docker-compose.yml, otel-collector-config.yaml and docs/recipes/tail-sampling.yaml.
"""

import re
from collections.abc import Collection, Iterator, Mapping

from local.registry import Service, in_stacks
from local.settings import ROOT

SERVICES = "kubernetes/base/services"
IMAGES = "kubernetes/images/kustomization.yaml"
PIPELINES = "kubernetes/base/collector/pipelines.yaml"
TAIL_SAMPLING = "kubernetes/base/collector/tail-sampling.yaml"

SHARED: Mapping[str, Collection[str]] = {
    "processors": (
        *("resource/environment", "transform/mask_queries", "transform/redact"),
        *("batch/take_over", "filter/calls", "transform/peers"),
    ),
    "connectors": ("forward", "span_metrics", "span_metrics/service_graph"),
    "exporters": ("otlp_grpc/jaeger", "otlp_http/loki"),
    "extensions": ("health_check", "file_storage"),
}
"""What the gateways have from the Collector of the container stack, with its comments."""
SHARED_PIPELINES = ("traces", "traces/jaeger", "traces/service_graph", "logs")


def files(services: Mapping[str, Service]) -> dict[str, str]:
    """Return the text of each generated file by its path."""
    deployed = in_stacks(services)
    return {
        **{f"{SERVICES}/{name}/kustomization.yaml": _service(service, deployed) for name, service in deployed.items()},
        f"{SERVICES}/kustomization.yaml": _all(deployed),
        IMAGES: _images((ROOT / "docker-compose.yml").read_text()),
        PIPELINES: _pipelines((ROOT / "otel-collector-config.yaml").read_text()),
        TAIL_SAMPLING: "# generated from docs/recipes/tail-sampling.yaml (make generate)\n"
        + (ROOT / "docs/recipes/tail-sampling.yaml").read_text(),
    }


def _all(services: Mapping[str, Service]) -> str:
    return f"# generated from services.toml (make generate)\nresources: [{', '.join(services)}]\n"


def _service(service: Service, services: Mapping[str, Service]) -> str:
    """Return what makes the template in kubernetes/service/ this service."""
    called = [services[name] for name in service.calls]
    memory = f"{{memory: {service.memory}Mi}}"
    callers = [each.host for each in services.values() if service.name in each.calls]
    environment = {
        "PORT": str(service.port),
        "ALLOWED_HOSTS": service.host,
        **({"CACHE_URL": "redis://valkey:6379/0"} if service.cache else {}),
        **{each.variable("URL"): f"http://{each.host}:{each.port}" for each in called},
    }
    lines = [
        "# generated from services.toml (make generate)",
        "resources: [../../../service]",
        f"namePrefix: {service.name}-",
        "labels:",
        f"  - pairs: {{app.kubernetes.io/name: {service.host}}}",
        "    includeSelectors: true",
        "patches:",
        "  - patch: |",
        "      apiVersion: apps/v1",
        "      kind: Deployment",
        "      metadata: {name: service}",
        "      spec:",
        "        template:",
        "          spec:",
        *_schema(service),
        "            containers:",
        "              - name: service",
        f'                args: [gunicorn, -c, "python:app.gunicorn_conf", "services.{service.name}:create_app()"]',
        f"                ports: [{{name: http, containerPort: {service.port}}}]",
        f"                resources: {{requests: {memory}, limits: {memory}}}",
        "                env:",
        *(f'                  - {{name: {name}, value: "{value}"}}' for name, value in environment.items()),
        "            volumes:",
        f"              - {{name: secrets, {_secrets(service)}}}",
        "  - patch: |",
        "      apiVersion: v1",
        "      kind: Service",
        "      metadata: {name: service}",
        f"      spec: {{ports: [{{name: http, port: {service.port}, targetPort: http}}]}}",
        "  - patch: |",
        "      apiVersion: networking.k8s.io/v1",
        "      kind: NetworkPolicy",
        "      metadata: {name: service}",
        "      spec:",
        f"        ingress: [{', '.join(_rules('from', callers))}]",
        f"        egress: [{', '.join(_rules('to', [each.host for each in called]))}]",
    ]
    return "".join(f"{line}\n" for line in lines)


def _schema(service: Service) -> list[str]:
    if not service.database:
        return ["            initContainers: [{name: wait-for-schema, $patch: delete}]"]
    return [
        "            initContainers:",
        f"              - {{name: wait-for-schema, args: [python, -m, migrations.wait, {service.name}]}}",
    ]


def _secrets(service: Service) -> str:
    """Return the volume of a service's secrets: each is a file, by the name of its setting."""
    if not service.database:
        return "emptyDir: {}"
    return f"projected: {{defaultMode: 0440, sources: [{database_secret(service, 'database_url')}]}}"


def database_secret(service: Service, path: str) -> str:
    """Return a source of a projected volume: the URL of a service's database, as CloudNativePG writes it."""
    return f"{{secret: {{name: {service.name}-database-app, items: [{{key: uri, path: {path}}}]}}}}"


def _rules(direction: str, hosts: Collection[str]) -> Iterator[str]:
    """Yield the rule of a network policy for these services, if there are any.

    It has no `matchLabels`: kustomize would add this service's own name to them.
    """
    if hosts:
        names = f"{{key: app.kubernetes.io/name, operator: In, values: [{', '.join(hosts)}]}}"
        yield f"{{{direction}: [{{podSelector: {{matchExpressions: [{names}]}}}}]}}"


def _images(compose: str) -> str:
    tags = dict(re.findall(r"(docker\.io/[\w./-]+):(\S+)", compose))
    lines = [
        "# generated from docker-compose.yml (make generate)",
        "apiVersion: kustomize.config.k8s.io/v1alpha1",
        "kind: Component",
        "images:",
        *(f'  - {{name: {image}, newTag: "{tag}"}}' for image, tag in sorted(tags.items())),
    ]
    return "".join(f"{line}\n" for line in lines)


def _pipelines(collector: str) -> str:
    """Return the parts of the Collector's configuration that are the same in the container stack."""
    text = "# generated from otel-collector-config.yaml (make generate)\n"
    for section, names in SHARED.items():
        children = _children(_children(collector, "")[section], "  ")
        text += f"\n{section}:\n" + "".join(children[name] for name in names)
    pipelines = _children(_children(_children(collector, "")["service"], "  ")["pipelines"], "    ")
    return text + "\nservice:\n  pipelines:\n" + "".join(pipelines[name] for name in SHARED_PIPELINES)


def _children(text: str, indent: str) -> dict[str, str]:
    """Return the text of each key at this depth with the comments above it; of one at depth 0, what is in it."""
    found: dict[str, str] = {}
    comments, key = "", ""
    for line in text.splitlines(keepends=True):
        if re.match(rf"{indent}#", line):
            comments += line
        elif match := re.match(rf"{indent}([\w/]+):", line):
            key = match[1]
            found[key] = comments + line
            comments = ""
        elif key:
            found[key] += line
            comments = ""
    return {key: part.rstrip("\n") + "\n" for key, part in found.items()}
