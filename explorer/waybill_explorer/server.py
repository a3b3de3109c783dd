"""The server: one gunicorn worker with threads for both HTTP ports, the gRPC server, the writer."""

import logging
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from flask import Flask, Response, request
from google.rpc.code_pb2 import Code
from gunicorn.app.base import BaseApplication
from gunicorn.http.errors import ParseException

from waybill_explorer import store
from waybill_explorer.api import USAGE, error_response, read_api
from waybill_explorer.extensions import load_extensions
from waybill_explorer.hosts import is_allowed
from waybill_explorer.page import explorer, page_config
from waybill_explorer.receiver import otlp_answer, otlp_grpc, otlp_http, status_message
from waybill_explorer.settings import HOST, Settings
from waybill_explorer.transfer.routes import transfer_api

STOP_SECONDS = 4
THREADS = 16
MAX_DISCARDED = 64 * 2**20
CHUNK = 2**16


class Server(BaseApplication):
    """The gunicorn application; all that has threads starts in its worker, after the fork."""

    def __init__(self, settings: Settings, listeners: list[socket.socket]) -> None:
        self.settings = settings
        self.listeners = listeners
        self.extensions = load_extensions(settings.waybill_extensions)
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
            "proc_name": "waybill-explorer",
            "worker_exit": lambda _server, _worker: self.stop(),
        }.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        settings = self.settings
        self.writer = store.Writer(settings.database, settings.waybill_queue_bytes, settings.waybill_retention_bytes)
        self.grpc = otlp_grpc(self.writer, f"{HOST}:{settings.otlp_grpc_port}")
        app = Flask(__package__, static_folder=None)
        app.before_request(lambda: refuse_other_hosts(settings.waybill_allowed_hosts.lower().split()))
        app.after_request(discard_body)
        app.register_blueprint(otlp_http(self.writer, settings.waybill_cors_origins))
        app.register_blueprint(read_api(self.writer))
        app.register_blueprint(transfer_api(self.writer))
        names = [extension.name for extension in self.extensions]
        for extension in self.extensions:
            app.register_blueprint(extension)
        app.register_blueprint(explorer(USAGE, page_config(settings, names), names))
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


def discard_body(response: Response) -> Response:
    """Read what a refused request still sends: gunicorn would close the connection, and the answer could get lost."""
    with suppress(OSError, ParseException):
        for _ in range(MAX_DISCARDED // CHUNK):
            if not request.environ["wsgi.input"].read(CHUNK):
                break
    return response


def run(settings: Settings, when_listening: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT; `when_listening` is called once the ports are bound. Exit if that fails."""
    try:
        store.prepare(settings.database)
    except store.UnusableStore as error:
        sys.exit(f"waybill-explorer: {error}")
    listeners = [_listen(settings.otlp_http_port, "OTLP_HTTP_PORT", "--http-port")]
    listeners.append(_listen(settings.traces_port, "TRACES_PORT", "--port"))
    # gRPC binds its port in the worker, and its own error is less clear.
    _listen(settings.otlp_grpc_port, "OTLP_GRPC_PORT", "--grpc-port").close()
    when_listening()
    Server(settings, listeners).run()


def _listen(port: int, variable: str, option: str) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        sys.exit(
            f"Port {port} cannot be used ({error.strerror}): free it or choose another with {variable} or {option}."
        )
    listener.listen(1024)
    return listener
