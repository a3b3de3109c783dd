"""The local stack as `waybill up` runs it, and Chromium to look at its pages with."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from local.registry import SERVICES
from tests.support import processes
from tests.support.servers import free_port
from tests.support.waiting import CAP, until

# The labs are a folder that can be removed; without it there is nothing to test.
collect_ignore = [] if (Path(__file__).parents[2] / "labs" / "web.py").exists() else ["test_labs.py"]

ROOT = Path(__file__).resolve().parent.parent.parent
BUILT = {
    "storefront": ROOT / "web" / "dist" / "storefront",
    "explorer": ROOT / "explorer" / "waybill_explorer" / "static",
}
"""Where each page is built into."""
AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"

PORTS = (*map(str.upper, SERVICES), "CACHE", "OTLP_GRPC", "OTLP_HTTP", "TRACES")
PAGE_CAP_MS = 60_000

expect.set_options(timeout=PAGE_CAP_MS)
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

NewPage = Callable[..., Page]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give all tests of this folder to one worker: they share a stack."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("browser"))


@dataclass(frozen=True)
class Stack:
    """A running local stack; `environment` is what a `waybill` command needs to work on it."""

    environment: dict[str, str]

    def url(self, port: str) -> str:
        """Where one of PORTS listens."""
        return f"http://127.0.0.1:{self.environment[f'{port}_PORT']}"

    @property
    def data(self) -> Path:
        """Its data folder."""
        return Path(self.environment["WAYBILL_DATA"])

    @property
    def shop(self) -> str:
        """The storefront and order-service's API."""
        return self.url("ORDER")

    @property
    def traces(self) -> str:
        """The explorer and the read API."""
        return self.url("TRACES")

    def orders(self) -> list[dict[str, Any]]:
        """The newest orders."""
        found: list[dict[str, Any]] = requests.get(f"{self.shop}/orders?limit=100", timeout=60).json()["orders"]
        return found

    def trace(self, trace_id: str, *services: str) -> list[dict[str, Any]]:
        """The spans of a trace in Jaeger's JSON, `service` added, once none of `services` and no parent is missing."""

        def arrived() -> list[dict[str, Any]]:
            response = requests.get(f"{self.traces}/api/traces/{trace_id}", timeout=60)
            if response.status_code == 404:
                return []
            trace = response.json()["data"][0]
            spans: list[dict[str, Any]] = trace["spans"]
            for span in spans:
                span["service"] = trace["processes"][span["processID"]]["serviceName"]
            parents = {ref["spanID"] for span in spans for ref in span["references"] if ref["refType"] == "CHILD_OF"}
            whole = parents <= {span["spanID"] for span in spans}
            return spans if whole and {span["service"] for span in spans} >= set(services) else []

        return until(arrived)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack on ports and data of its own, for all tests."""
    with running_stack(tmp_path_factory.mktemp("stack")) as stack:
        yield stack


@contextmanager
def running_stack(folder: Path) -> Iterator[Stack]:
    """Run a stack on ports of its own, its data in `folder`."""
    for page in BUILT.values():
        if not (page / "index.html").exists():
            pytest.fail("the pages are not built: `make web/dist/.built` builds them, and so does `make test`")
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("OTEL_")}
    ports = {f"{port}_PORT": str(free_port()) for port in PORTS}
    stack = Stack({**inherited, **ports, "WAYBILL_DATA": str(folder / "data")})
    output = folder / "output"
    with output.open("w") as file:
        command = [Path(sys.executable).with_name("waybill"), "up"]
        process = processes.start(command, cwd=ROOT, env=stack.environment, stdout=file, stderr=file)

    def ready() -> bool:
        assert process.poll() is None, output.read_text()
        with suppress(requests.RequestException):
            return requests.get(f"{stack.shop}/readyz", timeout=60).ok
        return False

    try:
        until(ready)
        yield stack
    finally:
        process.terminate()
        process.wait(CAP)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium without a window; the tests are skipped where it is not installed."""
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found is None:
        pytest.skip("Chromium is not installed (Debian: apt install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def problems() -> Iterator[list[str]]:
    """What the pages of a test complain of, errors and requests off this machine; in the end there must be nothing."""
    found: list[str] = []
    yield found
    assert not found


@pytest.fixture
def new_page(browser: Browser, problems: list[str]) -> Iterator[NewPage]:
    """Makes a page in a browser context of its own, with Playwright's options for one, e.g. `color_scheme="dark"`."""
    contexts = []

    def new(**options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PAGE_CAP_MS)
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        context.on("request", lambda request: problems.extend(_elsewhere(request.url)))
        return page

    yield new
    for context in contexts:
        context.close()


@pytest.fixture
def page(new_page: NewPage) -> Page:
    """A page as most people have it: light, 1280 pixels wide."""
    return new_page()


def _elsewhere(url: str) -> list[str]:
    """`url`, unless it stays on this machine."""
    parts = urlsplit(url)
    local = parts.scheme in ("data", "blob") or parts.hostname == "127.0.0.1"
    return [] if local else [f"request to {url}"]


def accessibility_problems(page: Page) -> list[str]:
    """What axe-core finds on the page as it is now."""
    page.evaluate(AXE.read_text())
    found: dict[str, Any] = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{violation['impact']}: {violation['help']}: {node['html']}"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]


def scroll_to(target: Locator) -> None:
    """Scroll to something in one step: Playwright's own way waits, and fails if it is drawn again meanwhile."""
    target.evaluate("element => element.scrollIntoView({ block: 'center' })")
