"""Which ports are taken, by whom, and which are free instead."""

import contextlib
import json
import socket
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import psutil

from local.settings import HOST

EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
LOWEST_EPHEMERAL = 32768
"""Linux's default; other systems start at 49152."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Who listens on a port; `folder` and `data` are those of the Waybill stack that it is a process of, if any."""

    pid: int
    command: str
    folder: Path | None = None
    data: Path | None = None

    def __str__(self) -> str:
        if self.folder:
            return f"a Waybill stack of {self.folder} (pid {self.pid}, data in {self.data})"
        return f"pid {self.pid} ({self.command[:80]})"


def taken_ports(ports: Mapping[str, int]) -> list[str]:
    """Return a line per port (variable -> port) that cannot be listened on: who has it and what moves it."""
    lines = []
    listening = None
    free: set[int] = set()
    for variable, port in ports.items():
        if sharing := [other for other, its in ports.items() if its == port and other != variable]:
            lines.append(f"{port} is asked for by {variable} and {', '.join(sharing)}: give each its own")
        elif reason := _refusal(port):
            if reason == "is used by":
                listening = listeners(ports.values()) if listening is None else listening
                reason += f" {listening.get(port, 'a process of another user')}"
            free.add(instead := free_port(port, {*ports.values(), *free}))
            lines.append(f"{port} {reason}: set {variable} to move it, e.g. {variable}={instead}")
    return lines


def free_port(port: int, others: Collection[int]) -> int:
    """Return a port that is free and none of `others`, best `port` + 10,000.

    It is below the ephemeral range, where any outgoing connection could take it before a server does.
    """
    end = min(_lowest_ephemeral(), 65_536)
    for candidate in chain(range(port + 10_000, end), range(10_000, end), range(1024, min(10_000, end))):
        if candidate not in others and not _refusal(candidate):
            return candidate
    with socket.create_server((HOST, 0)) as any_port:  # the whole range is ephemeral
        anything: int = any_port.getsockname()[1]
        return anything


def listeners(ports: Iterable[int]) -> dict[int, Listener]:
    """Return who listens on these ports, as far as this user can see."""
    wanted = {port for port in ports if _refusal(port)}
    found = {}
    for pid, port in _listening() if wanted else ():
        if port in wanted:
            with contextlib.suppress(psutil.Error, OSError):
                found[port] = _listener(psutil.Process(pid))
    return found


def _listening() -> Iterator[tuple[int, int]]:
    """Return (pid, port) of each listening socket."""
    try:
        for of_all in psutil.net_connections("tcp"):
            if of_all.status == psutil.CONN_LISTEN and of_all.pid and of_all.laddr:
                yield of_all.pid, of_all.laddr.port
    except psutil.AccessDenied:  # macOS refuses the whole list to all but root
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                for of_one in process.net_connections("tcp"):
                    if of_one.status == psutil.CONN_LISTEN and of_one.laddr:
                        yield process.pid, of_one.laddr.port


def _listener(process: psutil.Process) -> Listener:
    """Name the process, or the stack if the data folder in its environment lists it or its gunicorn's master."""
    command = " ".join(process.cmdline())
    with contextlib.suppress(psutil.Error, OSError, ValueError, KeyError):
        data = Path(process.environ()["WAYBILL_DATA"])
        pids = json.loads((data / "processes.json").read_text()).values()
        if process.pid in pids or process.ppid() in pids:
            supervisor = int((data / "lock").read_text())
            return Listener(supervisor, command, Path(process.cwd()), data)
    return Listener(process.pid, command)


def _lowest_ephemeral() -> int:
    try:
        return int(EPHEMERAL.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return LOWEST_EPHEMERAL


def _refusal(port: int) -> str | None:
    with socket.socket() as probe:
        # As servers do: connections of a stack that has just stopped (TIME_WAIT) do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen()
        except PermissionError:
            return "is kept for root"
        except OSError:
            return "is used by"
    return None
