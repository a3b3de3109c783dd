"""The data folder: every file of the local stack, marked as Waybill's, used by one stack at a time."""

import fcntl
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MARKER = "THIS_IS_WAYBILL_DATA"
PORTS = "ports.json"
"""The ports of the stack that runs on the folder, by the variable that moves each."""
TAKE_OVER_ATTEMPTS = 10


class StackError(SystemExit):
    """Why the local stack cannot do as asked; uncaught, it ends the command with its message and status 1."""


def write(path: Path, text: str) -> None:
    """Replace a file, readable by its owner alone. No reader sees half of it, and a killed process leaves no half."""
    temporary = path.with_suffix(f".{os.getpid()}.{threading.get_ident()}.tmp")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
        stream.write(text)
    temporary.replace(path)


@contextmanager
def private(data: Path) -> Iterator[None]:
    """Make `data` a Waybill data folder that only its owner can read, raising what `create` raises.

    Meanwhile this process, and so every child that inherits its umask, makes files of mode 0600 and folders of 0700,
    SQLite's and logs included. What an earlier stack has left in the folder is closed too.
    """
    before = os.umask(0o077)
    try:
        create(data)
        for path in (data.resolve(), *data.resolve().rglob("*")):
            # A file may go meanwhile, or belong to another user, whose it is then to close.
            with suppress(FileNotFoundError, PermissionError):
                if not path.is_symlink():
                    path.chmod(0o700 if path.is_dir() else 0o600)
        yield
    finally:
        os.umask(before)


def create(data: Path) -> None:
    """Make `data` a Waybill data folder; raise `StackError` when it is another's or cannot be written."""
    with _plain_errors(data):
        data.mkdir(parents=True, exist_ok=True)
        if not (data / MARKER).exists():
            # A backend that was started by hand writes here first: its file does not make the folder another's.
            if foreign := [file.name for file in data.iterdir() if not file.name.startswith("telemetry.db")]:
                raise StackError(
                    f"{data} is not a Waybill data folder (it holds {foreign[0]}): "
                    "set WAYBILL_DATA to a new or empty folder."
                )
            (data / MARKER).write_text("The local stack keeps its files here; `waybill reset` removes them all.\n")
        (data / "logs").mkdir(exist_ok=True)


@contextmanager
def locked(data: Path) -> Iterator[None]:
    """Hold the folder for one stack; raise `StackError` when another holds it. A dead holder holds nothing."""
    with _plain_errors(data):
        file = (data / "lock").open("a+")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise StackError(
                f"A local stack already runs on {data} (pid {file.read()}). Stop it with Ctrl-C in its terminal, "
                "or give this one its own WAYBILL_DATA and ports."
            ) from None
        with _plain_errors(data):
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
        yield


@contextmanager
def taken_over(data: Path, name: str) -> Iterator[None]:
    """Hold the place of one process, which a stack on this folder then leaves out; raise `StackError` if it is held."""
    with _plain_errors(data):
        file = (data / f"{name}.dev").open("a")
    with file:
        for attempt in range(TAKE_OVER_ATTEMPTS):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:  # a stack looks at this moment, or there is another holder
                if attempt + 1 == TAKE_OVER_ATTEMPTS:
                    raise StackError(
                        f"`waybill dev` already runs {name}. Stop it with Ctrl-C in its terminal."
                    ) from None
                time.sleep(0.05)
        yield


def is_taken_over(data: Path, name: str) -> bool:
    """Return whether a process holds the place of this one with `taken_over`. A dead holder holds nothing."""
    return _is_held(data / f"{name}.dev")


def running_ports(data: Path) -> dict[str, int]:
    """Return the ports of the stack that runs on this folder, by variable; nothing if none runs."""
    if not _is_held(data / "lock"):
        return {}
    try:
        ports: dict[str, int] = json.loads((data / PORTS).read_text())
    except (OSError, ValueError):  # it has only just started, or stops
        return {}
    return ports


def _is_held(path: Path) -> bool:
    """Return whether a process holds a lock on a file. A dead holder holds nothing."""
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def remove(data: Path) -> None:
    """Delete the folder; raise `StackError` when a stack runs on it or it is not Waybill's."""
    if not data.exists():
        return
    if not (data / MARKER).exists():
        raise StackError(f"{data} is not a Waybill data folder (no {MARKER} in it): nothing was removed.")
    for name in (file.stem for file in data.glob("*.dev")):
        if is_taken_over(data, name):
            raise StackError(f"`waybill dev` runs {name} on {data}. Stop it with Ctrl-C in its terminal.")
    with locked(data), _plain_errors(data):
        shutil.rmtree(data.resolve())


@contextmanager
def _plain_errors(data: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StackError(
            f"Cannot write in the data folder {data}: {error.strerror}. "
            "Make room or give access, or choose another folder with WAYBILL_DATA."
        ) from None
