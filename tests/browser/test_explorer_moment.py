"""Any moment in the explorer: its one time control, charts that lead to what happened then, logs, and the query box."""

import re
import secrets
import time
from collections.abc import Iterable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import NewPage, Stack, accessibility_problems, scroll_to
from tests.browser.test_explorer import place, rows, search, waterfall
from tests.support.otlp import attributes, send, span
from tests.support.waiting import until

MINUTE = 60
VIEWS = ("Traces", "Services", "Metrics", "Logs")


def lines(page: Page) -> Locator:
    return page.get_by_role("list", name=re.compile("log line")).locator("> li")


def line(text: str, *, seconds_ago: float = 1, severity: int = 9, **values: Any) -> dict[str, Any]:
    """A log record outside of any request."""
    at = time.time_ns() - int(seconds_ago * 1e9)
    return {
        "traceId": "",
        "timeUnixNano": str(at),
        "severityNumber": severity,
        "body": {"stringValue": text},
        "attributes": attributes(values),
    }


def service_of_lines(stack: Stack, records: Iterable[dict[str, Any]]) -> str:
    """Send log records as those of a new service."""
    service = f"talks-{secrets.token_hex(3)}"
    send(stack, service, [], records)
    return service


def choose_time(page: Page, start: str, end: str) -> None:
    page.get_by_role("button", name=re.compile("^Time: ")).click()
    page.get_by_label("From").fill(start)
    page.get_by_label("To", exact=True).fill(end)
    page.get_by_role("button", name="Show", exact=True).click()


def drag(page: Page, chart: Locator, start: float, end: float) -> None:
    """Drag over a chart between two shares of its width."""
    plot = chart.locator(".u-over")
    scroll_to(plot)
    box = plot.bounding_box()
    assert box
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * start, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * end, y, steps=5)
    page.mouse.up()


# ---------------------------------------------------------------------------------------------------- the time control


def test_a_time_is_of_all_views_and_of_every_request_and_stops_the_live_mode(page: Page, stack: Stack) -> None:
    page.goto(stack.traces)
    expect(page.get_by_role("button", name="Live")).to_be_visible()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    choose_time(page, "2026-01-30 10:04", "10:06")
    expect(page.get_by_role("button", name=re.compile("Time: 30 Jan 10:04:00 . 10:06:00"))).to_be_visible()
    expect(page.get_by_role("button", name="Paused")).to_be_visible()
    expect(page.get_by_role("heading", name="No trace fits")).to_be_visible()
    chosen = {key: re.findall(rf"{key}=(\d+)", page.url)[0] for key in ("start", "end")}
    assert int(chosen["end"]) - int(chosen["start"]) == 2 * MINUTE * 1_000_000

    for view in VIEWS:
        page.get_by_role("link", name=view, exact=True).click()
        expect(page).to_have_url(re.compile(f"start={chosen['start']}&end={chosen['end']}"))
        expect(page.get_by_role("button", name=re.compile("^Time: 30 Jan"))).to_be_visible()
    # A request of the live list may have been on its way when the time was chosen.
    since = next(n for n, url in enumerate(asked) if f"start={chosen['start']}" in url)
    until(lambda: any("/api/logs?" in url for url in asked[since:]))
    timed = [url for url in asked[since:] if re.search("/api/(summaries|map|series|heatmap|logs)", url)]
    assert {re.findall(r"/api/(\w+)", url)[0] for url in timed} >= {"summaries", "map", "logs"}
    assert [url for url in timed if f"start={chosen['start']}&end={chosen['end']}" not in url] == []

    page.get_by_role("button", name="Paused").click()
    expect(page.get_by_role("button", name="Live")).to_be_visible()
    expect(page).not_to_have_url(re.compile("start="))


def test_the_last_minutes_are_counted_back_from_now(page: Page, stack: Stack) -> None:
    old, new = (f"{age}-{secrets.token_hex(3)}" for age in ("old", "new"))
    for service, ago in ((old, 20 * MINUTE), (new, 1)):
        send(stack, service, [span("GET /", at=-ago * 1000)])
    page.goto(stack.traces)
    search(page).fill(f"service={old} or service={new}")
    expect(rows(page)).to_have_count(2)
    page.get_by_role("button", name="Time: All time").click()
    page.get_by_role("button", name="Last 15 minutes").click()
    expect(page).to_have_url(re.compile("last=15m"))
    expect(rows(page)).to_have_count(1)
    expect(rows(page)).to_contain_text(new)
    expect(page.get_by_role("button", name="Live")).to_be_visible()
    page.reload()
    expect(rows(page)).to_have_count(1)

    page.get_by_role("button", name="Earlier").click()
    expect(rows(page)).to_contain_text(old)
    page.get_by_role("button", name="Later").click()
    expect(rows(page)).to_contain_text(new)
    page.go_back()
    expect(rows(page)).to_contain_text(old)
    page.goto(f"{stack.traces}/?last=5m")
    expect(page.get_by_role("button", name="Later")).to_be_disabled()


