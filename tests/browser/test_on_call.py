"""The explorer, as an engineer on call uses it: ten questions, each answered from the front page in a few clicks.

The clicks and the words typed are counted, and have to be those that docs/on-call.md says. What is true is known: the
orders of the real stack are placed here, its cache is taken away, and `incident` says what was made by hand.
"""

import re
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Locator, Page, expect

from explorer.tests.conftest import SECOND, Backend, start
from local import wanted
from tests.browser.conftest import ROOT, NewPage, Stack, scroll_to
from tests.browser.test_explorer import rows, search, waterfall
from tests.support.incident import BACKUP, Incident, send_incident
from tests.support.servers import free_port
from tests.support.waiting import until

PAGE = ROOT / "docs" / "on-call.md"
ROW = re.compile(
    r"^\| (?P<number>\d+) \| (?P<question>.+?) \| (?P<way>.+?) \| (?P<clicks>\d+) \| (?P<words>\d+) \|$", re.M
)
THE_WAYS = {int(row["number"]): row for row in ROW.finditer(PAGE.read_text())}
NAME = "element => element.innerText || element.ariaLabel"
STEP = 10
"""Seconds from point to point of a chart of 15 minutes."""
EXPORT = 5
"""Seconds from one export of metrics to the next."""
NOT_THERE = "\N{EN DASH}"
PAUSE = 5
"""Seconds for which inventory-service leaves a cache alone that has failed."""


class Person:
    """Uses a page as a person does, and counts it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.clicks = self.words = 0
        self.clicked = ""

    def click(self, target: Locator) -> None:
        """Click something that is seen."""
        self.clicked += f" {target.evaluate(NAME)}"
        target.click()
        self.clicks += 1

    def click_at(self, x: float, y: float) -> None:
        """Click a place in a picture."""
        self.page.mouse.click(x, y)
        self.clicks += 1

    def choose(self, target: Locator, option: str) -> None:
        """Open a list of choices and choose one."""
        target.select_option(option)
        self.clicks += 2

    def type(self, text: str, into: Locator | None = None) -> None:
        """Type over what a box holds, or into the box that was clicked."""
        into.fill(text) if into else self.page.keyboard.insert_text(text)
        self.words += len(text.split())


@contextmanager
def the_way(number: int, page: Page, front: str) -> Iterator[Person]:
    """Go from the front page to the answer, in as many clicks and words as the page for people says."""
    page.goto(front)
    person = Person(page)
    yield person
    row = THE_WAYS[number]
    assert (person.clicks, person.words) == (int(row["clicks"]), int(row["words"])), row["question"]
    assert [name for name in re.findall(r"\*\*(.+?)\*\*", row["way"]) if name not in person.clicked] == []


def test_the_page_lists_all_ten() -> None:
    played = [int(name.split("_")[1]) for name in globals() if re.match(r"test_\d\d_", name)]
    assert played == [*THE_WAYS] == [*range(1, 11)]


# --------------------------------------------------------------------------------------------------- what has happened


@dataclass
class Orders:
    """Orders of the real stack, by what became of them: trace ids; and when they met no cache (s since the epoch)."""

    fast: str
    slow: str
    declined: str
    without_cache: tuple[float, float]


CUSTOMER = f"cus_{uuid.uuid4().hex[:12]}"
"""Of the declined order."""


def order(stack: Stack, token: str = "tok_approve", customer: str = "cus_1") -> str:
    """Place an order; its trace id."""
    body = {"customer_id": customer, "region": "eu", "payment_token": token}
    lines = {"lines": [{"sku": "TEA-SENCHA", "quantity": 1}]}
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    response = requests.post(f"{stack.shop}/orders", json=body | lines, headers=headers, timeout=60)
    assert response.status_code == 201, response.text
    return response.headers["traceresponse"].split("-")[1]


@contextmanager
def no_cache(stack: Stack) -> Iterator[None]:
    """Let the cache listen elsewhere for a while."""
    port = free_port()
    address = f"redis://127.0.0.1:{port}"
    elsewhere = wanted.WantedProcess(environment={"CACHE_PORT": str(port)}, ready=address, live=address)
    state = wanted.Wanted(
        id="no cache", ends_at=time.time() + 600, says="no cache", off="", processes={"cache": elsewhere}
    )
    for one in (state, None):
        wanted.write(stack.data, one)
        until(lambda one=one: is_reached(stack, one.id if one else ""))  # type: ignore[misc]
        if one:
            yield


def is_reached(stack: Stack, wanted_id: str) -> bool:
    state = wanted.state(stack.data)
    return state is not None and state.id == wanted_id and not state.waiting


@pytest.fixture(scope="module")
def orders(stack: Stack) -> Orders:
    """What the real stack went through, once for all questions about it."""
    order(stack)
    fast, slow = order(stack), order(stack, "tok_slow")
    declined = order(stack, "tok_decline", CUSTOMER)
    with no_cache(stack):
        began = time.time()
        order(stack)
        until(lambda: time.time() > began + PAUSE + 1)
        order(stack)
        ended = time.time()
    order(stack)
    for one in (fast, slow):
        stack.trace(one, "order-service", "inventory-service", "payment-service", "notification-service")
    stack.trace(declined, "order-service", "inventory-service", "payment-service")
    return Orders(fast, slow, declined, (began, ended))


@pytest.fixture(scope="module")
def explorer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """An explorer for what is made by hand."""
    backend = start(tmp_path_factory.mktemp("incident"))
    yield backend
    backend.stop()


@pytest.fixture(scope="module")
def incident(explorer: Backend) -> Incident:
    """What happened there."""
    return send_incident(explorer)


@pytest.fixture
def front(explorer: Backend) -> str:
    """The address of its page."""
    return f"http://127.0.0.1:{explorer.traces_port}"


@pytest.fixture
def theirs_front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the page of a colleague's explorer, which has nothing yet."""
    backend = start(tmp_path_factory.mktemp("theirs"))
    yield f"http://127.0.0.1:{backend.traces_port}"
    backend.stop()


