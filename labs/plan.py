"""What is on: the faults, in the wanted state of the supervisor, which brings the processes to it."""

import fcntl
import json
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from labs import announce, data, faults, releases
from labs.faults import Data, Fault, Link, Neighbor, Release
from local import containers, data_folder, wanted
from local.registry import REGISTRY
from local.settings import LocalSettings
from local.wanted import Wanted, WantedProcess
from waybill_explorer.client import ClientError

POLL_SECONDS = 0.1
NOT_RUNNING = "no local stack runs here: start it with `make demo` in another terminal."
NO_CONTAINERS = (
    "the container stack is up, and it has no labs yet: they run on the local stack alone. Stop it with `make down`, "
    "then run `make demo` in another terminal."
)


class Plan(BaseModel):
    """What is on, and until when (seconds since the epoch). It is kept in the notes of the wanted state."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    faults: tuple[Fault, ...] = ()
    others: tuple[Fault, ...] = ()
    """Changes of the same day that do no harm."""
    more: Mapping[str, WantedProcess] = {}
    """Other processes, such as the load of a lab."""
    attempt: str = ""
    """The id of the attempt at a lab to which this belongs, "" for a presenter's faults."""
    ends_at: float
    says: str
    off: str

    def with_fault(self, fault: Fault) -> "Plan":
        """Return the plan with one more fault, or with this one in place of the one with its key."""
        harmless = fault.key in {other.key for other in self.others}
        rest = self.without(fault.key)
        if harmless:
            return rest.model_copy(update={"others": (*rest.others, fault)})
        return rest.model_copy(update={"faults": (*rest.faults, fault)})

    def without(self, *keys: str) -> "Plan":
        """Return the plan without the changes of these keys."""
        rest = {
            "faults": tuple(fault for fault in self.faults if fault.key not in keys),
            "others": tuple(other for other in self.others if other.key not in keys),
        }
        return self.model_copy(update=rest)

    @property
    def changes(self) -> tuple[Fault, ...]:
        """Return all that differs from the stack without a plan."""
        return (*self.faults, *self.others)


def current(settings: LocalSettings) -> Plan | None:
    """Return what is on, or None. Raise a ClientError if the file cannot be used."""
    try:
        found = wanted.read(settings.waybill_data)
        return Plan.model_validate(found.notes) if found else None
    except ValueError as error:
        raise ClientError(f"{error}. Remove the file to begin again.") from error