def test_a_time_that_is_none_is_refused_with_examples(page: Page, stack: Stack) -> None:
    page.goto(f"{stack.traces}/logs")
    choose_time(page, "half past ten", "now")
    expect(page.get_by_role("alert")).to_contain_text("“half past ten” is not a time")
    expect(page.get_by_label("From")).to_have_attribute("aria-invalid", "true")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Choose a time")).to_have_count(0)
    expect(page.get_by_role("button", name="Time: All time")).to_be_focused()


def test_times_are_local_or_utc_and_the_zone_is_named(new_page: NewPage, stack: Stack) -> None:
    page = new_page(timezone_id="Asia/Kolkata")
    service = f"zoned-{secrets.token_hex(3)}"
    send(stack, service, [span("GET /")])
    page.goto(f"{stack.traces}/?service={service}")
    shown = rows(page).locator("time")
    expect(shown).to_have_attribute("datetime", re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"))
    utc = str(shown.get_attribute("datetime"))[11:23]
    assert utc not in shown.inner_text()
    zone = page.get_by_role("button", name=re.compile(r"Times are in Asia.(Kolkata|Calcutta) \(UTC\+5:30\)"))
    zone.click()
    expect(shown).to_contain_text(utc)
    expect(page).to_have_url(re.compile("utc=1"))
    page.get_by_role("link", name="Logs", exact=True).click()
    expect(page.get_by_role("button", name="Times are in UTC")).to_be_visible()
    page.get_by_role("link", name="Traces", exact=True).click()
    search(page).fill(f"service={service}")
    expect(rows(page)).to_have_count(1)
    rows(page).click()
    expect(waterfall(page)).to_be_visible()
    expect(page).to_have_url(re.compile("utc=1"))


# --------------------------------------------------------------------------------------------------- charts and moments


@pytest.mark.parametrize(
    ("view", "chart"),
    [
        ("services/order-service", "Rate"),
        ("metrics?name=http.server.request.duration", "Percentiles"),
        ("metrics?name=http.server.request.duration", "Heat map"),
        ("logs", "Lines over time"),
    ],
    ids=lambda value: value.split("?")[0].replace("/", "-"),
)
def test_a_drag_over_a_chart_zooms_all_of_the_view_to_that_time(
    page: Page, stack: Stack, view: str, chart: str
) -> None:
    place(stack)
    page.goto(f"{stack.traces}/{view}")
    region = page.get_by_role("region", name=chart, exact=True)
    expect(region.locator(".u-over")).to_be_visible()
    drag(page, region, 0.5, 0.9)
    expect(page).to_have_url(re.compile(r"start=\d+&end=\d+"))
    start, end = (int(re.findall(rf"{key}=(\d+)", page.url)[0]) for key in ("start", "end"))
    assert 0 < end - start < 15 * MINUTE * 1_000_000
    expect(page.get_by_role("button", name="Paused")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("button", name="Live")).to_be_visible()


def touch(page: Page, *points: tuple[float, float]) -> None:
    """Move a finger over the page, as the browser gets it from the screen."""
    session = page.context.new_cdp_session(page)
    for kind, at in zip(("touchStart", *["touchMove"] * (len(points) - 1)), points, strict=True):
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": at[0], "y": at[1]}]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    session.detach()


def test_a_finger_along_a_chart_selects_and_up_and_down_scrolls(new_page: NewPage, stack: Stack) -> None:
    page = new_page(viewport={"width": 390, "height": 600}, has_touch=True)
    service = f"touched-{secrets.token_hex(3)}"
    for n in range(30):
        send(stack, service, [span(f"GET /{n}", at=n * 100, ms=n)])
    page.goto(f"{stack.traces}/?service={service}")
    expect(rows(page)).to_have_count(30)
    expect(page.locator(".u-over")).to_be_visible()
    box = page.locator(".u-over").bounding_box()
    assert box
    left, middle, low = box["x"] + 20, box["y"] + box["height"] / 2, box["y"] + box["height"] - 5
    step = box["width"] / 16

    touch(page, *((left + step * n, low - 8 * n) for n in range(9)))
    expect(page).to_have_url(re.compile("box="))
    expect(page.get_by_role("region", name="What is different?")).to_contain_text("Chosen: ")
    page.get_by_role("button", name="Close what is different").click()
    page.evaluate("scrollTo(0, 0)")
    touch(page, *((left + step * n, middle) for n in range(9)))
    expect(page).to_have_url(re.compile(r"start=\d+&end=\d+"))
    page.get_by_role("button", name="Paused").click()
    expect(rows(page)).to_have_count(30)
    address = page.url
    touch(page, *((left, middle - 12 * n) for n in range(12)))
    page.wait_for_function("scrollY > 20")
    assert page.url == address


def test_a_point_of_a_chart_leads_to_the_traces_and_logs_of_its_moment(page: Page, stack: Stack) -> None:
    trace_id = place(stack)
    service = "order-service"
    page.goto(f"{stack.traces}/services/{service}")
    region = page.get_by_role("region", name="Rate", exact=True)
    table = region.get_by_role("table")
    # With the keyboard alone: the table of the chart has the same links.
    summary = region.get_by_text("As a table")
    expect(summary).to_be_visible()
    summary.focus()
    page.keyboard.press("Enter")
    row = table.get_by_role("row").nth(1)
    expect(row.get_by_role("rowheader").locator("time")).to_have_attribute("datetime", re.compile("Z$"))
    row.get_by_role("link", name=re.compile("^Traces of ")).press("Enter")
    expect(page).to_have_url(re.compile(r"start=\d+&end=\d+"))
    expect(search(page)).to_have_value(f"service={service}")
    expect(rows(page).locator(f'a[href^="/trace/{trace_id}"]')).to_have_count(1)
    page.go_back()

    expect(region.locator(".u-over")).to_be_visible()
    plot = region.locator(".u-over").bounding_box()
    assert plot
    page.mouse.click(plot["x"] + plot["width"] - 2, plot["y"] + plot["height"] / 2)
    menu = region.get_by_role("dialog")
    expect(menu.get_by_role("link", name=re.compile("^Traces of "))).to_be_focused()
    assert accessibility_problems(page) == []
    menu.get_by_role("link", name=re.compile("^Logs of ")).click()
    expect(page).to_have_url(re.compile(r"/logs\?start=\d+&end=\d+"))
    expect(search(page)).to_have_value(f"service={service}")


def test_a_figure_of_a_service_leads_to_its_traces(page: Page, stack: Stack) -> None:
    service = f"figures-{secrets.token_hex(3)}"
    for status in ({}, {"code": 2}):
        send(stack, service, [span(f"GET /{len(status)}", status=status)])
    page.goto(f"{stack.traces}/services")
    row = page.get_by_role("row", name=service)
    row.get_by_role("link", name="1 · 50\u202f%").click()
    expect(search(page)).to_have_value(f"service={service} status:error")
    expect(rows(page)).to_have_count(1)
    expect(rows(page)).to_contain_text("GET /1")


# ----------------------------------------------------------------------------------------------------------------- logs


def test_lines_outside_of_a_request_are_found_by_their_time(page: Page, stack: Stack) -> None:
    service = service_of_lines(stack, [line(f"said {ago} s ago", seconds_ago=ago) for ago in (600, 300, 1)])
    page.goto(f"{stack.traces}/logs?service={service}")
    expect(lines(page)).to_have_count(3)
    choose_time(page, "6m ago", "4m ago")
    expect(lines(page)).to_have_count(1)
    expect(lines(page)).to_contain_text("said 300 s ago")
    page.get_by_role("button", name="Without a trace").click()
    expect(page).to_have_url(re.compile("exists%3Atrace"))
    expect(lines(page)).to_have_count(1)


def test_facets_count_the_lines_and_filter_them(page: Page, stack: Stack) -> None:
    records = [line("ok", region="eu") for _ in range(3)] + [line("broken", severity=17, region="ap")]
    service = service_of_lines(stack, records)
    page.goto(f"{stack.traces}/logs?service={service}")
    expect(lines(page)).to_have_count(4)
    levels = page.get_by_role("list", name="level", exact=True)
    expect(levels.get_by_role("link", name="INFO 3", exact=True)).to_be_visible()
    levels.get_by_role("link", name="ERROR 1", exact=True).click()
    expect(lines(page)).to_have_count(1)
    expect(search(page)).to_have_value(f"service={service} level=ERROR")
    page.get_by_role("link", name="ERROR 1", exact=True).click()
    expect(lines(page)).to_have_count(4)
    page.get_by_role("link", name="Without region=eu").click()
    expect(lines(page)).to_have_count(1)
    expect(lines(page)).to_contain_text("broken")


def test_an_opened_line_tells_all_and_each_value_is_a_filter(page: Page, stack: Stack) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    service, one = f"tells-{secrets.token_hex(3)}", span("talk")
    record = {"spanId": one["spanId"], "body": {"stringValue": "said"}, "attributes": attributes({"order.id": "a b"})}
    trace_id = send(stack, service, [one], [record])
    page.goto(f"{stack.traces}/logs?service={service}")
    page.get_by_role("button", name="Show all of the line").click()
    opened = lines(page)
    for text in ("by hand", trace_id, one["spanId"], "a b", "service.name"):
        expect(opened).to_contain_text(text)
    opened.get_by_role("button", name="Copy trace").click()
    expect(opened.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == trace_id
    assert accessibility_problems(page) == []
    opened.get_by_role("link", name="a b", exact=True).click()
    expect(search(page)).to_have_value(f'service={service} order.id="a b"')
    expect(lines(page)).to_have_count(1)


def test_the_lines_around_one_are_shown_of_its_service_or_of_all(page: Page, stack: Stack) -> None:
    service = service_of_lines(stack, [line(f"number {n}", seconds_ago=30 - n) for n in range(5)])
    service_of_lines(stack, [line("of another", seconds_ago=28.5)])
    page.goto(f"{stack.traces}/logs")
    search(page).fill(f'service={service} "number 2"')
    expect(lines(page)).to_have_count(1)
    page.get_by_role("button", name="Show all of the line").click()
    page.get_by_role("button", name="Lines around it").click()
    around = page.get_by_role("region", name="Lines around it").get_by_role("listitem")
    expect(around).to_have_count(5)
    expect(around.first).to_contain_text("number 0")
    expect(page.locator(".log-context [aria-current]")).to_contain_text("number 2")
    page.get_by_label("of all services").check()
    expect(around.filter(has_text="of another")).to_have_count(1)


def test_older_lines_and_traces_are_shown_until_the_end(page: Page, stack: Stack) -> None:
    service = service_of_lines(stack, [line(f"number {n}", seconds_ago=500 - n) for n in range(450)])
    page.goto(f"{stack.traces}/logs?service={service}")
    expect(lines(page)).to_have_count(200)
    for count in (400, 450):
        page.get_by_role("button", name="Show older lines").click()
        expect(lines(page)).to_have_count(count)
    expect(lines(page).last).to_contain_text("number 0")
    expect(page.get_by_text("No older lines.")).to_be_visible()

    for n in range(150):
        send(stack, service, [span(f"GET /{n}", at=n)])
    page.goto(f"{stack.traces}/?service={service}")
    expect(rows(page)).to_have_count(100)
    page.get_by_role("button", name="Show older traces").click()
    expect(rows(page)).to_have_count(150)
    page.mouse.move(0, 0)  # under the mouse, rows hold still
    send(stack, service, [span("GET /late", at=900)])
    expect(rows(page)).to_have_count(151)
    expect(rows(page).first).to_contain_text("GET /late")
    expect(page.get_by_text("No older traces.")).to_be_visible()


# -------------------------------------------------------------------------------------------------------- the query box


def test_a_query_is_written_with_suggestions_and_the_keyboard_alone(page: Page, stack: Stack) -> None:
    service = f"suggested-{secrets.token_hex(3)}"
    send(stack, service, [span("GET /found")])
    page.goto(stack.traces)
    expect(rows(page).first).to_be_visible()
    page.keyboard.press("/")
    expect(search(page)).to_be_focused()
    page.keyboard.type("serv")
    options = page.get_by_role("listbox", name="Suggestions").get_by_role("option")
    expect(options.filter(has_text=re.compile("^service:"))).to_have_count(1)
    expect(search(page)).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("ArrowDown")
    expect(options.first).to_have_attribute("aria-selected", "true")
    assert search(page).get_attribute("aria-activedescendant") == options.first.get_attribute("id")
    assert accessibility_problems(page) == []
    page.keyboard.press("Enter")
    expect(search(page)).to_have_value("service:")
    page.keyboard.type(service[:12])
    expect(options.filter(has_text=service)).to_have_count(1)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(rows(page)).to_have_count(1)
    expect(rows(page)).to_contain_text("GET /found")
    page.keyboard.press("Escape")
    expect(options).to_have_count(0)


def test_an_error_of_a_query_is_shown_at_its_position(page: Page, stack: Stack, problems: list[str]) -> None:
    page.goto(stack.traces)
    expect(search(page)).to_be_visible()
    search(page).fill("status:error duration>soon")
    problem = page.get_by_role("alert")
    expect(problem).to_contain_text("duration")
    expect(problem.locator("mark")).to_have_text("s")
    expect(search(page)).to_have_attribute("aria-invalid", "true")
    assert accessibility_problems(page) == []
    search(page).fill("status:error duration>1h")
    expect(problem).to_have_count(0)
    assert all("400" in problem for problem in problems)
    problems.clear()


def test_an_example_fills_the_box(page: Page, stack: Stack) -> None:
    for view in ("/", "/logs"):
        page.goto(f"{stack.traces}{view}")
        page.get_by_role("button", name="Examples").click()
        examples = page.get_by_role("dialog", name="Examples of a search").get_by_role("button")
        expect(examples).to_have_count(6)
        text = examples.first.inner_text()
        examples.first.click()
        expect(search(page)).to_have_value(text)
        expect(page).to_have_url(re.compile("q="))