@pytest.fixture
def page(new_page: NewPage) -> Page:
    """A page in the zone in which the truth is written down."""
    return new_page(timezone_id="UTC")


def view(page: Page, name: str) -> Locator:
    return page.get_by_role("navigation", name="Views", exact=True).get_by_role("link", name=name, exact=True)


def row_of(page: Page, trace_id: str) -> Locator:
    return rows(page).filter(has=page.locator(f'a[href^="/trace/{trace_id}"]'))


def first_line(page: Page) -> Locator:
    """The line of a trace that names its bottleneck."""
    return page.locator(".bottleneck button").first


# ------------------------------------------------------------------------------------------------------- the questions


def test_01_p99_jumped_at_five_past_ten(page: Page, front: str, incident: Incident) -> None:
    with the_way(1, page, front) as person:
        person.click(view(page, "Services"))
        person.click(page.get_by_role("region", name="Services in figures").get_by_role("link", name="order-service"))
        at, x, y = jump(page.get_by_role("region", name="Duration", exact=True))
        assert incident.deployed / SECOND < at <= incident.deployed / SECOND + 2 * STEP
        person.click_at(x, y)
        person.click(page.get_by_role("dialog").get_by_role("link", name=re.compile("^Traces")))
        person.click(rows(page).filter(has_text=re.compile(r"\d\u202fs")).first)

        expect(first_line(page)).to_contain_text("authorize_card, no span of the other side, in payment-service PUT")
        expect(waterfall(page).get_by_role("row", name=BACKUP)).to_be_visible()


def jump(chart: Locator) -> tuple[float, float, float]:
    """Move along a chart until its tooltip says that P99 is above a second: when that was (s), and where."""
    plot = chart.locator(".u-over")
    expect(plot).to_be_visible()
    scroll_to(plot)
    box = plot.bounding_box()
    assert box
    y = box["y"] + box["height"] / 2
    for offset in range(2, int(box["width"]), 2):
        chart.page.mouse.move(box["x"] + offset, y)
        text = chart.locator(".chart-tip").inner_text()
        clock = re.match(r"(\d\d):(\d\d):(\d\d)\n", text)
        if clock and re.search(r"P99 +[\d.]+\u202fs", text):
            hours, minutes, seconds = map(int, clock.groups())
            now = time.time()
            passed = (now - (hours * 3600 + minutes * 60 + seconds)) % 86_400
            return now - passed, box["x"] + offset, y
    raise AssertionError("P99 is below a second all the time")


def test_02_the_declined_order_of_a_customer(page: Page, stack: Stack, orders: Orders) -> None:
    with the_way(2, page, stack.traces) as person:
        person.click(search(page))
        person.type(f"{CUSTOMER} declined")
        expect(rows(page)).to_have_count(1)
        person.click(rows(page).get_by_role("link").first)

        expect(page).to_have_url(re.compile(orders.declined))
        expect(page.locator(".facts").first).to_contain_text("refused")
        expect(waterfall(page)).to_contain_text("The card's bank declined the charge.")


