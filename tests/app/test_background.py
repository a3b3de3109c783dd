"""Tasks beside the requests: they outlive their errors and end when they are asked to."""

import threading
import time
from collections.abc import Callable, Iterator

import flask
import pytest
from flask import Flask

from app import background
from app.background import Task
from tests.support.waiting import CAP, until


@pytest.fixture
def start() -> Iterator[Callable[..., None]]:
    """Starts tasks; they are stopped after the test."""

    def run(*tasks: Task) -> None:
        background.start(Flask("app"), tasks)

    yield run
    background.stop(timeout=5)


def test_an_exception_is_logged_and_does_not_end_the_task(
    start: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[int] = []

    def run() -> bool:
        calls.append(1)
        raise RuntimeError("the database is away")

    start(Task("fragile", 0.01, run))
    until(lambda: len(calls) >= 3)
    assert "background task fragile failed" in caplog.text
    assert "the database is away" in caplog.text


def test_a_task_runs_again_at_once_as_long_as_there_is_more_to_do(start: Callable[..., None]) -> None:
    left = list(range(50))
    ran_out = threading.Event()

    def run() -> bool:
        if left:
            left.pop()
            return True
        ran_out.set()
        return False

    interval = 0.2
    began = time.monotonic()
    start(Task("busy", interval, run))
    assert ran_out.wait(CAP), "it does not run again"
    assert time.monotonic() - began < 50 * interval, "each run waited for the interval"


def test_each_run_has_an_app_context_of_its_own(start: Callable[..., None]) -> None:
    contexts: list[object] = []

    def run() -> bool:
        contexts.append(flask.g._get_current_object())
        return False

    start(Task("reader", 0.01, run))
    until(lambda: len(contexts) >= 2)
    assert contexts[0] is not contexts[1]


def test_stop_waits_until_a_task_has_finished_what_it_is_at(start: Callable[..., None]) -> None:
    begun, done = threading.Event(), threading.Event()

    def run() -> bool:
        begun.set()
        time.sleep(0.3)
        done.set()
        return True

    start(Task("slow", 0.01, run))
    assert begun.wait(CAP)
    background.stop(timeout=5)
    assert done.is_set()
    assert not [thread for thread in threading.enumerate() if thread.name == "slow"]


def test_stop_does_not_wait_for_ever(start: Callable[..., None]) -> None:
    begun, released = threading.Event(), threading.Event()

    def run() -> bool:
        begun.set()
        released.wait(CAP)
        return False

    start(*(Task(f"stuck-{n}", 0.01, run) for n in range(8)))
    assert begun.wait(CAP)
    began = time.monotonic()
    background.stop(timeout=0.3)
    assert time.monotonic() - began < 0.3 + 1  # in all, however many are stuck; a second for a busy machine
    released.set()
