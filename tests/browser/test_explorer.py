"""The explorer, as a person uses it: traces, one trace, services, metrics, logs, on a real stack's telemetry."""

import json
import re
import secrets
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import requests
from playwright.sync_api import Locator, Page, expect

from explorer.tests.conftest import Backend, start
from tests.browser.conftest import NewPage, Stack, accessibility_problems, scroll_to
from tests.support.otlp import HOSTILE, attributes, large_trace, send, span
from tests.support.waiting import until
from waybill_explorer import instructions
from waybill_explorer.bottleneck import bottleneck
from waybill_explorer.trace_tree import critical_path, read_trace

SERVICES = ("order-service", "inventory-service", "payment-service")
VIEWS: tuple[str, ...] = (
    "/",
    "/trace/{}",
    "/trace/{}?view=log",
    "/trace/{}?view=compare",
    "/trace/{}?view=flame",
    "/trace/{}?view=operations",
    "/trace/{}?find=charge&errors=1&zoom=1000-20000",
    "/services",
    "/services/order-service",
)
DRAWN = ".chart, .row.span, .trace-log, .compare-table, .map, .log-list, .frame, .operations, .groups-table"
"""What a view is of; of each there is one of these."""
VIEWS += ("/metrics?name=orders.processing_time", "/logs", "/?diff=refused", "/compare?a=approved&b=declined")
VIEWS += ("/?q=declined&diff=found&against=approved",)


def place(stack: Stack, token: str = "tok_approve") -> str:
    """Place an order; its trace id, once its spans have arrived."""
    body = {"customer_id": "cus_1", "region": "eu", "payment_token": token}
    body["lines"] = [{"sku": "TEA-SENCHA", "quantity": 1}]  # type: ignore[assignment]
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    response = requests.post(f"{stack.shop}/orders", json=body, headers=headers, timeout=30)
    trace_id = response.headers["traceresponse"].split("-")[1]
    stack.trace(trace_id, *SERVICES)
    return trace_id


@pytest.fixture(scope="module")
def declined(stack: Stack) -> str:
    """The trace of an order whose card was declined; another was approved before."""
    place(stack)
    return place(stack, "tok_decline")


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Backend]:
    """An explorer to which nothing was sent; to be named before `page`, which is then closed before this stops."""
    backend = start(tmp_path)
    yield backend
    backend.stop()


# Where a chart has a dot that opens something, its pointer says so. In one go, since a live chart moves on.
CLICK_A_DOT = """(chart) => {
  const over = chart.querySelector(".u-over");
  const { left, top, right, bottom } = over.getBoundingClientRect();
  for (let x = left; x < right; x += 6)
    for (let y = top; y < bottom; y += 6) {
      const send = (type) => over.dispatchEvent(new MouseEvent(type, { clientX: x, clientY: y, bubbles: true }));
      send("mousemove");
      if (over.style.cursor === "pointer") return ["mousedown", "mouseup", "click"].map(send);
    }
  throw new Error("the chart has no dot");
}"""


def click_a_dot(chart: Locator) -> None:
    scroll_to(chart)
    expect(chart.locator(".u-over")).to_be_visible()
    chart.evaluate(CLICK_A_DOT)


def rows(page: Page) -> Locator:
    return page.get_by_role("region", name="Traces found").get_by_role("listitem")


def search(page: Page) -> Locator:
    return page.get_by_role("combobox", name="Search", exact=True)


def waterfall(page: Page) -> Locator:
    return page.get_by_role("treegrid")


def details(page: Page) -> Locator:
    return page.get_by_role("complementary", name="Span details")


# ------------------------------------------------------------------------------------------------------------ traces


@pytest.mark.usefixtures("declined")
def test_a_new_trace_shows_up_by_itself_and_opens(page: Page, stack: Stack) -> None:
    page.goto(stack.traces)
    expect(rows(page).first).to_contain_text("POST /orders")
    service = f"late-{secrets.token_hex(3)}"

    send(stack, service, [span("GET /late")])

    row = rows(page).filter(has_text=service)
    expect(row).to_contain_text("GET /late")
    row.click()
    expect(page).to_have_url(re.compile(r"/trace/[0-9a-f]{32}$"))
    expect(page.get_by_role("heading", level=1)).to_contain_text("GET /late")