def test_03_when_the_cache_was_unavailable_and_who_noticed(page: Page, stack: Stack, orders: Orders) -> None:
    began, ended = orders.without_cache
    until(lambda: "unavailable" in str(cache_operations(stack)))
    with the_way(3, page, stack.traces) as person:
        person.click(view(page, "Metrics"))
        person.click(page.get_by_role("link", name="cache.operations"))
        person.choose(page.get_by_label("By"), "cache.result")
        person.click(page.get_by_text("As a table"))

        expect(page.get_by_role("columnheader", name="unavailable")).to_be_visible()
        expect(page.locator(".instrument-head")).to_contain_text("from inventory-service")
        steps = steps_with(page.get_by_role("table"), "unavailable")
        assert min(steps) - STEP <= began <= min(steps) + STEP + EXPORT
        assert max(steps) - STEP <= ended <= max(steps) + STEP + EXPORT


def cache_operations(stack: Stack) -> Any:
    address = f"{stack.traces}/api/series?name=cache.operations&stat=rate&by=cache.result&step=5"
    return requests.get(address, timeout=60).json()["data"]


def steps_with(table: Locator, column: str) -> list[float]:
    """When those rows begin (s) that have more than nothing in a column."""
    heads = table.get_by_role("columnheader").all_inner_texts()
    found = []
    for row in table.locator("tbody tr").all():
        value = row.locator("th, td").nth(heads.index(column)).inner_text()
        if re.search("[1-9]", value):
            moment = str(row.locator("time").get_attribute("datetime"))
            found.append(time.mktime(time.strptime(moment[:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone)
    return found


def test_04_why_one_order_is_slow_and_another_fast(page: Page, stack: Stack, orders: Orders) -> None:
    for number, (picked, other) in enumerate(((orders.slow, orders.fast), (orders.fast, orders.slow))):
        with the_way(4, page, stack.traces) as person:
            row_of(page, picked).hover()
            person.click(row_of(page, picked).get_by_text("compare", exact=True))
            person.click(row_of(page, other).get_by_text("with this", exact=True))

            verdict = page.locator(".verdict")
            words = (
                rf"Differs most: payment-service authorize_card, \d\.\d\d\u202fs {('less', 'more')[number]} of its own"
            )
            expect(verdict).to_contain_text(re.compile(words))


def test_05_what_sql_an_order_runs(page: Page, stack: Stack, orders: Orders) -> None:
    statements = Counter(
        (span["service"], tag["value"])
        for span in stack.trace(orders.fast)
        for tag in span["tags"]
        if tag["key"] == "db.query.text" and "INSERT INTO" in str(tag["value"])
    )
    assert ("order-service", 1) in {(service, count) for (service, _), count in statements.items()}
    with the_way(5, page, stack.traces) as person:
        person.click(row_of(page, orders.fast).get_by_role("link").first)
        person.click(page.get_by_role("link", name="Operations", exact=True))

        table = page.get_by_role("table")
        expect(table).to_be_visible()
        for (_, statement), count in statements.items():
            (name,) = re.findall(r"INSERT INTO \w+", statement)
            row = table.get_by_role("row").filter(has=page.get_by_role("rowheader", name=re.compile(rf"{name}\b")))
            expect(row.get_by_role("cell").nth(0)).to_have_text(str(count))


def test_06_a_trace_for_a_colleague_without_a_stack(
    page: Page, new_page: NewPage, stack: Stack, orders: Orders, theirs_front: str, tmp_path: Path
) -> None:
    with the_way(6, page, stack.traces) as person:
        person.click(row_of(page, orders.declined).get_by_role("link").first)
        with page.expect_download() as download:
            person.click(page.get_by_role("link", name="Export"))
        file = tmp_path / download.value.suggested_filename
        download.value.save_as(file)

        theirs = new_page()
        theirs.goto(theirs_front)
        with theirs.expect_file_chooser() as chooser:
            person.click(theirs.get_by_text("Import", exact=True))
        chooser.value.set_files(file)
        expect(theirs).to_have_url(f"{theirs_front}/trace/{orders.declined}")
        expect(waterfall(theirs)).to_contain_text("the order is refused")
        sent, received = (
            requests.get(f"{explorer}/api/traces/{orders.declined}/otlp", timeout=60).text
            for explorer in (stack.traces, theirs_front)
        )
        assert sent == received


def test_07_what_inventory_logged_outside_of_requests(page: Page, front: str, incident: Incident) -> None:
    minute = 60 * SECOND
    true = [text for at, text in incident.reports.items() if abs(at - incident.deployed) <= minute]
    assert len(true) > 1
    with the_way(7, page, front) as person:
        person.click(view(page, "Logs"))
        person.click(page.get_by_role("button", name=re.compile("^Time: ")))
        person.type(incident.clock(-60), page.get_by_label("From"))
        person.type(incident.clock(60), page.get_by_label("To", exact=True))
        person.click(page.get_by_role("button", name="Show", exact=True))
        person.click(page.get_by_role("button", name="Without a trace"))
        person.click(page.get_by_role("list", name="service", exact=True).get_by_role("link", name="inventory").first)

        lines = page.get_by_role("list", name=re.compile("log line")).locator("> li")
        expect(lines).to_have_count(len(true))
        for text in true:
            expect(lines.filter(has_text=text)).to_have_count(1)


def test_08_failures_by_service_over_fifteen_minutes(page: Page, front: str, incident: Incident) -> None:
    with the_way(8, page, front) as person:
        person.click(view(page, "Services"))

        table = page.get_by_role("region", name="Services in figures")
        for service in ("order-service", "inventory-service", "payment-service", "notification-service"):
            cells = table.get_by_role("row", name=service).get_by_role("cell")
            for place, counts in ((2, incident.failures), (3, incident.refusals)):
                expect(cells.nth(place)).to_have_text(re.compile(rf"^{counts[service]}\b"))
        assert (incident.failures["notification-service"], incident.failures["payment-service"]) == (8, 0)


def test_09_from_a_spike_to_a_request_inside_it(page: Page, stack: Stack, orders: Orders) -> None:
    until(lambda: orders.slow in str(exemplars(stack)))
    with the_way(9, page, stack.traces) as person:
        person.click(view(page, "Metrics"))
        person.click(page.get_by_role("link", name="orders.processing_time"))
        text, x, y = highest_dot(page.get_by_role("region", name="Percentiles", exact=True))
        person.click_at(x, y)

        expect(first_line(page)).to_contain_text(" of ")
        opened = page.url.split("/trace/")[1][:32]
        (found,) = [one for one in exemplars(stack) if one["trace_id"] == opened]
        assert found["value"] >= 2000
        assert text.startswith(f"{found['value'] / 1000:.2f}\u202fs at ")


def exemplars(stack: Stack) -> list[dict[str, Any]]:
    address = f"{stack.traces}/api/series?name=orders.processing_time&stat=p95"
    series = requests.get(address, timeout=60).json()["data"]
    return [exemplar for one in series for exemplar in one["exemplars"]]


HIGHEST_DOT = """(chart) => {
  const over = chart.querySelector(".u-over");
  const { left, top, right, bottom } = over.getBoundingClientRect();
  for (let y = top; y < bottom; y += 3)
    for (let x = left; x < right; x += 3) {
      over.dispatchEvent(new MouseEvent("mousemove", { clientX: x, clientY: y, bubbles: true }));
      if (over.style.cursor === "pointer") return [chart.querySelector(".chart-tip").innerText, x, y];
    }
  return null;
}"""


def highest_dot(chart: Locator) -> tuple[str, float, float]:
    """Look for the highest dot of a chart: what its tooltip says, and where it is."""
    expect(chart.locator(".u-over")).to_be_visible()
    scroll_to(chart)
    text, x, y = until(lambda: chart.evaluate(HIGHEST_DOT))
    return text, x, y


@pytest.mark.usefixtures("incident")
def test_10_what_changed_from_one_version_to_the_next(page: Page, front: str) -> None:
    with the_way(10, page, front) as person:
        person.click(view(page, "Compare"))
        person.click(page.get_by_role("link", name="payment 0.1 → 0.2"))

        table = page.get_by_role("region", name="Operations of both groups")
        card = table.get_by_role("row", name="authorize_card").get_by_role("cell")
        expect(card.nth(6)).to_have_text("60.0\u202fms")
        expect(card.nth(7)).to_have_text("2.00\u202fs")
        fees = table.get_by_role("row", name=re.compile("FROM fees")).get_by_role("cell")
        expect(fees.nth(0)).to_have_text(NOT_THERE)
        expect(fees.nth(1)).to_have_text("3")
        expect(page.get_by_role("region", name="What B has more often")).to_contain_text("SELECT rate FROM fees")
