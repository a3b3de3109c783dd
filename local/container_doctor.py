"""What is up of the container stack, what is not, and what to do about it.

Only published ports can be reached from this machine. What the others are doing, the container engine reports.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from local.containers import ENDING, PUBLISHED, Container, ContainerSettings
from local.doctor import Finding, get, pinned_packages, python_version, telemetry
from local.registry import REGISTRY, SERVICES
from local.settings import HOST
from waybill_explorer.client import json_of

START = "start the stack with `make up`"


def examine(settings: ContainerSettings, containers: Sequence[Container]) -> list[Finding]:
    """Check everything at the same time. Never raise for what is not running."""
    published = {each.service: each.ports for each in containers if each.state == "running"}
    checks: list[Callable[[], list[Finding]]] = [
        lambda: [python_version(), pinned_packages()],
        lambda: [*_containers(containers)],
        *(
            partial(_published, settings, variable, published[service])
            for variable, (service, _path) in PUBLISHED.items()
            if service in published
        ),
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


def _published(settings: ContainerSettings, variable: str, ports: Collection[int]) -> list[Finding]:
    service, path = PUBLISHED[variable]
    port = settings.ports()[variable]
    if port not in ports:
        found = ", ".join(map(str, ports)) or "no port"
        fix = f"`export {variable}=...` as it was when the stack was started, or `make up` to move it"
        return [Finding("wrong", service, f"is published on {found}, and {variable} is {port} in this shell", fix)]
    logs = f"`docker compose logs --tail 50 {service}` may say why"
    response = get(port, path or "/")
    if response is None:
        return [Finding("wrong", service, f"{HOST}:{port} does not respond", logs)]
    if path and not response.ok:
        return [Finding("wrong", service, f"{HOST}:{port}{path} responds with {response.status_code}", logs)]
    return [Finding("ok", service, f"{HOST}:{port}")]


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
