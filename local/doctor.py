"""What is up, what is not, and what to do about it."""

import re
import shutil
import socket
import sys
import time
import tomllib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from typing import Any, Literal

import requests
from rich.console import Console
from rich.table import Table
from rich.text import Text

from local import data_folder, wanted
from local.ports import Listener, free_port, listeners
from local.registry import REGISTRY, SERVICES, Service
from local.settings import HOST, ROOT, LocalSettings
from waybill_explorer.client import json_of, new_session

LATELY_SECONDS = 15 * 60
TIMEOUT_SECONDS = 10
LOW_SPACE = 1 << 30
START = "start the stack with `make demo`"
MARKS = {"ok": ("✓", "green"), "note": ("!", "yellow"), "wrong": ("✗", "red")}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the diagnosis; `fix` is what to do when `state` is not ok."""

    state: Literal["ok", "note", "wrong"]
    what: str
    detail: str
    fix: str = ""


def examine(settings: LocalSettings) -> list[Finding]:
    """Check everything at the same time, on the ports of the running stack. Never raise for what is not running."""
    settings, moved = _as_running(settings)
    foreign = {
        port: listener
        for port, listener in listeners(settings.ports().values()).items()
        if listener.data and listener.data != settings.waybill_data
    }

    def ours(variable: str, what: str, check: Callable[[], Finding]) -> Callable[[], Finding]:
        port = settings.ports()[variable]
        return partial(_foreign, settings, what, variable, foreign[port]) if port in foreign else check

    checks: list[Callable[[], Finding | None]] = [
        python_version,
        pinned_packages,
        lambda: _data_folder(settings),
        lambda: _wanted(settings),
        ours("TRACES_PORT", "trace backend", partial(_backend, settings)),
        *(
            ours(variable, what, partial(_port, settings, what, variable))
            for what, variable in (
                ("OTLP over gRPC", "OTLP_GRPC_PORT"),
                ("OTLP over HTTP", "OTLP_HTTP_PORT"),
                ("cache", "CACHE_PORT"),
            )
        ),
        *(
            ours(service.variable("PORT"), service.host, partial(_service, settings, service))
            for service in (REGISTRY[name] for name in SERVICES)
        ),
        *(
            ours("TRACES_PORT", f"traces of {name}", partial(telemetry, settings, REGISTRY[name].host))
            for name in SERVICES
        ),
    ]
    with ThreadPoolExecutor(len(checks)) as pool:
        return [*moved, *(finding for finding in pool.map(lambda check: check(), checks) if finding)]


def _as_running(settings: LocalSettings) -> tuple[LocalSettings, list[Finding]]:
    """Return the settings with the ports of the stack that runs on their data, and what this shell has different."""
    given, running = settings.ports(), data_folder.running_ports(settings.waybill_data)
    moved = {variable: port for variable, port in running.items() if given.get(variable, port) != port}
    if not moved:
        return settings, []
    there = " ".join(f"{variable}={port}" for variable, port in moved.items())
    here = " ".join(f"{variable}={given[variable]}" for variable in moved)
    fix = f"set the ports of the running stack in this shell: `export {there}`"
    finding = Finding("note", "ports", f"the stack runs with {there}; this shell has {here}", fix)
    return settings.model_copy(update={variable.lower(): port for variable, port in moved.items()}), [finding]


def first_fix(findings: Iterable[Finding]) -> str:
    """Return the fix to try first, or "". What the others depend on is first in the list."""
    ranked = sorted(findings, key=lambda finding: finding.state != "wrong")
    return next((finding.fix for finding in ranked if finding.fix), "")


def print_findings(console: Console, findings: Iterable[Finding]) -> None:
    """Print a line per finding and the first thing to try."""
    findings = list(findings)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        mark, color = MARKS[finding.state]
        detail = Text(finding.detail, "" if finding.state == "ok" else color)
        table.add_row(Text(mark, color), finding.what, detail)
    console.print(table)
    if fix := first_fix(findings):
        console.print(Text("\nFirst: ", "bold").append(fix))
    else:
        console.print(Text("\nAll is well.", "bold green"))


def python_version() -> Finding:
    """Check that this Python is one that pyproject.toml allows."""
    version = ".".join(map(str, sys.version_info[:3]))
    wanted = _project()["requires-python"]
    least = tuple(map(int, re.findall(r"\d+", wanted)[:2]))
    if sys.version_info[:2] < least:
        return Finding("wrong", "Python", f"{version}, needs {wanted}", f"install Python {wanted}, then `make demo`")
    return Finding("ok", "Python", version)


def pinned_packages() -> Finding:
    """Check that the packages that pyproject.toml pins with `==`, such as OpenTelemetry's, have these versions."""
    pins = [re.match(r"([\w.-]+)(?:\[.*\])?==([\w.]+)", line) for line in _project()["dependencies"]]
    pinned = {pin[1]: pin[2] for pin in pins if pin}
    other = [f"{name} {have}, not {want}" for name, want in pinned.items() if (have := _version(name)) != want]
    if other:
        fix = "install the locked set again: `rm -rf .venv && make demo`"
        return Finding("wrong", "pinned packages", "; ".join(other), fix)
    return Finding("ok", "pinned packages", f"{len(pinned)} as pinned, opentelemetry-sdk {pinned['opentelemetry-sdk']}")


def _project() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "missing"


