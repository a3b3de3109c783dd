"""Work that runs beside the requests of a process, such as resuming what a dead process left."""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import Event, Thread

from flask import Flask

logger = logging.getLogger(__name__)

_stopping = Event()
_threads: list[Thread] = []


@dataclass(frozen=True)
class Task:
    """`run` is called every `interval` seconds, and again immediately while it returns true.

    It has a thread and an app context of its own; an exception is logged and does not end the task.
    """

    name: str
    interval: float
    run: Callable[[], bool]


def start(app: Flask, tasks: Iterable[Task]) -> None:
    """Start the tasks of `app`, each in a thread of its own."""
    _stopping.clear()
    for task in tasks:
        thread = Thread(target=_loop, args=(app, task), name=task.name, daemon=True)
        _threads.append(thread)
        thread.start()


def stop(timeout: float) -> None:
    """Signal the tasks to stop and wait `timeout` seconds in all until they have finished what they are doing."""
    _stopping.set()
    ends = time.monotonic() + timeout
    for thread in _threads:
        thread.join(max(0.0, ends - time.monotonic()))
    _threads.clear()


def _loop(app: Flask, task: Task) -> None:
    while not _stopping.wait(task.interval):
        try:
            more = True
            while more and not _stopping.is_set():
                with app.app_context():
                    more = task.run()
        except Exception:
            logger.exception("background task %s failed; it runs again in %s s", task.name, task.interval)
