"""`python -m local.generate`: write what `services.toml` and the declarations of telemetry imply into other files.

A generated part is between two comments, `generated from services.toml, <part>: begin` and `... end`; the rest of
a file is written by hand. `tests/test_registry.py` checks that every part is fresh. What is generated of telemetry is
whole files, as are some in `kubernetes/`; `tests/test_telemetry_registry.py` and `tests/test_kubernetes.py` check them.
"""

import re
import sys
from collections.abc import Callable, Mapping

from local import kubernetes_files, telemetry_files, telemetry_registry
from local.registry import ALL, Service, in_stacks
from local.settings import ROOT

PAGE_LINES = (
    "    # As a browser reaches them, from outside.",
    "    PAGE_OTLP_ENDPOINT: http://127.0.0.1:${OTLP_HTTP_PORT}",
    "    PAGE_TRACES_URL: http://127.0.0.1:${TRACES_PORT}",
)

NOT_IN_STACKS = "# `python -m migrations` leaves it out.\nstacks = false\n"


def ports(services: Mapping[str, Service]) -> str:
    """Return the variables of the services' ports, for `.env`."""
    return "".join(f"{service.variable('PORT')}={service.port}\n" for service in services.values())


def alembic_sections(services: Mapping[str, Service]) -> str:
    """Return a section for each database, for `alembic.ini`; also for one that is in no stack."""
    sections = (
        f"[{service.name}]\nversion_locations = %(here)s/{service.name}\n{'' if service.stacks else NOT_IN_STACKS}"
        for service in services.values()
        if service.database
    )
    return "\n".join(sections)


def database_names(services: Mapping[str, Service]) -> str:
    r"""Return the \set of psql that lists the databases, for `databases.sql`."""
    return f"\\set services {','.join(service.name for service in services.values() if service.database)}\n"


def compose_services(services: Mapping[str, Service]) -> str:
    """Return a block for each service, for `docker-compose.yml`."""
    return "\n".join(_compose_service(service, services) for service in services.values())


def _compose_service(service: Service, services: Mapping[str, Service]) -> str:
    port = f"${{{service.variable('PORT')}}}"
    called = [services[name] for name in service.calls]
    lines = [
        f"{service.host}:",
        "  <<: *service",
        f'  command: gunicorn -c python:app.gunicorn_conf "services.{service.name}:create_app()"',
        f"  mem_limit: {service.memory}m",
        "  environment:",
        "    <<: *environment",
        f"    PORT: {port}",
        f"    ALLOWED_HOSTS: {service.host}{',proxy,${ALLOWED_HOSTS:-}' if service.page else ''}",
        *([f"    DATABASE_URL: {_database_url(service)}"] if service.database else []),
        *(["    CACHE_URL: redis://valkey:6379/0"] if service.cache else []),
        *(f"    {each.variable('URL')}: http://{each.host}:${{{each.variable('PORT')}}}" for each in called),
        *(PAGE_LINES if service.page else []),
        "  develop:",
        "    watch:",
        *(f"      - {_synced(folder)}" for folder in ("app", f"services/{service.name}")),
        "  depends_on:",
        "    migrate: {condition: service_completed_successfully}",
        "    otel-collector: {condition: service_started}",
        *(["    valkey: {condition: service_healthy}"] if service.cache else []),
    ]
    return "".join(f"  {line}\n" for line in lines)


def compose_proxy(services: Mapping[str, Service]) -> str:
    """Return what the proxy in `docker-compose.yml` has for each service with a page: its port, and the service."""
    pages = [service for service in services.values() if service.page]
    ports = [f"${{{service.variable('PORT')}}}" for service in pages]
    lines = [
        "environment:",
        *(f"  {service.variable('PORT')}: {port}" for service, port in zip(pages, ports, strict=True)),
        "ports:",
        *(f'  - "127.0.0.1:{port}:{port}"' for port in ports),
        "depends_on:",
        *(f"  {service.host}: {{condition: service_started}}" for service in pages),
    ]
    return "".join(f"    {line}\n" for line in lines)


def proxied_pages(services: Mapping[str, Service]) -> str:
    """Return a frontend and a backend for each service with a page, for `haproxy/haproxy.cfg`."""
    return "\n".join(_proxied_page(service) for service in services.values() if service.page)


def pages_ready(services: Mapping[str, Service]) -> str:
    """Return when the proxy is not ready: while a service with a page has no replica that is."""
    return "".join(
        f"  monitor fail if {{ nbsrv({service.host}) lt 1 }}\n" for service in services.values() if service.page
    )


def _proxied_page(service: Service) -> str:
    port = f"${{{service.variable('PORT')}}}"
    lines = [
        f"frontend {service.name}",
        f'  bind ":{port}"',
        f"  default_backend {service.host}",
        "",
        f"backend {service.host}",
        f"  http-check send meth GET uri /readyz hdr Host {service.host}",
        f'  server-template replica 10 "{service.host}:{port}"',
    ]
    return "".join(f"{line}\n" for line in lines)


def _synced(folder: str) -> str:
    """Return what `docker compose watch` does with a changed file of a folder: copy it and restart the service."""
    return f"{{action: sync+restart, path: ./{folder}, target: /waybill/{folder}, ignore: [__pycache__/]}}"


