"""Shift the wall clock of this process while it runs.

Python imports this module at its start because the folder is on PYTHONPATH. The offset in seconds is the sum of two
files in CHAOS_CLOCKS, if they exist: `all`, for every process of the service, and `<pid>`, for this one. Only Python's
wall clock shifts (time.time, datetime.now); the monotonic clock and the database's clock do not.
"""

import os
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

# time_machine imports pytest if it can, for a fixture that no service needs; that would cost each start 0.2 s.
modules = cast(dict[str, Any], sys.modules)
modules["pytest"] = None
import time_machine  # noqa: E402

del modules["pytest"]

FOLDER = Path(os.environ["CHAOS_CLOCKS"])
POLL_SECONDS = 0.1


class Clock:
    """The wall clock of this process; travel starts with the first offset, so until then nothing is patched."""

    def __init__(self) -> None:
        self._traveller: time_machine.Traveller | None = None
        self._offset = 0.0

    def set(self, offset: float) -> None:
        """Let the clock differ from the host's by `offset` seconds."""
        if offset == self._offset:
            return
        if self._traveller is None:
            self._traveller = time_machine.travel(timedelta(0)).start()
            time.time()  # the traveller's clock starts with its first reading
        self._traveller.shift(offset - self._offset)
        self._offset = offset

    def follow(self) -> None:
        """Read the files until the process ends."""
        while True:
            self.set(_seconds("all") + _seconds(str(os.getpid())))
            time.sleep(POLL_SECONDS)


def _seconds(name: str) -> float:
    try:
        return float((FOLDER / name).read_text())
    except FileNotFoundError:
        return 0.0


def start() -> None:
    """Follow the files in a thread."""
    threading.Thread(target=clock.follow, name="clock", daemon=True).start()


clock = Clock()
os.register_at_fork(after_in_child=start)  # threads do not outlive a fork, and gunicorn's workers are forks
start()
