"""The container stack, by `docker compose`: starts it, waits until all of it is healthy, places a first order."""

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.text import Text

from local.ports import taken_ports
from local.registry import REGISTRY
from local.settings import HOST, ROOT, LocalSettings, Port
from waybill_explorer.client import ClientError

NO_COMPOSE = (
    "`docker compose` does not answer: start Docker, or Podman with a docker command, or run `make demo`, "
    "which needs neither"
)


class ContainerSettings(LocalSettings):
    """The further ports that the container stack publishes."""

    prometheus_port: Port
    grafana_port: Port
    loki_port: Port
    alerts_port: Port
    pager_port: Port


ENDING = frozenset({"databases", "migrate"})
"""They do their work and end; all other containers stay."""
PAGES = {service.host: (service.page, f"{service.name}_port") for service in REGISTRY.values() if service.page}
PUBLISHED = {
    **{service.variable("PORT"): ("proxy", "/readyz") for service in REGISTRY.values() if service.page},
    "OTLP_HTTP_PORT": ("otel-collector", ""),
    "TRACES_PORT": ("jaeger", "/api/services"),
    "PROMETHEUS_PORT": ("prometheus", "/-/ready"),
    "GRAFANA_PORT": ("grafana", "/api/health"),
    "LOKI_PORT": ("loki", "/ready"),
    "ALERTS_PORT": ("alertmanager", "/-/ready"),
    "PAGER_PORT": ("pager", "/readyz"),
}
"""Variable -> the container that publishes its port, and the path that responds with 200 if it works.

The Collector has no such path on that port: any response is one.
"""
LINKS = {
    **PAGES,
    "jaeger": ("Traces", "traces_port"),
    "grafana": ("Dashboards", "grafana_port"),
    "prometheus": ("Metrics", "prometheus_port"),
    "alertmanager": ("Alerts", "alerts_port"),
    "pager": ("Pager", "pager_port"),
}


def up(settings: ContainerSettings, first_order: Callable[[], bool]) -> int:
    """Start what is not up, show Compose's own progress, then times and, last of all, links. Return an exit status."""
    out = Console(highlight=False)
    if not _running():
        _check_ports(settings)
    began = time.monotonic()
    if _compose("up", "--detach", "--build", "--wait").returncode:
        raise ClientError(
            "the stack is not healthy: `docker compose ps -a` says which part, `docker compose logs NAME` why"
        )
    healthy = time.monotonic() - began
    taken = first_order()
    traced = time.monotonic() - began
    out.print(f"\nHealthy after {healthy:.1f} s, the first trace read after {traced:.1f} s.", soft_wrap=True)
    out.print("`make down` stops it all, `docker compose logs --follow` shows what it says.", soft_wrap=True)
    out.print("\nOpen in a browser:")
    running = _running()
    for service, (title, port) in LINKS.items():
        if service in running:
            out.print(f"  {title:<12}", Text(f"http://{HOST}:{getattr(settings, port)}/", "cyan"))
    return 0 if taken else 1


@dataclass(frozen=True, slots=True)
class Container:
    """A container of the stack, as the engine sees it."""

    name: str
    service: str
    """Its name in docker-compose.yml, which replicas share."""
    state: str
    """running, exited, restarting and the like."""
    health: str
    """healthy, unhealthy, starting, or "" without a health check."""
    exit_code: int
    ports: tuple[int, ...]
    """The ports of this machine on which it is published."""


def listed() -> list[Container]:
    """Return the containers of the stack, also those that have ended; none if the stack is not up."""
    try:
        printed = _compose("ps", "--all", "--format", "json", capture_output=True)
        found = [_container(each) for each in _entries(printed.stdout)]
    except (ClientError, ValueError, KeyError, TypeError):  # no engine, or one that lists in a form of its own
        return []
    return found if any(each.state == "running" for each in found) else []


def _entries(text: str) -> list[dict[str, Any]]:
    """Return what `docker compose ps` lists: an object per line, before Compose 2.21 an array."""
    if text.startswith("["):
        return list(json.loads(text))
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def _container(entry: dict[str, Any]) -> Container:
    published = {int(each["PublishedPort"]) for each in entry.get("Publishers") or []}
    return Container(
        name=entry["Name"],
        service=entry["Service"],
        state=entry["State"],
        health=entry["Health"],
        exit_code=int(entry["ExitCode"]),
        ports=tuple(sorted(published - {0})),
    )


def _running() -> list[str]:
    printed = _compose("ps", "--services", "--status=running", capture_output=True)
    if printed.returncode:
        raise ClientError(f"{NO_COMPOSE}\n{printed.stderr.strip()}")
    return sorted(printed.stdout.split())


def _check_ports(settings: ContainerSettings) -> None:
    ports = settings.ports()
    if taken := taken_ports({variable: ports[variable] for variable in PUBLISHED}):
        raise ClientError("\n  ".join(["cannot start:", *(f"port {line}" for line in taken)]))


def _compose(*arguments: str, capture_output: bool = False) -> subprocess.CompletedProcess[str]:
    command = ["docker", "compose", *arguments]
    try:
        return subprocess.run(command, cwd=ROOT, check=False, text=True, capture_output=capture_output)  # noqa: S603
    except FileNotFoundError as error:
        raise ClientError(NO_COMPOSE) from error
