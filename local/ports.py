"""Which ports are taken, and by whom."""

import contextlib
import socket
from collections.abc import Mapping

import psutil

from local.settings import HOST


def taken_ports(ports: Mapping[str, int]) -> list[str]:
    """Give a line per port (variable -> port) that cannot be listened on: who has it and what moves it."""
    lines = []
    for variable, port in ports.items():
        if sharing := [other for other, its in ports.items() if its == port and other != variable]:
            lines.append(f"{port} is asked for by {variable} and {', '.join(sharing)}: give each its own")
        elif reason := _refusal(port):
            free = port + 10_000 if port < 50_000 else port - 10_000
            lines.append(f"{port} {reason}: set {variable} to move it, e.g. {variable}={free}")
    return lines


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
            return f"is taken by {_holder(port)}"
    return None


def _holder(port: int) -> str:
    # Asked process by process: macOS refuses the whole list to all but root.
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            for connection in process.net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
                    return f"pid {process.pid} ({' '.join(process.cmdline())[:80]})"
    return "a process of another user"
