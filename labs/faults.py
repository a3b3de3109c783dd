"""The kinds of faults, and what each wants of the processes. A fault is what it is in life, never a flag in code."""

import json
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from labs.link import KINDS, TCP_KINDS
from local.ports import free_port
from local.processes import process_table
from local.registry import REGISTRY, SERVICES
from local.settings import HOST, ROOT, LocalSettings
from local.wanted import WantedProcess
from waybill_explorer.client import ClientError

CACHE = "cache"
NEIGHBORS = ("stock-report",)
KEPT = frozenset({"HOST", "PORT", "WAYBILL_DATA", "DATABASE_URL", "CACHE_URL", "PYTHONPATH", "PYTHONSAFEPATH"})
"""Variables by which the stack finds its own processes again."""


class _Fault(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Release(_Fault):
    """A service runs another release: a patched copy of `app/` and `services/` in `folder`."""

    kind: Literal["release"] = "release"
    service: str
    version: str
    folder: Path

    @property
    def key(self) -> str:
        return f"release {self.service}"

    @property
    def text(self) -> str:
        return f"{self.key}: {self.version} from {self.folder}"


class Link(_Fault):
    """Requests to a service pass a proxy, which hurts a share of them; the service listens on `port` meanwhile."""

    kind: Literal["link"] = "link"
    service: str
    mode: Literal["delay", "reset", "lose-answer", "hold"]
    seconds: float = 0.0
    path: str = "/"
    share: float = Field(default=1.0, gt=0, le=1)
    port: int

    @property
    def key(self) -> str:
        return f"link {self.service}"

    @property
    def text(self) -> str:
        what = f"delay {self.seconds:g} s" if self.mode == "delay" else self.mode
        return f"{self.key}: {what}, {self.share:.0%} of the requests to {self.path}"


class Setting(_Fault):
    """A service runs with another value of an environment variable, and of those that were changed along with it."""

    kind: Literal["setting"] = "setting"
    service: str
    name: str
    value: str
    also: tuple[tuple[str, str], ...] = ()

    @property
    def key(self) -> str:
        return f"setting {self.service} {self.name}"

    @property
    def text(self) -> str:
        return f"{self.key}={self.value}"


class Data(_Fault):
    """Something in the database of a service was changed; `file` has the statements that undo it."""

    kind: Literal["data"] = "data"
    service: str
    change: str
    file: Path

    @property
    def key(self) -> str:
        return f"data {self.service} {self.file.stem.removeprefix('undo-')}"

    @property
    def text(self) -> str:
        return f"{self.key}: {self.change}"


class Neighbor(_Fault):
    """One more process, of another team, that uses what a service uses: it holds it `seconds`, `every` so many."""

    kind: Literal["neighbor"] = "neighbor"
    name: str
    seconds: float = Field(gt=0)
    every: float = Field(gt=0)
    port: int

    @property
    def key(self) -> str:
        return f"neighbor {self.name}"

    @property
    def text(self) -> str:
        return f"{self.key}: holds the rows of all items for {self.seconds:g} s, every {self.every:g} s"


Fault = Annotated[Release | Link | Setting | Data | Neighbor, Field(discriminator="kind")]
FAULTS: TypeAdapter[list[Fault]] = TypeAdapter(list[Fault])


def folder(settings: LocalSettings) -> Path:
    """Return the folder of the labs in the data folder."""
    return settings.waybill_data / "labs"


def service_of(text: str, *, cache: bool = False) -> str:
    """Return the name of a service, also for `<name>-service`. Raise a ClientError."""
    name = text.removesuffix("-service")
    if name in SERVICES or (cache and name == CACHE):
        return name
    names = ", ".join([*SERVICES, CACHE] if cache else SERVICES)
    raise ClientError(f"there is no service {text!r}. Name one of {names}.")


def new_link(
    settings: LocalSettings,
    known: Iterable[Fault],
    service: str,
    mode: str,
    *,
    seconds: float = 0.0,
    path: str = "/",
    share: float = 1.0,
) -> Link:
    """Return a link to a service or the cache; one that is on already keeps its hidden port. Raise a ClientError."""
    modes = TCP_KINDS if service == CACHE else KINDS
    if mode not in modes:
        raise ClientError(f"a link to {service} cannot {mode}: choose one of {', '.join(modes)}.")
    if service == CACHE and path != "/":
        raise ClientError("requests to the cache have no path: leave --path out.")
    if not path.startswith("/"):
        raise ClientError(f"{path!r} is no path: it begins with a slash, such as /charges.")
    if not 0 < share <= 1:
        raise ClientError(f"the share {share:g} is not between 0 and 1: write 0.3 for 30 %.")
    before = next((fault for fault in known if isinstance(fault, Link) and fault.service == service), None)
    port = before.port if before else hidden_port(settings, known, _public_port(settings, service))
    mode_of: Any = mode
    return Link(service=service, mode=mode_of, seconds=seconds, path=path, share=share, port=port)


def new_setting(service: str, assignment: str) -> Setting:
    """Return a setting given as NAME=VALUE. Raise a ClientError."""
    name, equals, value = assignment.partition("=")
    if not equals or not name.replace("_", "").isalnum() or name.upper() != name:
        raise ClientError(f"{assignment!r} is no setting: write NAME=VALUE, such as PROCESSOR_LATENCY_MS=1900.")
    if name in KEPT:
        raise ClientError(f"{name} belongs to the local stack: change another variable.")
    return Setting(service=service, name=name, value=value)


def new_neighbor(settings: LocalSettings, known: Iterable[Fault], name: str, seconds: float, every: float) -> Neighbor:
    """Return a neighbor of that name. Raise a ClientError."""
    if name not in NEIGHBORS:
        raise ClientError(f"there is no neighbor {name!r}. Name one of {', '.join(NEIGHBORS)}.")
    if seconds >= every:
        raise ClientError(f"it cannot hold something for {seconds:g} s every {every:g} s: let --every be longer.")
    return Neighbor(name=name, seconds=seconds, every=every, port=hidden_port(settings, known, 8090))


def hidden_port(settings: LocalSettings, known: Iterable[Fault], near: int) -> int:
    """Return a free port that no process of the stack has or will have."""
    given = {fault.port for fault in known if isinstance(fault, Link | Neighbor)}
    return free_port(near, {*settings.ports().values(), *given})


def rule_file(settings: LocalSettings, service: str) -> Path:
    """Return the file from which a link reads its rule."""
    return folder(settings) / f"link-{service}.json"


def record_file(settings: LocalSettings, service: str) -> Path:
    """Return the file with a line for each request that a link has hurt."""
    return folder(settings) / f"link-{service}.jsonl"


def hurt(settings: LocalSettings, service: str) -> list[dict[str, Any]]:
    """Return what a link has written down: `at` (µs), `kind`, `method`, `path`, `trace_id`, `span_id` (the CLIENT)."""
    try:
        lines = record_file(settings, service).read_text().splitlines()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines]


