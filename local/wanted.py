"""The wanted state: how the processes of the stack are to differ from the process table, until a time.

One file in the data folder. Its owner replaces it as a whole, the supervisor brings the processes to it and reports
beside it how far it is. Without the file, the processes are those of the table.
"""

import os
import subprocess
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from local import data_folder
from local.processes import ProcessSpec
from local.settings import ROOT


class WantedProcess(BaseModel):
    """What one process gets instead of what its row of the table has; a new name is one more process."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    environment: Mapping[str, str] = {}
    """Added to that of the row."""
    command: tuple[str, ...] = ()
    ready: str | None = None
    """As in ProcessSpec; of a new process without it, running is enough."""
    live: str | None = None

    def applied_to(self, base: ProcessSpec) -> ProcessSpec:
        """Return the row with these differences."""
        return replace(
            base,
            environment={**base.environment, **self.environment},
            command=self.command or base.command,
            ready=self.ready or base.ready,
            live=self.live or base.live,
        )


class Wanted(BaseModel):
    """The file: the processes that differ, by name, and when that ends."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    """Another one each time the file is written."""
    ends_at: float
    """Seconds since the epoch. The supervisor then removes the file."""
    says: str
    """What `waybill doctor` reports, and `off`, what it advises."""
    off: str
    processes: Mapping[str, WantedProcess] = {}
    undo: tuple[tuple[str, ...], ...] = ()
    """Commands that undo what is not a process, run when the supervisor removes the file. Each can run twice."""
    notes: Any = None
    """Its owner's."""


class State(BaseModel):
    """How far the supervisor is: `id` is that of the file it has seen last, "" for none."""

    id: str = ""
    waiting: tuple[str, ...] = ()
    """The processes that are not ready yet."""
    given_up: Mapping[str, str] = {}
    """The processes that cannot start -> the last lines of their logs."""


def file(data: Path) -> Path:
    """Return the path of the file."""
    return data / "wanted.json"


def read(data: Path) -> Wanted | None:
    """Return the wanted state, or None without the file. Raise ValueError if it cannot be used."""
    try:
        return Wanted.model_validate_json(file(data).read_bytes())
    except FileNotFoundError:
        return None
    except (ValidationError, OSError) as error:
        raise ValueError(f"{file(data)} cannot be used: {error}") from None


def write(data: Path, wanted: Wanted | None) -> None:
    """Replace the file, readable by its owner alone; None removes it. No reader sees half of it."""
    if wanted is None:
        file(data).unlink(missing_ok=True)
    else:
        data_folder.write(file(data), wanted.model_dump_json(indent=2) + "\n")


def state(data: Path) -> State | None:
    """Return what the supervisor reports, or None if no stack runs."""
    try:
        return State.model_validate_json(_state_file(data).read_bytes())
    except (OSError, ValidationError):
        return None


def report(data: Path, now: State | None) -> None:
    """Write what `state` reads; None removes it."""
    if now is None:
        _state_file(data).unlink(missing_ok=True)
    else:
        data_folder.write(_state_file(data), now.model_dump_json(indent=2) + "\n")


def drop(data: Path) -> list[str]:
    """Remove the file and run its commands of undo. Return what went wrong, one text for each command that failed."""
    try:
        wanted = read(data)
    except ValueError as error:
        write(data, None)
        return [str(error)]
    failures = []
    for command in wanted.undo if wanted else ():
        result = subprocess.run(  # noqa: S603 - a command of the owner of the data folder
            command, cwd=ROOT, env={**os.environ, "WAYBILL_DATA": str(data)}, capture_output=True, text=True
        )
        if result.returncode:
            failures.append(f"{' '.join(command)} failed:\n{result.stdout}{result.stderr}")
    write(data, None)
    return failures


def left(wanted: Wanted) -> str:
    """Return how much of its time is left, as `12 min`."""
    return f"{max(0, wanted.ends_at - time.time()) / 60:.0f} min"


def changes(wanted: Wanted | None, table: Mapping[str, ProcessSpec]) -> dict[str, ProcessSpec]:
    """Return the specs of all processes that are to run: those of the table, changed, and those added."""
    specs = dict(table)
    for name, process in (wanted.processes if wanted else {}).items():
        specs[name] = process.applied_to(table.get(name) or ProcessSpec(name=name, command=(), ready=None))
    return specs


def _state_file(data: Path) -> Path:
    return data / "wanted.state.json"
