"""`python -m local.backend`: one gunicorn worker with threads for both HTTP ports, the gRPC server, the writer."""

import argparse
import logging
import socket
import sys
from pathlib import Path
from typing import Any

from flask import Flask, Response, request
from google.rpc.code_pb2 import Code  # type: ignore[import-untyped]
from gunicorn.app.base import BaseApplication
from pydantic import ValidationError

from local.backend import store
from local.backend.api import USAGE, error_response, read_api
from local.backend.hosts import is_allowed
from local.backend.page import explorer
from local.backend.receiver import otlp_answer, otlp_grpc, otlp_http, status_message
from local.settings import HOST, LocalSettings

STOP_SECONDS = 4
THREADS = 16


class Backend(BaseApplication):
    """The gunicorn application; all that has threads starts in its worker, after the fork."""

    def __init__(self, settings: LocalSettings, listeners: list[socket.socket]) -> None:
        self.settings = settings
        self.listeners = listeners
        super().__init__()

    def load_config(self) -> None:
        for name, value in {
            "bind": [f"fd://{listener.fileno()}" for listener in self.listeners],
            "worker_class": "gthread",
            "workers": 1,
            "threads": THREADS,
            "keepalive": 30,
            "control_socket_disable": True,  # its default path is one for all gunicorns of a user
            "graceful_timeout": STOP_SECONDS,
            "loglevel": "warning",
            "proc_name": "waybill-backend",
            "worker_exit": lambda _server, _worker: self.stop(),
        }.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        settings = self.settings
        self.writer = store.Writer(database(settings), settings.waybill_queue_bytes, settings.waybill_retention_bytes)
        self.grpc = otlp_grpc(self.writer, f"{HOST}:{settings.otlp_grpc_port}")
        app = Flask("local.backend", static_folder=None)
        app.before_request(lambda: refuse_other_hosts(settings.waybill_allowed_hosts.lower().split()))
        app.register_blueprint(otlp_http(self.writer, settings.waybill_cors_origins))
        app.register_blueprint(read_api(self.writer))
        app.register_blueprint(explorer(USAGE, f"http://{HOST}:{settings.order_port}/"))
        logging.getLogger(__name__).info("ready, data in %s", settings.waybill_data)
        return app

    def stop(self) -> None:
        """Answer what is under way, store it, close the file."""
        self.grpc.stop(grace=1).wait()
        self.writer.close()


def refuse_other_hosts(names: list[str]) -> Response | None:
    """Answer 421 to a request for a host that is not this machine's, in the error format of the route."""
    host = request.headers.get("Host", "")
    if is_allowed(host, names):
        return None
    text = f"host {host!r:.200} is not allowed here: use localhost, or add it to WAYBILL_ALLOWED_HOSTS"
    if request.path.startswith("/v1/"):
        return otlp_answer(421, status_message(Code.INVALID_ARGUMENT, text))
    return error_response(421, text)


def database(settings: LocalSettings) -> Path:
    """Give the path of the SQLite file."""
    return settings.waybill_data / "telemetry.db"


def listen(settings: LocalSettings, variable: str) -> socket.socket:
    """Take the port a variable names; ends the process with one line when it is taken."""
    port = getattr(settings, variable.lower())
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        sys.exit(f"Port {port} cannot be used ({error.strerror}): free it or choose another with {variable}.")
    listener.listen(1024)
    return listener


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    argparse.ArgumentParser(
        prog="python -m local.backend",
        description="Keep the OpenTelemetry data that is sent here, and show it, until Ctrl-C.",
        epilog="Ports, folder and limits come from the environment: local/backend/README.md names the variables.",
    ).parse_args()
    logging.basicConfig(level=logging.INFO, format="local backend: %(message)s", stream=sys.stderr)
    try:
        settings = LocalSettings()
        store.prepare(database(settings))
    except (ValidationError, store.UnusableStore) as error:
        sys.exit(f"local backend: {error}")
    listeners = [listen(settings, "OTLP_HTTP_PORT"), listen(settings, "TRACES_PORT")]
    listen(
        settings, "OTLP_GRPC_PORT"
    ).close()  # gRPC binds it in the worker and would say less clearly that it is taken
    Backend(settings, listeners).run()


if __name__ == "__main__":
    main()