def processes(settings: LocalSettings, faults: Iterable[Fault]) -> dict[str, WantedProcess]:
    """Return what the faults want of the processes, by their names."""
    wanted: dict[str, dict[str, Any]] = {}
    for fault in faults:
        for name, change in _changes(settings, fault).items():
            one = wanted.setdefault(name, {})
            change["environment"] = one.get("environment", {}) | change.get("environment", {})
            one.update(change)
    return {name: WantedProcess(**change) for name, change in wanted.items()}


def _changes(settings: LocalSettings, fault: Fault) -> Mapping[str, dict[str, Any]]:
    match fault:
        case Release():
            # The repository is the working directory: -m puts it first, and gunicorn does unless it is there.
            path = os.pathsep.join([str(fault.folder), str(ROOT)])
            environment = {"PYTHONSAFEPATH": "1", "PYTHONPATH": path}
            return {REGISTRY[fault.service].host: {"environment": environment}}
        case Setting():
            return {REGISTRY[fault.service].host: {"environment": {fault.name: fault.value, **dict(fault.also)}}}
        case Link():
            return _link(settings, fault)
        case Neighbor():
            return {fault.name: _neighbor(settings, fault)}
        case Data():
            return {}


def _link(settings: LocalSettings, link: Link) -> dict[str, dict[str, Any]]:
    public = _public_port(settings, link.service)
    files = (rule_file(settings, link.service), record_file(settings, link.service))
    command = [sys.executable, "-m", "labs.link", str(public), str(link.port), *map(str, files)]
    if link.service == CACHE:
        at, behind = f"redis://{HOST}:{public}", f"redis://{HOST}:{link.port}"
        moved = {"environment": {"CACHE_PORT": str(link.port)}, "ready": behind, "live": behind}
        return {CACHE: moved, f"link-{CACHE}": {"command": (*command, "--tcp"), "ready": at}}
    host, behind = REGISTRY[link.service].host, f"http://{HOST}:{link.port}"
    return {
        host: {
            "environment": {"PORT": str(link.port)},
            "ready": f"{behind}/readyz",
            "live": f"{behind}/healthz",
        },
        f"link-{link.service}": {
            "command": tuple(command),
            "ready": f"http://{HOST}:{public}/readyz",
            "environment": {"WAYBILL_DATA": str(settings.waybill_data)},
        },
    }


def _neighbor(settings: LocalSettings, neighbor: Neighbor) -> dict[str, Any]:
    (inventory,) = (row for row in process_table(settings) if row.name == "inventory-service")
    module = neighbor.name.replace("-", "_")
    at = f"http://{HOST}:{neighbor.port}"
    return {
        "command": (
            *(sys.executable, "-m", "gunicorn", "-c", "python:app.gunicorn_conf"),
            f"labs.neighbors.{module}:create_app()",
        ),
        "environment": {
            **inventory.environment,
            "PORT": str(neighbor.port),
            "THREADS": "2",
            "REPORT_SECONDS": f"{neighbor.seconds:g}",
            "REPORT_EVERY": f"{neighbor.every:g}",
        },
        "ready": f"{at}/readyz",
        "live": f"{at}/healthz",
    }


def _public_port(settings: LocalSettings, service: str) -> int:
    return settings.cache_port if service == CACHE else settings.port(service)
