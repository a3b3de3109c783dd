"""Start and stop of a process of a service: the same under gunicorn, `flask run` and the service's own commands."""

import signal
import sys
from weakref import WeakKeyDictionary

import click
from flask import Flask
from flask.helpers import get_debug_flag
from werkzeug.serving import is_running_from_reloader

from . import background, telemetry
from .background import Task

TASKS_TIMEOUT = 0.5
TELEMETRY_TIMEOUT = 1.5
"""Seconds. A gunicorn worker ends 5 s after SIGTERM, with or without a telemetry backend: gunicorn has waited 2 s for
kept connections when it calls `stop`."""

_tasks: WeakKeyDictionary[Flask, tuple[Task, ...]] = WeakKeyDictionary()


def init_app(app: Flask, tasks: tuple[Task, ...]) -> None:
    """Let `start` run `tasks`. A process of the `flask` command starts and stops by itself, other servers call both."""
    _tasks[app] = tasks
    command = click.get_current_context(silent=True)
    if command is None:
        return
    command.find_root().call_on_close(stop)
    if command.info_name == "run" and _serves(command):
        # Without a handler, SIGTERM ends the process before anything is stopped.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        start()


def start() -> None:
    """Start the background tasks of the apps of this process; call it after the fork, since threads do not survive."""
    for app, tasks in _tasks.items():
        background.start(app, tasks)


def stop() -> None:
    """Let the background tasks finish what they are doing, then send the telemetry that is still queued."""
    background.stop(TASKS_TIMEOUT)
    telemetry.shutdown(TELEMETRY_TIMEOUT)


def _serves(run: click.Context) -> bool:
    """Return whether this process of `flask run` serves requests: with a reloader, its parent makes the app too."""
    reload = run.params.get("reload")
    return is_running_from_reloader() or not (get_debug_flag() if reload is None else reload)
