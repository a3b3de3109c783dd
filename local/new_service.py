"""Add a service to the project, and remove one: its folders, its entry in the registry and what follows from it."""

import json
import keyword
import pkgutil
import re
import shutil
import uuid
from collections.abc import Collection, Mapping
from pathlib import Path

from dotenv import dotenv_values
from opentelemetry.semconv._incubating import attributes

from local import kubernetes_files, telemetry_files, telemetry_registry
from local.generate import PARTS, renewed
from local.processes import STOREFRONT_COLOR
from local.registry import ALL, FILE, REGISTRY, Service, in_stacks
from local.settings import HOST, ROOT
from local.skeleton import FOLDERS, files_in, files_of
from waybill_explorer.client import ClientError

COLORS = range(1, 9)
FIRST_PORT = 1024
TAKEN_BY_POSTGRESQL = ("none", "postgres", "public", "template0", "template1", "user")
"""Databases and roles that PostgreSQL has, or lets no user make."""
TAKEN_BY_THE_KIT = ("cache", "database")
"""CACHE_URL and DATABASE_URL have another meaning than the URL of a service."""


def add(name: str, calls: Collection[str], port: int | None) -> tuple[Service, list[str]]:
    """Write a service that calls these; return it and the paths of the new and the changed files.

    Raise a ClientError that names what is wrong with the arguments; then nothing is changed.
    """
    _check_name(name)
    _check_calls(name, calls)
    service = _service(name, tuple(calls), _free_port() if port is None else _checked_port(port))
    files = files_of(service)
    texts = {**files, **_derived({**ALL, name: service}, FILE.read_text() + _entry(service), files)}
    return service, _write(texts)


def remove(name: str, *, force: bool = False) -> list[str]:
    """Remove a service and return the paths of the removed and the changed files.

    Raise a ClientError, and change nothing, if another one calls it or, unless forced, if its files are not as `add`
    wrote them: that work would be lost.
    """
    if name not in REGISTRY:
        raise ClientError(f"there is no service {name!r}. services.toml has {', '.join(REGISTRY)}.")
    if callers := [service.name for service in ALL.values() if name in service.calls]:
        raise ClientError(
            f"{name} is called by {', '.join(callers)}. Remove the call there and in services.toml first."
        )
    present = {str(path.relative_to(ROOT)): path.read_text() for path in files_in(name)}
    written = files_of(ALL[name])
    if not force and (changed := [path for path in written | present if written.get(path) != present.get(path)]):
        raise ClientError(
            f"these files are not as new-service wrote them: {', '.join(sorted(changed))}. "
            "To remove them all the same: --force."
        )
    rest = {other: service for other, service in ALL.items() if other != name}
    changed = _write(_derived(rest, _without_entry(name)))
    for folder in FOLDERS:
        shutil.rmtree(ROOT / folder / name, ignore_errors=True)
    shutil.rmtree(ROOT / kubernetes_files.SERVICES / name, ignore_errors=True)
    return [*present, *changed]


def request(port: int) -> str:
    """Return a command that sends a new service its first request."""
    body = """-H 'Content-Type: application/json' -d '{"label": "first-note"}'"""
    return f"curl -i -X PUT {HOST}:{port}/notes/{uuid.uuid4()} {body}"


def next_steps(name: str) -> str:
    """Return what remains to be done by hand to call the service from another one, such as order."""
    return (
        f"To call it from another service, such as order:\n"
        f'  1. services.toml: add "{name}" to the calls of [order]; then run `make generate`\n'
        f"  2. services/order/settings.py: {name}_url: HttpUrl\n"
        f"  3. services/order/clients.py: a client for {name}-service, which a use case calls"
    )


def _check_name(name: str) -> None:
    reason = None
    ports = {variable.removesuffix("_PORT").lower() for variable in dotenv_values(ROOT / ".env")}
    if not re.fullmatch(r"[a-z][a-z0-9]{0,30}", name):
        reason = "is not a lower-case letter and up to 30 lower-case letters and digits after it"
    elif name in ALL:
        reason = "is in services.toml already"
    elif keyword.iskeyword(name):
        reason = "is a word of Python"
    elif (taken := next((path for path in _paths(name) if path.exists()), None)) is not None:
        reason = f"is taken by {taken.relative_to(ROOT)}"
    elif name in TAKEN_BY_POSTGRESQL:
        reason = "is a name that PostgreSQL has or reserves"
    elif name in TAKEN_BY_THE_KIT or name in ports:
        reason = f"would make variables such as {name.upper()}_PORT and {name.upper()}_URL, which are others already"
    elif name in _conventions():
        reason = f"would put the service's attributes under {name}.*, where OpenTelemetry's conventions have theirs"
    if reason:
        raise ClientError(f"the name {name!r} {reason}. Choose another, such as shipping.")


