"""Processes that tests start, none of which outlives them, even a run that is killed."""

import atexit
import subprocess
from functools import cache
from typing import Any

from local.process_group import ProcessGroup


@cache
def _group() -> ProcessGroup:
    group = ProcessGroup()
    group.keep_guard()
    atexit.register(group.kill)
    return group


def start(command: list[Any], **options: Any) -> subprocess.Popen[Any]:
    """Start a process in the group whose guard kills it, and its children, when this process ends in any way."""
    return subprocess.Popen(command, process_group=_group().id, **options)
