"""gunicorn's settings for every service, which gunicorn reads with `-c python:` and the name of this module."""

import signal
from typing import Any

from . import lifecycle
from .config import ServerSettings, load_settings
from .logs import logging_config

_settings = load_settings(ServerSettings)

bind = f"{_settings.host}:{_settings.port}"
workers = _settings.web_concurrency
# Threads get complete requests: a slow client cannot hold one.
worker_class = f"{__package__}.worker.Worker"
threads = _settings.threads
# The application is made in each worker: threads and sockets of telemetry do not outlive a fork.
preload_app = False
keepalive = 30
timeout = 30
DRAIN_TIMEOUT = 10
"""Seconds that requests in flight get on SIGTERM; then come the background tasks and the last telemetry."""
graceful_timeout = DRAIN_TIMEOUT + 4  # then the arbiter kills what is left of its workers
# Its default path is one for all services of a user.
control_socket_disable = True
# No field of a request sets SCRIPT_NAME or PATH_INFO, as gunicorn lets loopback clients do by default.
forwarder_headers = ""
# The worker sends files like other responses: it never blocks on a socket.
sendfile = False
logconfig_dict = logging_config(_settings.log_level, _settings.log_format)


def post_worker_init(worker: Any) -> None:
    """Start what runs beside the requests of a worker that has booted."""
    # Arbiter and worker read the same setting: a worker that drained for all of it would be killed before its exit.
    worker.cfg.set("graceful_timeout", DRAIN_TIMEOUT)
    worker.max_connection_age = _settings.max_connection_age
    lifecycle.start()


def worker_int(_worker: Any) -> None:
    """Let the exit that SIGINT or SIGQUIT began run to its end."""
    _ignore_signals()


def worker_exit(_server: Any, _worker: Any) -> None:
    """Stop what runs beside the requests of a worker that exits, and send its last telemetry."""
    _ignore_signals()
    lifecycle.stop()


def _ignore_signals() -> None:
    # Ctrl-C reaches a worker twice, from the terminal and from its arbiter: the second would lose the last telemetry.
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
