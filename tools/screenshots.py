"""Pictures of every view, light and dark, 1280 and 390 pixels wide: `make screenshots`.

Starts a stack of its own, sends it orders, places some more in the shop, and looks at it all, or at the views named on
the command line: `python -m tools.screenshots flame operations`. What the README and docs show (IN_DOCS) goes to
docs/images, everything else to .screenshots.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.conftest import CHROMIUM, FLAGS, ROOT, Stack, running_stack
from tests.support.waiting import until

IN_DOCS_FOLDER = ROOT / "docs" / "images"
OTHERS_FOLDER = ROOT / ".screenshots"

WHILE_BUSY = {
    "services": "{traces}/services?last=1m",
    "service": "{traces}/services/payment-service?last=1m",
    "metrics": "{traces}/metrics?name=http.server.request.duration&last=1m",
}
AFTERWARDS = {
    "groups": "{traces}/compare?a=order.region%3Deu&b=payment.outcome%3Ddeclined",
    "difference": "{traces}/?q=service%3Dorder-service&diff=refused",
    "traces": "{traces}/",
    "trace": "{traces}/trace/{trace}",
    "span": "{traces}/trace/{trace}?span={span}",
    "flame": "{traces}/trace/{trace}?view=flame",
    "operations": "{traces}/trace/{trace}?view=operations",
    "log": "{traces}/trace/{trace}?view=log",
    "compare": "{traces}/trace/{trace}?view=compare",
    "logs": "{traces}/logs",
    "shop": "{shop}/",
    "order": "{shop}/",
}
HAS_LABS = (ROOT / "labs" / "web.py").exists()
LABS = ("labs", "lab") if HAS_LABS else ()
"""The labs are a folder that can be removed."""
THEMES = ("light", "dark")
HEIGHTS = {1280: 620, 390: 844}
NEED_LOAD = {*WHILE_BUSY, "groups", "difference"}
SHOP_HEIGHT = 1020
IN_DOCS = {
    *(
        (view, 1280, theme)
        for view in ("order", "traces", "span", "flame", "operations", "compare", "groups", "services", "metrics")
        for theme in THEMES
    ),
    *((view, 1280, "light") for view in ("log", "service", "logs", "lab")),
    *(("trace", 390, theme) for theme in THEMES),
}
SECONDS_OF_LOAD = 75
SECONDS_TO_ARRIVE = 7


def fill_basket(page: Page) -> None:
    """Choose two items."""
    page.get_by_label("Quantity: Cup, porcelain").fill("2")
    page.get_by_label("Quantity: Kyusu, Tokoname clay, 0.3 l").fill("1")


def place_order(page: Page, card: str = "A good card") -> str:
    """Order them; the id of the order's trace."""
    fill_basket(page)
    page.get_by_label(card).check()
    page.get_by_role("button", name="Place order").click()
    link = page.get_by_role("link", name="See its trace").get_attribute("href")
    return str(link).rsplit("/", 1)[-1]


BEFORE: dict[str, Callable[[Page], object]] = {"shop": fill_basket, "order": place_order}
"""What is done on a page before it is looked at."""


def declined_order(browser: Browser, stack: Stack) -> dict[str, str]:
    """Place orders of which the bank declines the last: its trace, the most one trace can show, and its saga's span."""
    page = browser.new_page()
    for card in ("A slow bank", "A good card", "A good card", "An empty card"):
        page.goto(stack.shop)
        trace = place_order(page, card)
        spans = stack.trace(trace, "storefront", "order-service", "inventory-service", "payment-service")
    page.close()
    return {"trace": trace, "span": next(s["spanID"] for s in spans if s["operationName"] == "process_order")}


def take(browser: Browser, views: dict[str, str], names: dict[str, str]) -> Iterator[Path]:
    """Look at each view in each width and theme and write <view>-<width>-<theme>.png."""
    for view, address in views.items():
        for width in HEIGHTS:
            for theme in THEMES:
                page = browser.new_page(
                    viewport={"width": width, "height": SHOP_HEIGHT if view in BEFORE else HEIGHTS[width]},
                    color_scheme="dark" if theme == "dark" else "light",
                    reduced_motion="reduce",
                )
                page.goto(address.format(**names), wait_until="networkidle")
                if view in BEFORE:
                    BEFORE[view](page)
                page.wait_for_timeout(500)
                folder = IN_DOCS_FOLDER if (view, width, theme) in IN_DOCS else OTHERS_FOLDER
                path = folder / f"{view}-{width}-{theme}.png"
                page.screenshot(path=path)
                page.close()
                yield path


@contextmanager
def lab(stack: Stack) -> Iterator[None]:
    """Have a lab on meanwhile, with a question that is answered wrong and a hint that is paid for."""

    def act(what: str, **body: object) -> None:
        requests.post(f"{stack.traces}/api/labs/{what}", json=body, timeout=60).raise_for_status()

    def now() -> dict[str, Any]:
        found: dict[str, Any] = requests.get(f"{stack.traces}/api/labs/now", timeout=60).json()["data"]
        return found

    act("start", name="two-seconds", seed=1)
    until(lambda: now()["attempt"])
    act("answer", key="service", value="notification")
    act("hint")
    yield
    act("stop")
    until(lambda: not now()["doing"])


@contextmanager
def load(stack: Stack) -> Iterator[None]:
    """Send orders meanwhile."""
    waybill = Path(sys.executable).with_name("waybill")
    command = [str(waybill), "load", "--rate", "3", "--duration", "10m", "--seed", "7"]
    process = subprocess.Popen(command, cwd=ROOT, env=stack.environment, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def screenshots(browser: Browser, stack: Stack, chosen: Collection[str]) -> Iterator[Path]:
    """The chosen views, as a busy stack shows them and as one that has come to rest."""
    names = {"shop": stack.shop, "traces": stack.traces}
    busy, afterwards = ({view: views[view] for view in views if view in chosen} for views in (WHILE_BUSY, AFTERWARDS))
    if NEED_LOAD & {*chosen}:
        with load(stack):
            time.sleep(SECONDS_OF_LOAD)
            yield from take(browser, busy, names)
    time.sleep(SECONDS_TO_ARRIVE)
    yield from take(browser, afterwards, names | declined_order(browser, stack))
    if {*LABS} & {*chosen}:
        yield from take(browser, {"labs": "{traces}/labs"}, names)
        with lab(stack):
            yield from take(browser, {"lab": "{traces}/labs"}, names)


def tell(paths: Iterable[Path]) -> None:
    """List what was written."""
    for path in paths:
        sys.stdout.write(f"{path.relative_to(ROOT)}  {path.stat().st_size // 1000} kB\n")


def main() -> None:
    views = [*WHILE_BUSY, *AFTERWARDS, *LABS]
    chosen = sys.argv[1:] or views
    if unknown := {*chosen} - {*views}:
        sys.exit(f"There is no view {', '.join(sorted(unknown))}. Choose of {', '.join(views)}.")
    chromium = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if chromium is None:
        sys.exit("Chromium is not installed (Debian: apt install chromium)")
    with tempfile.TemporaryDirectory() as data, running_stack(Path(data)) as stack, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        tell(screenshots(browser, stack, chosen))
        browser.close()


if __name__ == "__main__":
    main()