def compose_databases(services: Mapping[str, Service]) -> str:
    """Return the variables of the databases' URLs, for `migrate` in `docker-compose.yml`."""
    databases = [service for service in services.values() if service.database]
    return "".join(f"      {service.variable('DATABASE_URL')}: {_database_url(service)}\n" for service in databases)


def _database_url(service: Service) -> str:
    return f"postgresql://{service.name}:{service.name}@postgres/{service.name}"


def migrated_databases(services: Mapping[str, Service]) -> str:
    """Return where the Job `migrate` finds the URL of each database, for `kubernetes/base/migrations.yaml`."""
    databases = [service for service in services.values() if service.database]
    sources = [kubernetes_files.database_secret(each, each.variable("DATABASE_URL").lower()) for each in databases]
    return "".join(f"              - {source}\n" for source in sources)


def local_databases(services: Mapping[str, Service]) -> str:
    """Return the Secrets with the URLs of the databases, for `kubernetes/overlays/local/kustomization.yaml`."""
    databases = [service for service in services.values() if service.database]
    return "".join(
        f'  - {{name: {each.name}-database-app, namespace: waybill, literals: ["uri={_database_url(each)}"]}}\n'
        for each in databases
    )


def postgresql_clusters(services: Mapping[str, Service]) -> str:
    """Return a database cluster for each service, for `kubernetes/overlays/production/databases.yaml`."""
    return "".join(
        f"---\napiVersion: postgresql.cnpg.io/v1\nkind: Cluster\nmetadata: {{name: {each.name}-database}}\n"
        f"spec: {{bootstrap: {{initdb: {{database: {each.name}, owner: {each.name}}}}}}}\n"
        for each in services.values()
        if each.database
    )


def absent_services(services: Mapping[str, Service]) -> str:
    """Return the expression of the alert on missing telemetry, for `prometheus/pipeline.yaml`."""
    absent = [f'absent(process_thread_count{{job="{service.host}"}})' for service in services.values()]
    return "        expr: |\n          " + "\n          or ".join(absent) + "\n"


def memory_limits(services: Mapping[str, Service]) -> str:
    """Return a rule for the memory limit of each service, for `prometheus/pipeline.yaml`."""
    return "".join(
        f"      - {{record: job:memory_limit:bytes, expr: {service.memory} * 2^20, labels: {{job: {service.host}}}}}\n"
        for service in services.values()
    )


def table(services: Mapping[str, Service]) -> str:
    """Return a row for each service, for the README."""
    rows = ["| service | port | calls | keeps its data in |", "|---|---|---|---|"]
    for service in services.values():
        stores = ["a database"] * service.database + ["the cache"] * service.cache
        cells = (
            f"[{service.host}](services/{service.name}/README.md)",
            str(service.port),
            ", ".join(service.calls) or "-",
            ", ".join(stores) or "-",
        )
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


PARTS: dict[tuple[str, str], Callable[[Mapping[str, Service]], str]] = {
    (".env", "ports"): ports,
    ("migrations/alembic.ini", "sections"): alembic_sections,
    ("postgres/databases.sql", "databases"): database_names,
    ("docker-compose.yml", "services"): compose_services,
    ("docker-compose.yml", "databases"): compose_databases,
    ("docker-compose.yml", "proxy"): compose_proxy,
    ("haproxy/haproxy.cfg", "readiness"): pages_ready,
    ("haproxy/haproxy.cfg", "pages"): proxied_pages,
    ("prometheus/pipeline.yaml", "services with telemetry"): absent_services,
    ("prometheus/pipeline.yaml", "memory limits"): memory_limits,
    ("README.md", "table of services"): table,
    ("kubernetes/base/migrations.yaml", "databases"): migrated_databases,
    ("kubernetes/overlays/local/kustomization.yaml", "databases"): local_databases,
    ("kubernetes/overlays/production/databases.yaml", "databases"): postgresql_clusters,
}
"""(File, part) -> what writes the part."""
OF_ALL = ("migrations/alembic.ini", "sections")
"""The part that has the services that are in no stack, too."""


def renewed(text: str, file: str, part: str, services: Mapping[str, Service] = ALL) -> str:
    """Return the text of a file with the part as it must be; raise ValueError if the part has no begin and end."""
    marker = rf"[^\n]*generated from services\.toml, {part}: "
    pattern = re.compile(rf"({marker}begin[^\n]*\n).*?({marker}end)", re.DOTALL)
    rendered = PARTS[file, part](services if (file, part) == OF_ALL else in_stacks(services))
    text, found = pattern.subn(lambda match: match[1] + rendered + match[2], text)
    if found != 1:
        raise ValueError(
            f"{file}: found {found} parts between the comments `generated from services.toml, {part}: begin` and "
            "`... end`, not 1. Restore the two comments where the part belongs."
        )
    return text


def main() -> None:
    """Write every part and file that is not fresh and print the names of the changed files."""
    for file, part in PARTS:
        text = (ROOT / file).read_text()
        fresh = renewed(text, file, part)
        if fresh != text:
            (ROOT / file).write_text(fresh)
            sys.stdout.write(f"{file}: {part}\n")
    whole = telemetry_files.files(telemetry_registry.read(ALL), ALL) | kubernetes_files.files(ALL)
    for file, text in whole.items():
        (ROOT / file).parent.mkdir(parents=True, exist_ok=True)
        if not (ROOT / file).exists() or (ROOT / file).read_text() != text:
            (ROOT / file).write_text(text)
            sys.stdout.write(f"{file}\n")


if __name__ == "__main__":
    main()