def test_the_query_stands_in_the_address_and_survives_a_reload(page: Page, stack: Stack, declined: str) -> None:
    page.goto(stack.traces)
    query = 'service=payment-service operation="PUT /charges/<uuid:order_id>" Payment_Declined'
    search(page).fill(query)
    expect(page).to_have_url(re.compile("Payment_Declined"))
    page.get_by_role("button", name="Refused", exact=True).click()
    expect(page).to_have_url(re.compile("status%3Arefused"))
    page.reload()
    expect(search(page)).to_have_value(f"{query} status:refused")
    expect(page.get_by_role("button", name="Refused", exact=True)).to_have_attribute("aria-pressed", "true")
    expect(rows(page).locator(f'a[href="/trace/{declined}"]')).to_have_count(1)
    page.get_by_role("button", name="Failed", exact=True).click()
    expect(page.get_by_role("heading", name="No trace fits")).to_be_visible()


def test_an_address_of_an_earlier_version_is_the_query_that_it_meant(page: Page, stack: Stack, declined: str) -> None:
    page.goto(f"{stack.traces}/?service=payment-service&outcome=refused&tag=payment.outcome%3Ddeclined&min=0.001")
    expect(search(page)).to_have_value("service=payment-service status:refused total>=0.001ms payment.outcome=declined")
    expect(rows(page).locator(f'a[href="/trace/{declined}"]')).to_have_count(1)
    page.goto(f"{stack.traces}/logs?level=WARN&trace={declined}")
    expect(search(page)).to_have_value(f"level>=WARN trace={declined}")


def test_a_duration_filter_is_of_the_whole_trace(page: Page, stack: Stack) -> None:
    service = f"timed-{secrets.token_hex(3)}"
    for ms in (5, 50, 500):
        send(stack, service, [root := span(f"took {ms}", ms=ms), span("step", parent=root["spanId"], ms=1)])
    page.goto(f"{stack.traces}/?service={service}&min=20&max=100ms")
    expect(rows(page)).to_have_count(1)
    expect(rows(page)).to_contain_text("took 50")
    search(page).fill(f"service={service} total>20ms")
    expect(rows(page)).to_have_count(2)


def test_a_part_of_the_scatter_can_be_chosen(page: Page, stack: Stack) -> None:
    service = f"scattered-{secrets.token_hex(3)}"
    for ms in (1, 1000):
        send(stack, service, [span(f"took {ms}", ms=ms)])
    page.goto(f"{stack.traces}/?service={service}")
    expect(rows(page)).to_have_count(2)
    plot = page.locator(".u-over")
    box = plot.bounding_box()
    assert box
    page.mouse.move(box["x"] + 2, box["y"] + 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 2, box["y"] + box["height"] / 2, steps=5)
    page.mouse.up()
    different = page.get_by_role("region", name="What is different?")
    expect(different).to_contain_text("1 selected one, 1 other. Too few traces to compare")
    different.get_by_role("button", name="Show only these").click()
    expect(rows(page)).to_have_count(1)
    expect(rows(page)).to_contain_text("took 1000")
    page.go_back()
    expect(rows(page)).to_have_count(2)


def test_what_is_different_about_slow_traces_is_named_with_both_shares(page: Page, stack: Stack) -> None:
    service = f"different-{secrets.token_hex(3)}"
    members = [
        span("GET /", ms=900 if n < 4 else 20, attributes={"order.region": "ap" if n < 4 else "eu"}) for n in range(40)
    ]
    for one in members:
        send(stack, service, [one])
    page.goto(f"{stack.traces}/?service={service}")
    expect(rows(page)).to_have_count(40)
    different = page.get_by_role("region", name="What is different?")

    different.get_by_role("button", name="Slow ones").click()

    row = different.get_by_role("listitem").first
    expect(row).to_contain_text(f"100 % of the slow ones have order.region=ap in {service}; 0 % of the others")
    fact = row.get_by_role("link", name="order.region=ap")
    expect(fact).to_have_attribute("href", re.compile("q=.*order.region%3Dap"))
    assert accessibility_problems(page) == []
    page.reload()
    expect(row).to_be_visible()
    different.get_by_role("button", name="Close what is different").click()
    expect(row).to_be_hidden()