def _data_folder(settings: LocalSettings) -> Finding:
    data = settings.waybill_data
    there = next(path for path in (data, *data.parents) if path.exists())
    free = shutil.disk_usage(there).free
    text = f"{data}{'' if data.exists() else ' (not made yet)'}, {free / (1 << 30):.1f} GiB free"
    if free < LOW_SPACE:
        return Finding("wrong", "data folder", text, "make room on the disk, or move WAYBILL_DATA to another")
    return Finding("ok", "data folder", text)


def _wanted(settings: LocalSettings) -> Finding | None:
    """Say if the processes are not those of the table, and how to get these back."""
    try:
        found = wanted.read(settings.waybill_data)
    except ValueError as error:
        return Finding("note", "processes", str(error), f"remove {wanted.file(settings.waybill_data)}")
    if found is None:
        return None
    return Finding("note", "processes", f"{found.says}; ends in {wanted.left(found)}", found.off)


def get(port: int, path: str, **params: Any) -> requests.Response | None:
    """Return the response, or None if there is no HTTP response within 10 s."""
    try:
        with new_session() as session:
            return session.get(f"http://{HOST}:{port}{path}", params=params, timeout=TIMEOUT_SECONDS)
    except requests.RequestException:
        return None


def _listens(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=TIMEOUT_SECONDS).close()
    except OSError:
        return False
    return True


def _foreign(settings: LocalSettings, what: str, variable: str, other: Listener) -> Finding:
    """Say that another clone's stack, or this one's on other data, has the port."""
    port = settings.ports()[variable]
    fix = f"stop that stack with Ctrl-C in its terminal (pid {other.pid}), or {_move(settings, variable)}"
    return Finding("wrong", what, f"port {port} is used by {other}", fix)


def _move(settings: LocalSettings, variable: str) -> str:
    ports = settings.ports()
    return f"move this one: `{variable}={free_port(ports[variable], ports.values())} make demo`"


def _silent(settings: LocalSettings, what: str, variable: str) -> Finding:
    """Return why a port does not respond as it should: nothing listens there, or another program does."""
    port = settings.ports()[variable]
    if not _listens(port):
        return Finding("wrong", what, f"nothing listens on {HOST}:{port}", START)
    fix = f"see who has port {port} (`ss -ltnp`), or {_move(settings, variable)}"
    return Finding("wrong", what, f"something else answers on {HOST}:{port}, or it hangs", fix)


def _port(settings: LocalSettings, what: str, variable: str) -> Finding:
    port = settings.ports()[variable]
    return Finding("ok", what, f"{HOST}:{port}") if _listens(port) else _silent(settings, what, variable)


def _service(settings: LocalSettings, service: Service) -> Finding:
    name, variable, port = service.host, service.variable("PORT"), settings.port(service.name)
    alive = get(port, "/healthz")
    ready = get(port, "/readyz") if alive is not None and alive.ok else None
    if ready is None:
        return _silent(settings, name, variable)
    if not ready.ok:
        problem = json_of(ready)
        why = problem.get("detail", "") if isinstance(problem, dict) else ready.reason
        return Finding(
            "wrong", name, f"{HOST}:{port} lives but is not ready: {why}", f"see what {name} logs: `waybill up --logs`"
        )
    return Finding("ok", name, f"{HOST}:{port} ready")


def _backend(settings: LocalSettings) -> Finding:
    health, answer = get(settings.traces_port, "/api/services"), get(settings.traces_port, "/api/stats")
    if health is None or not health.ok or not isinstance(json_of(health), dict):
        return _silent(settings, "trace backend", "TRACES_PORT")
    body = json_of(answer) if answer is not None and answer.ok else None
    stats = body.get("data") if isinstance(body, dict) else None
    where = f"{HOST}:{settings.traces_port}"
    if not isinstance(stats, dict):
        return Finding("ok", "trace backend", f"{where} answers (no statistics: not the explorer)")
    text = f"{where}  " + ", ".join(f"{stats[key]:,} {key}" for key in ("spans", "logs", "points") if key in stats)
    if stats.get("refused"):
        fix = "it was sent more than it can store: lower the load, or look at the disk"
        return Finding("note", "trace backend", f"{text}, {stats['refused']:,} refused", fix)
    return Finding("ok", "trace backend", text)


def telemetry(settings: LocalSettings, service: str, start: str = START) -> Finding:
    """Find out when the last trace of a service began; `start` says how its stack is started."""
    what = f"traces of {service.removesuffix('-service')}"
    names, since = get(settings.traces_port, "/api/services"), int((time.time() - LATELY_SECONDS) * 1e6)
    known = json_of(names) if names is not None and names.ok else None
    if not isinstance(known, dict):
        return Finding("wrong", what, "unknown: the trace backend does not answer", start)
    if service not in (known.get("data") or []):
        return Finding("note", what, "none has ever arrived", "place an order with `waybill order`, then look again")
    recent = get(settings.traces_port, "/api/traces", service=service, limit=1, start=since, end=int(time.time() * 1e6))
    body = json_of(recent) if recent is not None and recent.ok else None
    traces = (body.get("data") if isinstance(body, dict) else None) or []
    starts = [span["startTime"] for trace in traces for span in trace.get("spans", [])]
    if not starts:
        minutes = LATELY_SECONDS // 60
        return Finding(
            "note", what, f"none in {minutes} minutes", "place an order with `waybill order`, then look again"
        )
    return Finding("ok", what, f"the last {max(0, int(time.time() - max(starts) / 1e6))} s ago")
