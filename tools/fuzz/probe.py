"""Honest clients beside the fuzzer, in a process of their own: what they send is right, so it must be answered soon."""

import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from typing import Any

import requests

from tools.fuzz.findings import Findings

STALL_SECONDS = 1.0
PAUSE_SECONDS = 0.1
GIVE_UP_SECONDS = 30.0

LATER = "asked to send it again later"
"""The explorer may say so (503 with Retry-After, UNAVAILABLE): counted, but no failure."""

Result = tuple[str, str, float]
"""Where, what was wrong ("" if nothing), seconds."""
Send = Callable[[], str]
"""Sends one request and returns what was wrong with its answer, "" if nothing."""


def ask(method: str, url: str, body: dict[str, Any] | None = None) -> str:
    """Send a request on a connection of its own; return what was wrong, "" if nothing."""
    try:
        response = requests.request(method, url, json=body, timeout=GIVE_UP_SECONDS)
    except requests.RequestException as error:
        return f"no answer: {type(error).__name__}"
    return "" if response.ok else f"HTTP {response.status_code}"


@contextmanager
def probing(findings: Findings, stall_seconds: float, target: Callable[..., None], *arguments: Any) -> Iterator[None]:
    """Run `target(results, stopping, *arguments)` in a process beside the block, and record what it puts in results.

    The block begins once the first honest request was served; one that waits longer than `stall_seconds` is a failure.
    """
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[Result | None] = context.Queue()
    stopping = context.Event()
    process = context.Process(target=target, args=(results, stopping, *arguments), daemon=True)
    process.start()
    result: Result | None = results.get(timeout=2 * GIVE_UP_SECONDS)
    try:
        yield
    finally:
        stopping.set()
        slowest: dict[str, float] = {}
        number = 0
        while result is not None:
            where, wrong, seconds = result
            number += 1
            slowest[where] = max(slowest.get(where, 0.0), seconds)
            if wrong == LATER:
                findings.count(f"honest {where} {LATER}")
            elif wrong:
                findings.fail(where, f"an honest request was not served: {wrong}")
            if seconds > stall_seconds:
                findings.fail(where, f"an honest request waited for more than {stall_seconds:g} s")
            result = results.get(timeout=2 * GIVE_UP_SECONDS)
        process.join()
        worst = ", ".join(f"{where} {seconds * 1000:.0f} ms" for where, seconds in slowest.items())
        findings.note(f"{number:,} honest requests; slowest: {worst}")


def run_each(results: Any, stopping: Event, sends: Mapping[str, Send]) -> None:
    """Send each in turn until `stopping` is set; put results, and None at the end."""
    while not stopping.is_set():
        for where, send in sends.items():
            began = time.monotonic()
            wrong = send()
            results.put((where, wrong, time.monotonic() - began))
        time.sleep(PAUSE_SECONDS)
    results.put(None)