def test_what_a_search_finds_is_compared_with_the_rest_or_with_another_search(
    page: Page, stack: Stack, problems: list[str]
) -> None:
    service = f"versions-{secrets.token_hex(3)}"
    for n in range(40):
        values = {"tenant": "a" if n < 20 else "b", "cache.result": "miss" if n < 20 else "hit", "half": str(n % 2)}
        send(stack, service, [span("GET /", attributes=values)])
    page.goto(f"{stack.traces}/?q=service={service} tenant=a")
    expect(rows(page)).to_have_count(20)
    different = page.get_by_role("region", name="What is different?")

    different.get_by_role("button", name="Ones found").click()
    different.get_by_label("compared with").fill(f"service={service} tenant=b half=1")

    row = different.get_by_role("listitem").first
    expect(different).to_contain_text("20 selected ones, 10 others")
    expect(row).to_contain_text(f"100 % of the selected ones have cache.result=miss in {service}; 0 % of the others")
    expect(different.get_by_role("link", name="tenant=a")).to_have_count(0)
    assert accessibility_problems(page) == []
    page.reload()
    expect(row).to_contain_text("cache.result=miss")
    different.get_by_label("compared with").fill("tenant=")
    expect(different.get_by_role("alert")).to_contain_text("against")
    assert all("400" in problem for problem in problems)
    problems.clear()


def test_two_traces_are_picked_in_the_list_and_compared(page: Page, stack: Stack) -> None:
    service = f"picked-{secrets.token_hex(3)}"
    ids = [send(stack, service, [span(name, ms=ms)]) for name, ms in (("GET /a", 10), ("GET /b", 70))]
    page.goto(f"{stack.traces}/?service={service}")
    rows(page).filter(has_text="GET /a").get_by_role("button", name="Compare").click(force=True)
    expect(page.locator(".picked")).to_contain_text("GET /a")
    rows(page).filter(has_text="GET /b").get_by_role("link", name="Compare the picked trace").click()
    expect(page).to_have_url(f"{stack.traces}/trace/{ids[1]}?view=compare&with={ids[0]}")
    expect(page.locator(".compare-table")).to_contain_text("absent")


def test_two_groups_of_traces_are_compared(page: Page, stack: Stack) -> None:
    mark = secrets.token_hex(3)
    for version, ms in (("old", 20), ("new", 300)) * 12:
        send(stack, f"grouped-{version}-{mark}", [span("GET /x", ms=ms, attributes={"cache": version})])
    page.goto(f"{stack.traces}/compare?a=grouped-old-{mark}&b=grouped-new-{mark}")
    groups = page.get_by_role("region", name="Both groups")
    expect(groups.get_by_role("row", name=f"A grouped-old-{mark}")).to_contain_text("20.0\u202fms")
    expect(groups.get_by_role("row", name=f"B grouped-new-{mark}")).to_contain_text("300\u202fms")
    for side, version in (("A", "old"), ("B", "new")):
        more = page.get_by_role("region", name=f"What {side} has more often")
        expect(more).to_contain_text(f"100 % of the {side} traces have cache={version} in grouped-{version}-{mark}")
    assert accessibility_problems(page) == []


def test_a_dot_of_the_scatter_opens_its_trace(page: Page, stack: Stack) -> None:
    service = f"dotted-{secrets.token_hex(3)}"
    trace_id = send(stack, service, [span("GET /dot", ms=0)])
    page.goto(f"{stack.traces}/?service={service}")
    click_a_dot(page.get_by_role("region", name="Duration over time"))
    expect(page).to_have_url(f"{stack.traces}/trace/{trace_id}")


# --------------------------------------------------------------------------------------------------------- one trace


def test_a_trace_names_its_bottleneck_as_the_command_line_does(page: Page, stack: Stack, declined: str) -> None:
    data = requests.get(f"{stack.traces}/api/traces/{declined}", timeout=60).json()["data"][0]
    trace = read_trace(data)
    worst = bottleneck(trace.root, critical_path(trace.root))
    page.goto(f"{stack.traces}/trace/{declined}")
    assert worst
    expect(page.locator(".bottleneck button").first).to_contain_text(f"{worst.what}, {worst.where}")
    expect(waterfall(page).get_by_role("row", name="process_order")).to_contain_text("process_order")


