"""How heavy and how quick the explorer is: `python -m bench.page`. Chromium, loopback, an explorer of its own.

Prints the gzipped weight of each page; for the explorer the time to the first paint with data (list of traces), the
time until a trace of 10,000 spans is on the screen, and the times of frames while it is scrolled. Medians of RUNS.
"""

import gzip
import json
import os
import shutil
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from explorer.tests.conftest import Backend, start
from tests.browser.conftest import BUILT, CHROMIUM, FLAGS
from tests.support.otlp import large_trace, send, span

RUNS = 5
SPANS = 10_000
LIMITS = {"weight": 150, "list": 300, "trace": 1000, "frame": 50}
"""kB gzipped; milliseconds."""
# What is in the document when a frame's callbacks run is painted with that frame; the message arrives right after.
WHEN_SEEN = """(selector) => {
  window.seen = new Promise((done) => {
    const painted = new MessageChannel();
    painted.port1.onmessage = () => done(performance.now());
    const look = () => {
      if (document.querySelector(selector)) painted.port2.postMessage("");
      else requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  });
}"""
SCROLL = """async () => {
  const list = document.querySelector('[role=treegrid]');
  const times = [];
  let before = await new Promise(requestAnimationFrame);
  for (let frame = 0; frame < 180; frame++) {
    list.scrollTop += 400;
    const now = await new Promise(requestAnimationFrame);
    times.push(now - before);
    before = now;
  }
  return times;
}"""


def weight(page: str) -> float:
    """Kilobytes of all files a page needs, each gzipped as a server would send it."""
    files = [file for file in (BUILT[page]).rglob("*") if file.suffix in (".html", ".js", ".css", ".svg")]
    return sum(len(gzip.compress(file.read_bytes())) for file in files) / 1000


def visits(
    browser: Browser, url: str, selector: str, then: Callable[[Page], Any] | None = None
) -> tuple[float, float, list[Any]]:
    """Milliseconds from a navigation's start to the frame that shows `selector`: medians of first and of later visits.

    A first visit starts a renderer, fetches the page's files and compiles its code; a later one finds all of it warm.
    Last: what `then` gave after each.
    """
    first: list[float] = []
    again: list[float] = []
    results: list[Any] = []
    for _ in range(RUNS):
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        page = context.new_page()
        page.add_init_script(f"({WHEN_SEEN})({json.dumps(selector)})")
        for times in (first, again):
            page.goto(url)
            times.append(float(page.evaluate("window.seen")))
            page.wait_for_timeout(500)
            results.append(then(page) if then else None)
        context.close()
    return statistics.median(first), statistics.median(again), results


def start_up(browser: Browser) -> None:
    """Let the browser itself start: it loads its fonts, and half of its processes, with the first page it shows."""
    page = browser.new_page()
    page.goto("data:text/html,<p>Hello</p>")
    page.screenshot()
    page.close()


def fill(running: Backend) -> str:
    """Store what is looked at: a hundred small traces and a large one, whose id is returned."""
    stack: Any = SimpleNamespace(url=lambda _: f"http://127.0.0.1:{running.http_port}")
    for number in range(100):
        root = span("POST /orders", ms=10 + number)
        send(stack, "order-service", [root, *(span(f"step {n}", parent=root["spanId"]) for n in range(20))])
    return send(stack, "report-service", large_trace(SPANS))


def report(name: str, value: float, unit: str, limit: float) -> None:
    print(f"{name:<44}{value:>8.1f} {unit:<3} {'ok' if value < limit else 'MISSED'}, limit {limit} {unit}")


def main() -> None:
    if os.getloadavg()[0] > (os.cpu_count() or 1):
        print(f"Other programs keep this machine busy (load {os.getloadavg()[0]:.1f}): times come out too long.")
    for page in ("explorer", "storefront"):
        report(f"weight of the {page}, gzipped", weight(page), "kB", LIMITS["weight"])
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        running = start(Path(folder))
        executable = next(filter(None, map(shutil.which, CHROMIUM)))
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        try:
            large, base = fill(running), f"http://127.0.0.1:{running.traces_port}"
            start_up(browser)
            first, again, _ = visits(browser, base, ".trace-list .trace-row")
            report("first paint with data, first visit", first, "ms", LIMITS["list"])
            report("first paint with data, again", again, "ms", LIMITS["list"])
            url = f"{base}/trace/{large}"
            first, again, scrolls = visits(browser, url, ".row.span .bar", lambda page: page.evaluate(SCROLL))
            report(f"trace of {SPANS:,} spans opens, first visit", first, "ms", LIMITS["trace"])
            report(f"trace of {SPANS:,} spans opens, again", again, "ms", LIMITS["trace"])
            frames = sorted(frame for times in scrolls for frame in times)
            report("frame while scrolling, P50", statistics.median(frames), "ms", LIMITS["frame"])
            report("frame while scrolling, P99", frames[len(frames) * 99 // 100], "ms", LIMITS["frame"])
            report("frame while scrolling, longest", frames[-1], "ms", 2 * LIMITS["frame"])
        finally:
            browser.close()
            running.stop()


if __name__ == "__main__":
    main()
