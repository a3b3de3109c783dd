"""Every place that must know a service; `python -m tests.support.service_places` names those that miss one."""

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from local.containers import PUBLISHED
from local.doctor import examine
from local.generate import PARTS
from local.kubernetes_files import SERVICES as KUBERNETES
from local.processes import process_table
from local.registry import ALL, REGISTRY
from local.settings import ROOT, LocalSettings
from local.telemetry_files import PAGE
from tests.support.local_stack import PORTS

FILES = (
    *(f"{name}.py" for name in ("__init__", "models", "routes", "schemas", "settings", "telemetry", "use_cases")),
    "telemetry.yaml",
)
NOTHING_LISTENS = 1
"""A port on which no service of ours can listen: the doctor then waits for nobody."""


def services() -> set[str]:
    """Return the names of all services that one of the places knows, so that each place is asked for all of them.

    Those that are in no stack are not among them.
    """
    folders = {path.parent.name for path in ROOT.glob("services/*/routes.py")}
    return (folders - ALL.keys()) | REGISTRY.keys()


ENTRY_IN_PART = {
    (".env", "ports"): r"^{SERVICE}_PORT=",
    ("migrations/alembic.ini", "sections"): r"^\[{service}\]$",
    ("postgres/databases.sql", "databases"): r"[ ,]{service}(,|$)",
    ("docker-compose.yml", "services"): r"^  {service}-service:$",
    ("docker-compose.yml", "databases"): r"^ +{SERVICE}_DATABASE_URL:",
    ("docker-compose.yml", "proxy"): r"^ +{service}-service: \{{condition",
    ("haproxy/haproxy.cfg", "readiness"): r"nbsrv\({service}-service\)",
    ("haproxy/haproxy.cfg", "pages"): r"^backend {service}-service$",
    ("prometheus/pipeline.yaml", "services with telemetry"): r"job=\"{service}-service\"",
    ("prometheus/pipeline.yaml", "memory limits"): r"job: {service}-service}}}}",
    ("README.md", "table of services"): r"^\| \[{service}-service\]",
    ("kubernetes/base/migrations.yaml", "databases"): r"name: {service}-database-app,",
    ("kubernetes/overlays/local/kustomization.yaml", "databases"): r"name: {service}-database-app,",
    ("kubernetes/overlays/production/databases.yaml", "databases"): r"name: {service}-database}}",
}
"""By which line a generated part names a service."""


def generated_parts() -> Iterator[tuple[str, Callable[[str], bool]]]:
    """Yield each generated part and whether it names a service."""
    for file, name in PARTS:
        marker = f"generated from services.toml, {name}: "
        text = (ROOT / file).read_text().partition(f"{marker}begin")[2].partition(f"{marker}end")[0]
        yield f"{file} ({name})", partial(_names, ENTRY_IN_PART[file, name], text)


def _names(pattern: str, text: str, service: str) -> bool:
    return bool(re.search(pattern.format(service=service, SERVICE=service.upper()), text, re.MULTILINE))


def places() -> Mapping[str, Callable[[str], bool]]:
    """Return each place and whether it knows a service; only the first four are written by hand."""
    ports: dict[str, Any] = {name: NOTHING_LISTENS for name in LocalSettings.model_fields if name.endswith("_port")}
    settings = LocalSettings(**ports)
    rows = {spec.name: spec for spec in process_table(settings)}
    diagnosed = {finding.what for finding in examine(settings)}
    return {
        "services.toml": lambda service: service in REGISTRY,
        "services/<name>/": lambda service: all((ROOT / f"services/{service}/{file}").exists() for file in FILES),
        "migrations/<name>/": lambda service: any((ROOT / "migrations" / service).glob("[0-9]*.py")),
        "tests/<name>/": lambda service: any((ROOT / "tests" / service).glob("test_*.py")),
        **dict(generated_parts()),
        f"{KUBERNETES}/kustomization.yaml": lambda service: bool(
            re.search(rf"[ \[]{service}[,\]]", (ROOT / KUBERNETES / "kustomization.yaml").read_text())
        ),
        f"{KUBERNETES}/<name>/": lambda service: (ROOT / KUBERNETES / service / "kustomization.yaml").exists(),
        PAGE: lambda service: f"\n## {service}-service\n" in (ROOT / PAGE).read_text(),
        "local/processes.py": lambda service: f"{service}-service" in rows,
        "local/processes.py (migrations)": lambda service: (
            f"{service.upper()}_DATABASE_URL" in rows["migrations"].environment
        ),
        "local/doctor.py": lambda service: f"{service}-service" in diagnosed,
        "local/doctor.py (traces)": lambda service: f"traces of {service}" in diagnosed,
        "local/containers.py": lambda service: f"{service.upper()}_PORT" in PUBLISHED,
        "tests/support/local_stack.py": lambda service: f"{service.upper()}_PORT" in PORTS,
    }


WITH_A_DATABASE = {
    "migrations/<name>/",
    "migrations/alembic.ini (sections)",
    "postgres/databases.sql (databases)",
    "docker-compose.yml (databases)",
    "kubernetes/base/migrations.yaml (databases)",
    "kubernetes/overlays/local/kustomization.yaml (databases)",
    "kubernetes/overlays/production/databases.yaml (databases)",
    "local/processes.py (migrations)",
}
"""The places that know a service only if it has a database."""


WITH_A_PAGE = {
    "docker-compose.yml (proxy)",
    "haproxy/haproxy.cfg (readiness)",
    "haproxy/haproxy.cfg (pages)",
    "local/containers.py",
}
"""Those that know a service only if it has a page."""


def has_a_database(service: str) -> bool:
    """Return whether a service has a database; one without an entry does."""
    return service not in REGISTRY or REGISTRY[service].database


def page(service: str) -> bool:
    """Return whether a service has a page."""
    return service in REGISTRY and REGISTRY[service].page is not None


def missing() -> list[str]:
    """Return `<service> is missing in <place>` for each service and place that does not know it."""
    known = places()
    return [
        f"{service} is missing in {place}"
        for service in sorted(services())
        for place, knows in known.items()
        if not knows(service)
        and (place not in WITH_A_DATABASE or has_a_database(service))
        and (place not in WITH_A_PAGE or page(service))
    ]


if __name__ == "__main__":
    sys.stdout.write("".join(f"{line}\n" for line in missing()))