def show_all_rows(page: Page) -> None:
    """Make the window tall: rows out of sight are not in the document."""
    page.set_viewport_size({"width": 1280, "height": 2000})


def test_the_logs_are_inside_the_trace(page: Page, stack: Stack, declined: str) -> None:
    until(lambda: requests.get(f"{stack.traces}/api/logs?trace_id={declined}", timeout=9).json()["total"] > 3, 15)
    show_all_rows(page)
    page.goto(f"{stack.traces}/trace/{declined}")
    line = waterfall(page).get_by_role("row", name="the order is refused")
    expect(line).to_be_visible()
    assert waterfall(page).locator(".row.span .note-tick").count() > 3
    page.get_by_label("Log lines").uncheck()
    expect(line).to_have_count(0)

    page.get_by_role("link", name=re.compile("^Log ")).click()
    texts = page.locator(".trace-log li").all_inner_texts()
    assert len(texts) > 3
    offsets = page.locator(".trace-log .log-time").all_inner_texts()
    assert offsets == sorted(offsets, key=_offset)
    page.get_by_role("button", name="the order is refused").click()
    expect(details(page).get_by_role("heading", level=2)).to_have_text("process_order")


def _offset(text: str) -> float:
    number, unit = text.removeprefix("+").replace("\u202f", " ").split(" ")
    return float(number) * {"µs": 1, "ms": 1e3, "s": 1e6}[unit]


def test_a_span_tells_what_it_knows(page: Page, stack: Stack, declined: str) -> None:
    page.goto(f"{stack.traces}/trace/{declined}")
    waterfall(page).get_by_text("charge_payment", exact=True).click()
    expect(details(page)).to_contain_text("refused")
    expect(details(page)).to_contain_text("app.dependency_errors.DependencyRefused")
    expect(details(page).locator(".stack")).to_contain_text("Traceback")
    expect(page).to_have_url(re.compile("span=[0-9a-f]{16}"))

    waterfall(page).get_by_text("INSERT INTO orders", exact=True).click()
    expect(details(page).locator(".statement")).to_contain_text(re.compile(r"INSERT INTO orders.*\nVALUES", re.S))
    attribute = details(page).get_by_role("link", name="sqlite", exact=True)
    expect(attribute).to_have_attribute("href", "/?tag=db.system.name%3Dsqlite")


def test_a_linked_trace_opens(page: Page, stack: Stack) -> None:
    first = send(stack, "linked", [target := span("first attempt")])
    link = {"traceId": first, "spanId": target["spanId"]}
    second = send(stack, "linked", [one := span("second attempt", links=[link])])
    page.goto(f"{stack.traces}/trace/{second}?span={one['spanId']}")
    details(page).get_by_role("link", name=re.compile("^trace ")).click()
    expect(page).to_have_url(f"{stack.traces}/trace/{first}?span={target['spanId']}")
    expect(details(page).get_by_role("heading", level=2)).to_have_text("first attempt")


def test_the_waterfall_is_walked_with_the_keyboard(page: Page, stack: Stack) -> None:
    root = span("root", ms=100)
    child = span("child", parent=root["spanId"], at=1, ms=50)
    grandchild = span("grandchild", parent=child["spanId"], at=2, ms=5)
    trace_id = send(stack, "walked", [root, child, grandchild, span("last", parent=root["spanId"], at=60)])
    page.goto(f"{stack.traces}/trace/{trace_id}")
    waterfall(page).focus()

    def active() -> str:
        current = waterfall(page).get_attribute("aria-activedescendant")
        return page.locator(f"#{current} .span-name").inner_text()

    visited = [active()]
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "Home", "End", "ArrowLeft"):
        page.keyboard.press(key)
        visited.append(active())
    assert visited == ["root", "child", "grandchild", "last", "root", "last", "root"]

    page.keyboard.press("ArrowRight")
    assert active() == "child"
    page.keyboard.press("ArrowLeft")
    expect(waterfall(page).get_by_role("row", name="child", exact=False).first).to_have_attribute(
        "aria-expanded", "false"
    )
    expect(waterfall(page).get_by_text("grandchild")).to_have_count(0)
    page.keyboard.press("Enter")
    expect(details(page)).to_contain_text("child")
    page.keyboard.press("Escape")
    expect(details(page)).to_have_count(0)