def _paths(name: str) -> list[Path]:
    """Return where a folder or a module of this name would be in the way."""
    places = (ROOT, *(ROOT / folder for folder in FOLDERS))
    return [place / found for place in places for found in (name, f"{name}.py")]


def _conventions() -> set[str]:
    return {module.name.removesuffix("_attributes") for module in pkgutil.iter_modules(attributes.__path__)}


def _check_calls(name: str, calls: Collection[str]) -> None:
    for called in calls:
        if called not in REGISTRY or called == name:
            raise ClientError(f"it cannot call {called!r}: services.toml has {', '.join(REGISTRY)}.")
    if len(set(calls)) < len(calls):
        raise ClientError(f"{', '.join(calls)}: a service is there twice. Name each once.")


def _taken_ports() -> dict[int, str]:
    variables = {int(port): variable for variable, port in dotenv_values(ROOT / ".env").items() if port}
    return {**{service.port: service.host for service in ALL.values()}, **variables}


def _checked_port(port: int) -> int:
    if not FIRST_PORT <= port <= 65535:
        raise ClientError(f"{port} is not a port from {FIRST_PORT} to 65535.")
    if owner := _taken_ports().get(port):
        raise ClientError(f"port {port} is taken by {owner}. The next free one is {_free_port()}.")
    return port


def _free_port() -> int:
    port = max(service.port for service in REGISTRY.values()) + 1
    while port in _taken_ports():
        port += 1
    return port


def _service(name: str, calls: tuple[str, ...], port: int) -> Service:
    used = {STOREFRONT_COLOR, *(service.color for service in ALL.values())}
    color = next((number for number in COLORS if number not in used), None)
    return Service(name=name, port=port, calls=calls, color=color)


def _entry(service: Service) -> str:
    lines = [f"[{service.name}]", f"port = {service.port}"]
    if service.color:
        lines.append(f"color = {service.color}")
    if service.calls:
        lines.append(f"calls = {json.dumps(service.calls)}")
    return "\n" + "".join(f"{line}\n" for line in lines)


def _without_entry(name: str) -> str:
    """Return the registry without an entry and the comment above it: the lines between two empty ones."""
    entries = FILE.read_text().split("\n\n")
    header = re.compile(rf"^\[{name}\]$", re.MULTILINE)
    return "\n\n".join(entry.rstrip("\n") for entry in entries if not header.search(entry)) + "\n"


def _derived(services: Mapping[str, Service], registry: str, new: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the text of the registry and of every file of the project that follows from it; `new` are new files."""
    texts = {FILE.name: registry}
    for file, part in PARTS:
        texts[file] = renewed(texts.get(file) or (ROOT / file).read_text(), file, part, services)
    try:
        telemetry = telemetry_registry.read(services, new)
    except ValueError as error:
        raise ClientError(str(error)) from None
    page = telemetry_files.page(telemetry, in_stacks(services))
    return {**texts, telemetry_files.PAGE: page, **kubernetes_files.files(services)}


def _write(texts: Mapping[str, str]) -> list[str]:
    """Write those of the files that differ, or none if one cannot be written, and return their paths."""
    before = {path: (ROOT / path).read_text() if (ROOT / path).exists() else None for path in texts}
    changed = [path for path, text in texts.items() if before[path] != text]
    try:
        for path in changed:
            (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / path).write_text(texts[path])
    except BaseException:
        for path in changed:
            _restore(ROOT / path, before[path])
        raise
    return changed


def _restore(path: Path, text: str | None) -> None:
    if text is not None:
        path.write_text(text)
        return
    path.unlink(missing_ok=True)
    for folder in path.parents:
        if folder.parent == ROOT or not folder.exists() or any(folder.iterdir()):
            return
        folder.rmdir()
