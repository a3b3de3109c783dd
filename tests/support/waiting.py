"""Waiting for what a test is about: for conditions, not for seconds."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

CAP = 240
"""Seconds after which a wait counts as a hang. It measures nothing: a slow machine makes no test fail."""


def until(condition: Callable[[], T | None], cap: float = CAP) -> T:
    """Wait until `condition` returns something true, and return it; raises AssertionError after `cap` seconds.

    A condition that a process brings about asserts that the process lives, so that its end fails the test immediately.
    """
    deadline = time.monotonic() + cap
    while not (result := condition()):
        assert time.monotonic() < deadline, f"it did not happen within {cap} s"
        time.sleep(0.02)
    return result