def test_an_arrow_enters_the_waterfall_from_anywhere(page: Page, stack: Stack) -> None:
    trace_id = send(stack, "entered", [root := span("root", ms=100), span("child", parent=root["spanId"], ms=50)])
    page.goto(f"{stack.traces}/trace/{trace_id}")
    expect(waterfall(page)).to_be_visible()

    def entered() -> bool:
        """Press again while the page, which is painted first, does not listen to keys yet."""
        page.keyboard.press("ArrowDown")
        return bool(waterfall(page).evaluate("element => element === document.activeElement"))

    until(entered)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(details(page).get_by_role("heading", level=2)).to_have_text("child")


def test_what_is_folded_is_found_and_unfolded(page: Page, stack: Stack) -> None:
    click = span("click", ms=100)
    request = span("POST /orders", parent=click["spanId"], ms=90)
    steps = [span(f"step {n}", parent=request["spanId"], at=n, ms=20) for n in (1, 2)]
    hidden = span("hidden", parent=steps[1]["spanId"], at=3, ms=1)
    trace_id = send(stack, "folded", [click, request, *steps, hidden])
    page.goto(f"{stack.traces}/trace/{trace_id}")
    page.get_by_role("button", name="Fold all", exact=True).click()
    names = waterfall(page).locator(".span-name")
    expect(names).to_have_text(["click", "POST /orders", "step 1", "step 2"])
    page.get_by_label("Find in this trace").fill("hidden")
    page.get_by_label("Find in this trace").press("Enter")
    expect(names).to_have_text(["click", "POST /orders", "step 1", "step 2", "hidden"])


def test_the_link_to_what_is_looked_at_can_be_copied(page: Page, stack: Stack, declined: str) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{stack.traces}/trace/{declined}")
    waterfall(page).get_by_text("charge_payment", exact=True).click()
    expect(details(page)).to_be_visible()
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == page.url


def test_two_traces_of_an_operation_are_compared(page: Page, stack: Stack) -> None:
    service = f"compared-{secrets.token_hex(3)}"
    ids = []
    for ms in (20, 400):
        root = span("GET /x", ms=ms + 10)
        ids.append(send(stack, service, [root, span("slow step", parent=root["spanId"], at=2, ms=ms)]))
    page.goto(f"{stack.traces}/trace/{ids[1]}")
    page.get_by_role("navigation", name="Views of this trace").get_by_role("link", name="Compare").click()
    expect(page.locator(".verdict")).to_contain_text(f"Differs most: {service} slow step, 380\u202fms more")
    expect(page.get_by_role("row", name="slow step")).to_contain_text("400\u202fms")
    other = send(stack, f"{service}-other", [span("GET /elsewhere", ms=5)])
    page.get_by_label("or paste an id").fill(f"{stack.traces}/trace/{other}")
    page.get_by_label("or paste an id").press("Enter")
    expect(page.locator(".compare-table")).to_contain_text("GET /elsewhere")


def test_an_exported_trace_can_be_imported_and_is_the_same(
    alone: Backend, page: Page, stack: Stack, declined: str, tmp_path: Path
) -> None:
    show_all_rows(page)
    page.goto(f"{stack.traces}/trace/{declined}")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export").click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)

    other = f"http://127.0.0.1:{alone.traces_port}"
    page.goto(other)
    page.get_by_label("Files to import").set_input_files(file)
    expect(page).to_have_url(f"{other}/trace/{declined}")
    expect(waterfall(page)).to_contain_text("the order is refused")

    again = requests.get(f"{other}/api/traces/{declined}/otlp", timeout=60).text
    assert again == file.read_text()


