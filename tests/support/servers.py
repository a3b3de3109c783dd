"""Servers that tests start for themselves."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def free_port() -> int:
    """A TCP port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def postgresql_server() -> Iterator[str]:
    """Run a PostgreSQL server in a folder of its own; its SQLAlchemy URL, without a database.

    Raises FileNotFoundError where PostgreSQL is not installed.
    """
    binaries = _postgresql_binaries()
    # A short path, since it holds a Unix socket; its own user, since PostgreSQL refuses to run as root.
    folder = Path(tempfile.mkdtemp(prefix="waybill-pg-"))
    user = "nobody" if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user)
    port = free_port()

    def run(program: str, *arguments: str) -> None:
        subprocess.run([binaries / program, *arguments], user=user, cwd=folder, check=True, stdout=subprocess.DEVNULL)

    data = str(folder / "data")
    run("initdb", "-D", data, "-U", "waybill", "-A", "trust", "-N", "--no-instructions")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -k {folder} -c fsync=off -c max_connections=200"
    run("pg_ctl", "-D", data, "-l", str(folder / "log"), "-o", options, "-w", "start")
    try:
        yield f"postgresql+psycopg://waybill@127.0.0.1:{port}"
    finally:
        run("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder)


def create_database(server: str, name: str) -> str:
    """Make an empty database of a name no other has on `server`; its URL."""
    import psycopg

    unique = f"{name}_{os.urandom(4).hex()}"
    with psycopg.connect(server.replace("+psycopg", "") + "/postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{unique}"')  # type: ignore[arg-type]
    return f"{server}/{unique}"


def _postgresql_binaries() -> Path:
    on_path = shutil.which("pg_ctl")
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    found = [Path(on_path).resolve()] if on_path else installed[-1:]
    if not found:
        raise FileNotFoundError("PostgreSQL is not installed (Debian: apt install postgresql)")
    return found[0].parent
