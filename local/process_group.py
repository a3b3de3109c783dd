"""The process group of everything that a supervisor starts, which does not outlive it, even by `kill -9`."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Collection

import psutil

# `read` returns when the last writer of its pipe, which is the supervisor, is gone, however it went.
# Linux's PR_SET_PDEATHSIG would do the same there alone, and not for the workers that gunicorn forks.
GUARD = ("/bin/sh", "-c", "trap '' HUP INT TERM; read _; kill -KILL 0")


class ProcessGroup:
    """A group led by a guard; children join it as they are started, and their own children inherit it."""

    def __init__(self) -> None:
        self.guard: subprocess.Popen[bytes] | None = None
        self.id = 0

    def keep_guard(self) -> None:
        """Start the guard, and a new one in its place should something kill it."""
        if self.guard and self.guard.poll() is None:
            return
        for group in (self.id, 0):  # 0: a group of its own
            with contextlib.suppress(PermissionError):  # the old group is empty
                self.guard = subprocess.Popen(GUARD, stdin=subprocess.PIPE, process_group=group)  # noqa: S603
                self.id = os.getpgid(self.guard.pid)
                return

    def kill_orphans(self, living: Collection[int]) -> None:
        """Kill the members that are neither among the `living` children nor children of a member.

        A gunicorn worker notices the death of its master within a second, and holds the port until then.
        """
        parents: dict[int, int] = {}
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if os.getpgid(process.pid) == self.id:
                    parents[process.pid] = process.ppid()
        for pid, parent in parents.items():
            if parent not in parents and pid not in {self.id, *living}:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def kill(self) -> None:
        """Kill every member immediately, including the guard."""
        if self.guard:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.id, signal.SIGKILL)
            self.guard.communicate()