def test_a_file_that_is_no_trace_is_refused_with_a_reason(page: Page, stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "notes.json"
    file.write_text('{"resourceSpans": []}')
    page.goto(stack.traces)
    page.get_by_label("Files to import").set_input_files(file)
    refusal = page.get_by_role("alert")
    expect(refusal).to_contain_text("the file has no spans, log records or data points")
    refusal.get_by_role("button", name="Close the report on notes.json").click()
    expect(refusal).to_have_count(0)


def test_of_ten_thousand_spans_only_those_in_sight_are_in_the_document(page: Page, stack: Stack) -> None:
    trace_id = send(stack, "large", large_trace(10_000))
    page.goto(f"{stack.traces}/trace/{trace_id}")
    expect(waterfall(page)).to_have_attribute("aria-rowcount", "10001")
    assert waterfall(page).locator(".row").count() < 150
    waterfall(page).press("End")
    expect(waterfall(page).locator("#row-9999")).to_be_visible()
    page.get_by_label("Find in this trace").fill("call 4001")
    page.get_by_label("Find in this trace").press("Enter")
    expect(waterfall(page).get_by_text("call 4001", exact=True)).to_be_in_viewport()


def test_odd_spans_are_all_shown_and_the_page_says_what_is_odd(page: Page, stack: Stack) -> None:
    root = span("GET /", ms=100)
    shared = span("call", parent=root["spanId"], at=10, ms=80, kind=3)
    server = {**span("GET /api", parent=root["spanId"], at=20, ms=60, kind=2), "spanId": shared["spanId"]}
    no_times = {**span("no times", parent=root["spanId"]), "startTimeUnixNano": "0", "endTimeUnixNano": "0"}
    line = {"spanId": shared["spanId"], "body": {"stringValue": "said"}, "attributes": attributes({"big": 1})}
    line["attributes"][0]["value"] = {"intValue": "212089821454139392"}
    trace_id = send(stack, "front", [root, shared, no_times], [line])
    send(stack, "back", [server], trace_id=trace_id)
    page.goto(f"{stack.traces}/trace/{trace_id}")
    expect(page.locator(".facts").first).to_contain_text("4 spans")
    expect(page.get_by_text("2 spans with a warning")).to_be_visible()
    expect(page.locator(".tick").last).to_have_text("100\u202fms")  # not 57 years
    waterfall(page).get_by_text("no times").click()
    expect(details(page)).to_contain_text("The span has no times: shown at its parent's start.")
    waterfall(page).get_by_text("GET /api").click()
    expect(details(page)).to_contain_text("shares the id")
    page.goto(f"{stack.traces}/logs?trace={trace_id}")
    expect(page.locator(".log-list").get_by_text("212089821454139392")).to_be_visible()


def test_a_statement_as_a_name_does_not_push_the_waterfall_off_the_page(page: Page, stack: Stack) -> None:
    statement = f"WITH x AS (SELECT {','.join(f'c{n}' for n in range(900))} FROM t) SELECT * FROM x"
    trace_id = send(stack, "job", [span("SELECT", kind=3, attributes={"db.query.text": statement})])
    page.goto(f"{stack.traces}/trace/{trace_id}")
    expect(page.locator(".trace-title .clamped")).to_have_attribute("title", re.compile("WITH x AS"))
    expect(waterfall(page).get_by_role("row").last).to_be_in_viewport()


def test_a_trace_that_has_not_arrived_shows_once_it_does(page: Page, stack: Stack) -> None:
    trace_id = secrets.token_hex(16)
    page.goto(f"{stack.traces}/trace/{trace_id}")
    expect(page.get_by_role("heading", name="not here yet")).to_be_visible()
    send(stack, "late", [span("here at last")], trace_id=trace_id)
    expect(page.get_by_role("heading", level=1)).to_contain_text("here at last")


# ------------------------------------------------------------------------------------------- services, metrics, logs


@pytest.mark.usefixtures("declined")
def test_the_map_shows_who_calls_whom_and_a_service_opens_its_slowest_traces(page: Page, stack: Stack) -> None:
    page.goto(f"{stack.traces}/services")
    services = page.get_by_role("region", name="Map of services")
    expect(services).to_contain_text("order-service calls payment-service")
    for dependency in ("order sqlite database", "127.0.0.1", "card-processor"):
        expect(services.get_by_role("link", name=dependency)).to_contain_text("P95")
    services.get_by_role("link", name="payment-service").click()
    expect(page).to_have_url(f"{stack.traces}/services/payment-service")
    for chart in ("Rate", "Errors", "Duration"):
        expect(page.get_by_role("region", name=chart, exact=True)).to_be_visible()
    expect(page.get_by_role("row", name="PUT /charges/<uuid:order_id>")).to_contain_text("ms")
    page.locator(".slowest a").first.click()
    expect(waterfall(page)).to_be_visible()


@pytest.mark.usefixtures("declined")
def test_an_instrument_is_found_by_typing_and_its_exemplars_open_traces(page: Page, stack: Stack) -> None:
    def measured() -> bool:
        answer = requests.get(f"{stack.traces}/api/series?name=orders.processing_time&stat=p95&step=5", timeout=9)
        return any(one["exemplars"] for one in answer.json()["data"])

    until(measured)
    page.goto(f"{stack.traces}/metrics")
    page.get_by_label("Find").fill("orders time")
    page.get_by_role("link", name="orders.processing_time").click()
    for panel in ("Percentiles", "Heat map", "Rate"):
        expect(page.get_by_role("region", name=panel, exact=True)).to_be_visible()
    page.get_by_text("Exemplars as a list").click()
    expect(page.locator(".exemplars a").first).to_have_attribute("href", re.compile("/trace/[0-9a-f]{32}"))

    click_a_dot(page.get_by_role("region", name="Heat map"))
    expect(waterfall(page)).to_be_visible()
    page.go_back()

    page.get_by_label("By").select_option("service.name")
    expect(page.get_by_role("region", name="P95 by service.name")).to_contain_text("order-service")
    page.get_by_label("Find").fill("orders.created")
    page.get_by_role("link", name="orders.created").click()
    expect(page.get_by_role("region", name="Rate", exact=True)).to_be_visible()


def test_a_log_line_opens_its_trace_at_its_span(page: Page, stack: Stack, declined: str) -> None:
    until(lambda: requests.get(f"{stack.traces}/api/logs?trace_id={declined}", timeout=9).json()["total"] > 3, 15)
    page.goto(f"{stack.traces}/logs")
    search(page).fill(f"level>=WARN service=order-service refused trace={declined}")
    lines = page.get_by_role("list", name=re.compile("log line")).get_by_role("listitem")
    expect(lines).to_have_count(1)
    lines.get_by_role("link").click()
    expect(page).to_have_url(re.compile(rf"/trace/{declined}\?span=[0-9a-f]{{16}}"))
    expect(details(page)).to_contain_text("the order is refused")


def test_a_new_log_line_shows_up_by_itself_unless_paused(page: Page, stack: Stack) -> None:
    marker = secrets.token_hex(4)
    page.goto(f"{stack.traces}/logs?q={marker}")
    expect(page.get_by_role("heading", name="No line fits")).to_be_visible()
    send(
        stack, "chatty", [one := span("talk")], [{"spanId": one["spanId"], "body": {"stringValue": f"first {marker}"}}]
    )
    expect(page.get_by_text(f"first {marker}")).to_be_visible()
    page.keyboard.press("p")
    expect(page.get_by_role("button", name="Paused")).to_be_visible()
    send(stack, "chatty", [], [{"spanId": one["spanId"], "body": {"stringValue": f"second {marker}"}}])
    page.wait_for_timeout(2500)
    expect(page.get_by_text(f"second {marker}")).to_have_count(0)
    page.keyboard.press("p")
    expect(page.get_by_text(f"second {marker}")).to_be_visible()


# ------------------------------------------------------------------------------------------------------- for everybody


@pytest.mark.usefixtures("declined")
def test_keys_search_list_themselves_and_change_the_view(page: Page, stack: Stack) -> None:
    page.goto(stack.traces)
    expect(rows(page).first).to_be_visible()
    page.keyboard.press("/")
    expect(page.get_by_label("Search")).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    assert accessibility_problems(page) == []
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()
    page.keyboard.press("4")
    expect(page).to_have_url(f"{stack.traces}/logs")


def test_the_shop_is_one_click_away(page: Page, stack: Stack) -> None:
    page.goto(f"{stack.traces}/metrics")
    page.get_by_role("link", name="Place an order").click()
    expect(page.get_by_role("heading", name="Place an order")).to_be_visible()
    assert page.url == f"{stack.shop}/"


def test_an_address_that_leads_nowhere_says_so(page: Page, stack: Stack, problems: list[str]) -> None:
    for address, answer in (("/nowhere", "There is no such page"), ("/trace/nothing", "This is not a trace id")):
        page.goto(stack.traces + address)
        expect(page.get_by_role("heading", name=answer)).to_be_visible()
        page.get_by_role("link", name="All traces").click()
        expect(page).to_have_url(f"{stack.traces}/")
    assert ["404" in problem for problem in problems] == [True]
    problems.clear()


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 390)], ids=lambda value: str(value))
def test_every_view_is_accessible_and_fits(
    new_page: NewPage, stack: Stack, declined: str, theme: str, width: int
) -> None:
    page = new_page(color_scheme=theme, viewport={"width": width, "height": 844})
    found = {}
    for view in VIEWS:
        page.goto(stack.traces + view.format(declined))
        expect(page.locator(DRAWN).first).to_be_visible()
        found[view] = accessibility_problems(page)
        assert page.evaluate("document.documentElement.scrollWidth") == width, view
    page.goto(f"{stack.traces}/trace/{declined}")
    waterfall(page).get_by_text("charge_payment", exact=True).click()
    expect(details(page)).to_be_visible()
    found["details"] = accessibility_problems(page)
    page.goto(f"{stack.traces}/logs?q=trace%3D{declined}")
    page.get_by_role("button", name="Show all of the line").first.click()
    page.get_by_role("button", name="Lines around it").first.click()
    expect(page.get_by_role("region", name="Lines around it").get_by_role("listitem").first).to_be_visible()
    found["context"] = accessibility_problems(page)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.goto(f"{stack.traces}/metrics?name=cache.operations&by=cache.result")
    page.get_by_text("As a table").first.click()
    expect(page.get_by_role("table").first).to_be_visible()
    page.get_by_role("button", name=re.compile("^Time: ")).click()
    expect(page.get_by_role("dialog", name="Choose a time")).to_be_visible()
    found["table and time"] = accessibility_problems(page)
    assert {view: problems for view, problems in found.items() if problems} == {}


