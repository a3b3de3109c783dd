"""What is up of the container stack, what is not, and what to do about it.

Only what is published can be asked from this machine; of the containers inside, the engine knows how they are.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from local.containers import ENDING, LINKS, Container, ContainerSettings
from local.doctor import Finding, get, pinned_packages, python_version, telemetry
from local.registry import REGISTRY, SERVICES
from local.settings import HOST
from waybill_explorer.client import json_of

START = "start the stack with `make up`"
PORTS = {
    **{service: port.upper() for service, (_title, port) in LINKS.items()},
    "loki": "LOKI_PORT",
    "otel-collector": "OTLP_HTTP_PORT",
}
"""The variable that moves the port of each container that publishes one."""
PATHS = {
    **{service.host: "/readyz" for service in REGISTRY.values() if service.page},
    "jaeger": "/api/services",
    "grafana": "/api/health",
    "prometheus": "/-/ready",
    "loki": "/ready",
    "alertmanager": "/-/ready",
    "pager": "/readyz",
}
"""What responds with 200 when the container works; the Collector has no such path on its port."""


def examine(settings: ContainerSettings, containers: Sequence[Container]) -> list[Finding]:
    """Check everything at the same time. Never raise for what is not running."""
    published = [each for each in containers if each.port and each.state == "running"]
    checks: list[Callable[[], list[Finding]]] = [
        lambda: [python_version(), pinned_packages()],
        lambda: [*_containers(containers)],
        *(partial(_published, settings, container) for container in published),
        *(partial(_traces, settings, REGISTRY[name].host) for name in SERVICES),
        partial(_alerts, settings),
    ]
    with ThreadPoolExecutor(len(checks)) as pool:
        return [finding for findings in pool.map(lambda check: check(), checks) for finding in findings]


def _containers(containers: Sequence[Container]) -> Iterator[Finding]:
    healthy = 0
    for each in containers:
        if each.service in ENDING and each.state == "exited" and each.exit_code == 0:
            continue
        logs = f"`docker compose logs --tail 50 {each.service}` says why"
        if each.state == "running" and each.health in ("healthy", ""):
            healthy += 1
        elif each.state == "running" and each.health == "starting":
            yield Finding("note", each.name, "is starting", f"look again in a minute; {logs} if it takes longer")
        elif each.state == "running":
            yield Finding("wrong", each.name, f"is running but {each.health}", logs)
        else:
            status = f" with status {each.exit_code}" if each.state == "exited" else ""
            yield Finding("wrong", each.name, f"{each.state}{status}", f"{logs}, `make up` starts it again")
    if healthy:
        yield Finding("ok", "containers", f"{healthy} are up and healthy")


def _published(settings: ContainerSettings, container: Container) -> list[Finding]:
    what, where = container.service, f"{HOST}:{container.port}"
    path = PATHS.get(what)
    response = get(container.port, path or "/")
    if response is None:
        fix = f"`docker compose logs --tail 50 {what}` may say why"
        return [Finding("wrong", what, f"{where} does not respond", fix)]
    if path and not response.ok:
        fix = f"see what it says: `docker compose logs --tail 50 {what}`"
        return [Finding("wrong", what, f"{where}{path} responds with {response.status_code}", fix)]
    variable = PORTS.get(what, "")
    expected = settings.ports().get(variable)
    if expected and expected != container.port:
        detail = f"is on port {container.port}, but {variable} is {expected} in this shell"
        return [Finding("note", what, detail, f"`export {variable}={container.port}`, so that `waybill` finds it")]
    return [Finding("ok", what, where)]


def _traces(settings: ContainerSettings, service: str) -> list[Finding]:
    return [telemetry(settings, service, START)]


def _alerts(settings: ContainerSettings) -> list[Finding]:
    response = get(settings.alerts_port, "/api/v2/alerts", silenced="false", inhibited="false")
    alerts = json_of(response) if response is not None and response.ok else None
    if not isinstance(alerts, list):
        return []  # its container has a line of its own
    return [_alert(alert) for alert in alerts] or [Finding("ok", "alerts", "none fires")]


def _alert(alert: dict[str, Any]) -> Finding:
    annotations = alert["annotations"]
    fix = f"follow the runbook of {alert['labels']['alertname']}: {annotations.get('runbook_url', '')}"
    return Finding("note", alert["labels"]["alertname"], annotations.get("summary", ""), fix)