def is_running(folder: Path) -> bool:
    """Return whether a stack runs on a data folder."""
    try:
        with (folder / "lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def not_running() -> str:
    """Return what to do where no local stack runs; that of the containers has no labs."""
    return NO_CONTAINERS if containers.listed() else NOT_RUNNING


def bring(settings: LocalSettings, plan: Plan | None) -> None:
    """Bring the stack to a plan, None being the stack as it is without any; return once all processes are ready.

    The deploy log tells of what has changed. If a process cannot start, the plan from before is put back. Raise a
    ClientError that says why.
    """
    if not is_running(settings.waybill_data):
        raise ClientError(NOT_RUNNING)
    before = current(settings)
    with exclusive(settings):
        # First: if that fails, the plan is still on, and the next attempt undoes it.
        undo_data(settings, before, plan)
        try:
            _put(settings, plan)
        except ClientError:
            _put(settings, before)
            undo_data(settings, plan, before)
            _clean_up(settings, plan, before)
            raise
    _clean_up(settings, before, plan)
    announce.announce(settings, texts(before, plan))


def clear(settings: LocalSettings) -> None:
    """Remove what is on, also if the stack no longer runs. Raise a ClientError if something cannot be undone."""
    if is_running(settings.waybill_data):
        bring(settings, None)
        return
    before = current(settings)
    undo_data(settings, before, None)
    wanted.write(settings.waybill_data, None)
    _clean_up(settings, before, None)


@contextmanager
def exclusive(settings: LocalSettings) -> Iterator[None]:
    """Let one command at a time change the plan. Raise a ClientError if another one does."""
    folder = faults.folder(settings)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ClientError("another command changes the processes at this moment: try again soon.") from None
        yield


def _put(settings: LocalSettings, plan: Plan | None) -> None:
    if plan is None:
        wanted.write(settings.waybill_data, None)
        _wait(settings, "")
        return
    for fault in plan.faults:
        if isinstance(fault, Link):
            rule = {"kind": fault.mode, **fault.model_dump(include={"share", "path", "seconds"})}
            data_folder.write(faults.rule_file(settings, fault.service), json.dumps(rule) + "\n")
    state = Wanted(
        id=uuid.uuid4().hex,
        ends_at=plan.ends_at,
        says=plan.says,
        off=plan.off,
        processes={**faults.processes(settings, plan.changes), **plan.more},
        undo=tuple(_undo(fault) for fault in plan.faults if isinstance(fault, Data)),
        notes=plan.model_dump(mode="json"),
    )
    wanted.write(settings.waybill_data, state)
    _wait(settings, state.id)


def _undo(fault: Data) -> tuple[str, ...]:
    return (data.PYTHON, "-m", "labs.data", str(fault.file))


def _wait(settings: LocalSettings, identity: str) -> None:
    """Wait until the supervisor has seen the file and all processes are ready, however slow the machine is."""
    while True:
        if not is_running(settings.waybill_data):
            raise ClientError("the local stack was stopped meanwhile: start it with `make demo`.")
        state = wanted.state(settings.waybill_data)
        if state and state.id == identity:
            if state.given_up:
                lines = (f"{name} cannot start: {_reason(last)}" for name, last in state.given_up.items())
                raise ClientError(" ".join(lines))
            if not state.waiting:
                return
        time.sleep(POLL_SECONDS)


def _reason(last_words: str) -> str:
    """Return what is no JSON log record in the last words of a process: the error, and the name of its log."""
    lines = [line.strip(" |") for line in last_words.splitlines()]
    return "; ".join(line for line in lines if line and not line.startswith("{"))


def _ended(before: Plan | None, after: Plan | None) -> list[Fault]:
    """Return the faults that are no longer on."""
    kept = {fault.key for fault in after.faults} if after else set()
    return [fault for fault in before.faults if fault.key not in kept] if before else []


def undo_data(settings: LocalSettings, before: Plan | None, after: Plan | None) -> None:
    """Undo the changes of data that are no longer on; what is undone already stays so. Raise a ClientError."""
    for fault in _ended(before, after):
        if isinstance(fault, Data):
            data.restore(settings, fault.file)


def _clean_up(settings: LocalSettings, before: Plan | None, after: Plan | None) -> None:
    """Remove the rules of links that are no longer on."""
    for fault in _ended(before, after):
        if isinstance(fault, Link):
            faults.rule_file(settings, fault.service).unlink(missing_ok=True)


def texts(before: Plan | None, after: Plan | None) -> Iterable[tuple[str, str]]:
    """Yield what the deploy log says of a change: (name of what was deployed, text)."""
    old, new = (set(plan.changes) if plan else set() for plan in (before, after))
    for fault in sorted(old ^ new, key=lambda fault: fault.key):
        began = fault in new
        if isinstance(fault, Neighbor):
            yield fault.name, f"{fault.name} {'deployed' if began else 'stopped'}"
            continue
        host = REGISTRY[fault.service].host if fault.service in REGISTRY else fault.service
        if isinstance(fault, Release) and began:
            yield host, f"{host} {fault.version} deployed"
        elif isinstance(fault, Release) and not any(fault.key == one.key for one in new):
            yield host, f"{host} {releases.base_version()} deployed"
        elif isinstance(fault, Data):
            yield host, f"database job of {host} finished"
        elif not isinstance(fault, Release):
            yield host, f"{host} restarted"
