"""The processes of the local stack: one table, in the order in which they start."""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from local.registry import DATABASES, REGISTRY, SERVICES, Service
from local.settings import HOST, ROOT, LocalSettings

PYTHON = sys.executable
STOREFRONT_COLOR = 5
LABS = "labs.web:extension"
"""The view of the labs, a folder that can be removed, in the explorer."""
LOG_COLORS = ("bright_blue", "dark_orange", "green", "magenta", "yellow", "bright_black", "cyan", "orange4")
"""The terminal's names of the explorer's colors 1 to 8, as near as they come."""
ONE_PER_SERVICE = ("OTEL_SERVICE_NAME",)
"""Variables that name one process: set in the shell, they would make one service of the four."""
IDENTITY = ("service.name", "service.instance.id")
"""The resource attributes that would do the same."""


@dataclass(frozen=True)
class ProcessSpec:
    """One row of the table: a process, what it is given and what it needs."""

    name: str
    command: tuple[str, ...]
    ready: str | None
    """http:// responds 200, or redis:// to a PING, once the process is ready; None for a command that must
    succeed before the rows below it start."""
    live: str | None = None
    """Responds likewise as long as the process is not hung, whatever has become of what it depends on."""
    ports: Mapping[str, int] = field(default_factory=dict)
    """The variable that moves a port -> the port."""
    environment: Mapping[str, str] = field(default_factory=dict)
    depends_on: tuple[str, ...] = ()
    """Processes that are stopped after this one."""
    links: Mapping[str, str] = field(default_factory=dict)
    color: str = "bright_black"
    """The terminal color of its name before its log lines."""


def process_table(settings: LocalSettings) -> tuple[ProcessSpec, ...]:
    """Return the whole local stack: the explorer, the cache, the migrations, and each service after those it calls."""
    return (
        ProcessSpec(
            name="explorer",
            command=(PYTHON, "-m", "waybill_explorer"),
            ready=f"{_url(settings.traces_port)}/healthz",
            live=f"{_url(settings.traces_port)}/healthz",
            ports={
                "OTLP_GRPC_PORT": settings.otlp_grpc_port,
                "OTLP_HTTP_PORT": settings.otlp_http_port,
                "TRACES_PORT": settings.traces_port,
            },
            environment={**settings.as_environment(), **_explorer_page(settings)},
            links={"Traces": f"{_url(settings.traces_port)}/"},
        ),
        ProcessSpec(
            name="cache",
            command=(PYTHON, "-m", "local.cache_server"),
            ready=_url(settings.cache_port, "redis"),
            live=_url(settings.cache_port, "redis"),
            ports={"CACHE_PORT": settings.cache_port},
            environment=settings.as_environment(),
        ),
        ProcessSpec(
            name="migrations",
            command=(PYTHON, "-m", "migrations"),
            ready=None,
            environment={REGISTRY[name].variable("DATABASE_URL"): settings.database_url(name) for name in DATABASES},
        ),
        *(_service(settings, REGISTRY[name]) for name in SERVICES),
    )


def _service(settings: LocalSettings, service: Service) -> ProcessSpec:
    """Return the row of `services/<name>`, under gunicorn."""
    port = settings.port(service.name)
    environment = {
        **_unless_set_in_the_shell(settings),
        "HOST": HOST,
        "PORT": str(port),
        "WAYBILL_DATA": str(settings.waybill_data),  # by it, `local.ports` tells whose stack a process belongs to
        **{REGISTRY[name].variable("URL"): _url(settings.port(name)) for name in service.calls},
    }
    depends_on = ["explorer", *(REGISTRY[name].host for name in service.calls)]
    links = {service.host: f"{_url(port)}/openapi.json"}
    if service.database:
        environment["DATABASE_URL"] = settings.database_url(service.name)
    if service.cache:
        environment["CACHE_URL"] = _url(settings.cache_port, "redis") + "/0"
        depends_on.append("cache")
    if service.page:
        # The addresses that the browser uses; a shell behind a proxy (Codespaces) sets others.
        environment["PAGE_OTLP_ENDPOINT"] = os.environ.get("PAGE_OTLP_ENDPOINT") or _url(settings.otlp_http_port)
        environment["PAGE_TRACES_URL"] = os.environ.get("PAGE_TRACES_URL") or _url(settings.traces_port)
        links = {service.page: f"{_url(port)}/", **links}
    return ProcessSpec(
        name=service.host,
        command=(PYTHON, "-m", "gunicorn", "-c", "python:app.gunicorn_conf", f"services.{service.name}:create_app()"),
        ready=f"{_url(port)}/readyz",
        live=f"{_url(port)}/healthz",
        ports={service.variable("PORT"): port},
        environment=environment,
        depends_on=tuple(depends_on),
        links=links,
        color=LOG_COLORS[service.color - 1] if service.color else "white",
    )


def _explorer_page(settings: LocalSettings) -> dict[str, str]:
    """Return what the explorer's page shows of this stack: a link to the shop, a color for each service, the labs."""
    links = [
        {"title": "Place an order", "url": f"{_url(settings.port(name))}/"} for name in SERVICES if REGISTRY[name].page
    ]
    colors = {service.host: service.color for service in REGISTRY.values() if service.color}
    page = {
        "WAYBILL_EXTENSIONS": LABS if (ROOT / "labs" / "web.py").exists() else "",
        "WAYBILL_LINKS": json.dumps(links),
        "WAYBILL_COLORS": json.dumps({**colors, "storefront": STOREFRONT_COLOR}),
    }
    return {name: os.environ.get(name) or value for name, value in page.items()}


def without_identity(attributes: str) -> str:
    """Return OTEL_RESOURCE_ATTRIBUTES without what would give every service the same name or instance."""
    items = (item for item in attributes.split(",") if item.partition("=")[0].strip() not in IDENTITY)
    return ",".join(items)


def ignored_in_the_shell() -> list[str]:
    """Return what the shell sets that no child is given, each as a phrase."""
    attributes = os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(",")
    names = [name for name in IDENTITY if any(item.partition("=")[0].strip() == name for item in attributes)]
    variables = [f"{name}={os.environ[name]}" for name in ONE_PER_SERVICE if os.environ.get(name)]
    return variables + [f"{name} in OTEL_RESOURCE_ATTRIBUTES" for name in names]


def _unless_set_in_the_shell(settings: LocalSettings) -> dict[str, str]:
    """Return what a service gets by default; the shell's own value wins."""
    over_http = os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "").startswith("http")
    otlp_port = settings.otlp_http_port if over_http else settings.otlp_grpc_port
    defaults = {
        "WEB_CONCURRENCY": "1",
        "THREADS": "8",
        "OTEL_EXPORTER_OTLP_ENDPOINT": _url(otlp_port),
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=local",
        # A person waits for the trace here: batches leave every second, not every five.
        "OTEL_BSP_SCHEDULE_DELAY": "1000",
        "OTEL_BLRP_SCHEDULE_DELAY": "1000",
    }
    attributes = without_identity(os.environ.get("OTEL_RESOURCE_ATTRIBUTES", ""))
    shell = {**os.environ, "OTEL_RESOURCE_ATTRIBUTES": attributes}
    return {name: shell.get(name) or default for name, default in defaults.items()}


def _url(port: int, scheme: str = "http") -> str:
    return f"{scheme}://{HOST}:{port}"
