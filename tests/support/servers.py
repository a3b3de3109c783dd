"""Servers that tests start for themselves."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any

import psycopg
from flask import Flask
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from tests.support.waiting import until


def free_port() -> int:
    """A TCP port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class QuietHandler(WSGIRequestHandler):
    """Logs nothing: werkzeug's log handler keeps the stderr that it began with, which may be that of another test."""

    def log(self, type: str, message: str, *args: Any) -> None:
        """Do nothing."""


def quiet_server(port: int, app: Flask) -> BaseWSGIServer:
    """A server of `app` on a port (0: any free one), a thread for each request; the caller starts and stops it."""
    return make_server("127.0.0.1", port, app, threaded=True, request_handler=QuietHandler)


# `read` returns when the other end of its pipe is closed, which the end of the tests does too, even by `kill -9`. A
# process group would not do, since PostgreSQL's processes leave it. SIGQUIT is its "immediate shutdown".
GUARD = """
exec 3<&0; folder=$1; shift
"$@" & server=$!
{ read _ <&3; kill -QUIT $server; } 2>/dev/null &
wait $server; rm -rf "$folder"
"""


@contextmanager
def postgresql_server() -> Iterator[str]:
    """Run a PostgreSQL server in a folder of its own; its SQLAlchemy URL, without a database.

    Server and folder do not outlive this process. Raises FileNotFoundError where PostgreSQL is not installed.
    """
    binaries = postgresql_binaries()
    # A short path, since it holds a Unix socket; its own user, since PostgreSQL refuses to run as root.
    folder = Path(tempfile.mkdtemp(prefix="waybill-pg-"))
    user = "nobody" if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user)
    data = folder / "data"
    initdb = [str(binaries / "initdb"), "-D", str(data), "-U", "waybill", "-A", "trust", "-N", "--no-instructions"]
    subprocess.run(initdb, user=user, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    port = free_port()
    options = ("listen_addresses=127.0.0.1", f"unix_socket_directories={folder}", "fsync=off", "max_connections=200")
    settings = [text for option in options for text in ("-c", option)]
    server = [str(binaries / "postgres"), "-D", str(data), "-p", str(port), *settings]
    command = ["/bin/sh", "-c", GUARD, "sh", str(folder), *server]
    with tempfile.TemporaryFile() as log:
        guard = subprocess.Popen(
            command, user=user, cwd=folder, stdin=subprocess.PIPE, stdout=log, stderr=log, process_group=0
        )

        def ready() -> bool:
            if guard.poll() is not None:
                log.seek(0)
                raise RuntimeError(f"PostgreSQL ended before it was ready:\n{log.read().decode()}")
            with suppress(psycopg.OperationalError):
                psycopg.connect(f"postgresql://waybill@127.0.0.1:{port}/postgres").close()
                return True
            return False

        try:
            until(ready)
            yield f"postgresql+psycopg://waybill@127.0.0.1:{port}"
        finally:
            guard.communicate()


def create_database(server: str, name: str) -> str:
    """Make an empty database of a name no other has on `server`; its URL."""
    unique = f"{name}_{os.urandom(4).hex()}"
    with psycopg.connect(server.replace("+psycopg", "") + "/postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{unique}"')
    return f"{server}/{unique}"


def postgresql_binaries() -> Path:
    """The folder of PostgreSQL's programs; raises FileNotFoundError where it is not installed."""
    on_path = shutil.which("pg_ctl")
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    found = [Path(on_path).resolve()] if on_path else installed[-1:]
    if not found:
        raise FileNotFoundError("PostgreSQL is not installed (Debian: apt install postgresql)")
    return found[0].parent


@contextmanager
def valkey_server() -> Iterator[str]:
    """Run a Valkey stand-in on a free port; its URL."""
    from fakeredis import TcpFakeServer

    port = free_port()
    server = TcpFakeServer(("127.0.0.1", port), server_type="valkey")
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"redis://127.0.0.1:{port}/0"
    server.shutdown()
    server.server_close()
    thread.join()
