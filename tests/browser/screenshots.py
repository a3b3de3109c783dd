"""Pictures of the explorer's views for the README and docs: `python -m tests.browser.screenshots`.

Starts a stack of its own, sends it orders, and looks at every view in light and dark, 1280 and 390 pixels wide. What
is shown in the docs goes to docs/images; with --all, everything goes to a folder that is named.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import requests
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.conftest import CHROMIUM, FLAGS, ROOT, Stack, running_stack

IMAGES = ROOT / "docs" / "images"
MOST_BYTES = 150_000
VIEWS = {
    "traces": "/",
    "trace": "/trace/{trace}",
    "span": "/trace/{trace}?span={span}",
    "log": "/trace/{trace}?view=log",
    "compare": "/trace/{trace}?view=compare",
    "services": "/services?since=300",
    "service": "/services/payment-service?since=300",
    "metrics": "/metrics?name=http.server.request.duration&since=300",
    "logs": "/logs",
}
IN_DOCS = (
    *((view, 1280, "light") for view in ("traces", "span", "services", "metrics")),
    ("span", 1280, "dark"),
    ("traces", 390, "light"),
    ("trace", 390, "dark"),
)
HEIGHTS = {1280: 620, 390: 844}


def declined_order(stack: Stack) -> dict[str, str]:
    """A declined order's trace, the most that one trace can show, and its saga's span."""
    query = {"text": "declined", "service": "payment-service", "limit": "1"}
    trace = requests.get(f"{stack.traces}/api/summaries", query, timeout=10).json()["data"][0]["traceID"]
    spans = requests.get(f"{stack.traces}/api/traces/{trace}", timeout=10).json()["data"][0]["spans"]
    return {"trace": trace, "span": next(s["spanID"] for s in spans if s["operationName"] == "process_order")}


def take(browser: Browser, stack: Stack, shots: list[tuple[str, int, str]], folder: Path) -> None:
    """Look at each (view, width, theme) and write <view>-<width>-<theme>.png."""
    folder.mkdir(parents=True, exist_ok=True)
    ids = declined_order(stack)
    for view, width, theme in shots:
        page: Page = browser.new_page(
            viewport={"width": width, "height": HEIGHTS[width]},
            color_scheme="dark" if theme == "dark" else "light",
            reduced_motion="reduce",
        )
        page.goto(stack.traces + VIEWS[view].format(**ids), wait_until="networkidle")
        page.wait_for_timeout(500)
        path = folder / f"{view}-{width}-{theme}.png"
        size = len(page.screenshot(path=path))
        sys.stdout.write(f"{path}  {size // 1000} kB{'' if size < MOST_BYTES else '  too large'}\n")
        page.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", type=Path, metavar="FOLDER", help="every view, width and theme, into this folder")
    folder = parser.parse_args().all
    every = [(view, width, theme) for view in VIEWS for width in HEIGHTS for theme in ("light", "dark")]
    chromium = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if chromium is None:
        sys.exit("Chromium is not installed (Debian: apt install chromium)")
    with tempfile.TemporaryDirectory() as data, running_stack(Path(data)) as stack, sync_playwright() as playwright:
        waybill = Path(sys.executable).with_name("waybill")
        load = [waybill, "load", "--rate", "3", "--duration", "45s", "--seed", "7"]
        subprocess.run(load, cwd=ROOT, env=stack.environment, check=True)
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        take(browser, stack, every if folder else list(IN_DOCS), folder or IMAGES)
        browser.close()


if __name__ == "__main__":
    main()