def test_nothing_from_telemetry_is_ever_run(page: Page, stack: Stack) -> None:
    event = {"name": "exception", "timeUnixNano": str(time.time_ns() - 9_000_000_000)}
    event["attributes"] = attributes(  # type: ignore[assignment]
        {"exception.type": HOSTILE, "exception.message": HOSTILE, "exception.stacktrace": HOSTILE}
    )
    values = {
        HOSTILE: HOSTILE,
        "db.query.text": f"SELECT '{HOSTILE}' FROM {HOSTILE}",
        "url.full": "javascript:alert(1)",
    }
    status = {"code": 2, "message": HOSTILE}
    one = span(HOSTILE, attributes=values, events=[event], status=status)
    record = {"spanId": one["spanId"], "body": {"stringValue": HOSTILE}, "attributes": attributes({HOSTILE: HOSTILE})}
    trace_id = send(stack, HOSTILE, [one], [record])
    name = quote(HOSTILE, safe="")
    views = ("/", f"/trace/{trace_id}?span={one['spanId']}", f"/trace/{trace_id}?view=log", "/services", "/logs")
    for view in (
        *views,
        f"/trace/{trace_id}?view=compare",
        f"/services/{name}",
        f"/?q={quote(json.dumps(HOSTILE), safe='')}",
        f"/metrics?name={name}",
    ):
        page.goto(stack.traces + view)
        expect(page.get_by_text("onerror", exact=False).first).to_be_attached()
        assert page.locator("img, iframe, [onerror]").count() == 0
        assert page.title() != "owned"
        assert page.locator("a[href^='javascript:']").count() == 0


def test_the_page_may_load_and_run_only_its_own_files(stack: Stack) -> None:
    response = requests.get(f"{stack.traces}/trace/abc", timeout=60)
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "require-trusted-types-for 'script'" in policy
    assert (
        requests.get(response.url, headers={"If-None-Match": response.headers["ETag"]}, timeout=60).status_code == 304
    )
    (script,) = re.findall(r'src="(/assets/[^"]+\.js)"', response.text)
    asset = requests.get(stack.traces + script, timeout=60)
    assert (asset.status_code, asset.headers["Cache-Control"]) == (200, "public, max-age=31536000, immutable")
    assert "<style" not in response.text


def test_an_empty_stack_says_what_to_do(alone: Backend, page: Page) -> None:
    for view in ("/", "/services", "/metrics", "/logs"):
        page.goto(f"http://127.0.0.1:{alone.traces_port}{view}")
        for line in instructions.as_text(f"http://127.0.0.1:{alone.http_port}").splitlines()[1:]:
            for word in line.split():
                expect(page.get_by_role("main")).to_contain_text(word)
        assert accessibility_problems(page) == []
