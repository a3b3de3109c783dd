"""Inside a trace: groups of equal spans, filters, find, zoom, flame, the table of operations; files in and out."""

import json
import re
import secrets
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import NewPage, Stack, accessibility_problems
from tests.browser.test_explorer import details, rows, waterfall
from tests.support.otlp import Json, attributes, send, span

ERROR = {"code": 2, "message": "it broke"}
SELECT = "SELECT name FROM items WHERE id = ?"


def with_many_queries(stack: Stack, count: int = 1_400) -> str:
    """A request with an N+1, of which one query failed, and a call; its trace id."""
    root = span("GET /report", ms=2 * count + 100)
    call = span("PUT /charges", parent=root["spanId"], at=1, ms=5, kind=3)
    queries = [
        span("SELECT shop", parent=root["spanId"], at=10 + 2 * n, ms=1, kind=3, attributes={"db.query.text": SELECT})
        | ({"status": ERROR} if n == count // 2 else {})
        for n in range(count)
    ]
    return send(stack, "report-service", [root, call, *queries, span("render", parent=call["spanId"], at=2, ms=2)])


def names(page: Page) -> Locator:
    return waterfall(page).locator(".span-name")


def test_many_equal_siblings_are_one_row_that_unfolds_and_stays_so(page: Page, stack: Stack) -> None:
    page.goto(f"{stack.traces}/trace/{with_many_queries(stack)}")
    group = waterfall(page).get_by_role("row", name=re.compile("1,400 x SELECT"))
    expect(group).to_contain_text("1,400 x SELECT … FROM items WHERE id = ?: 1.40\u202fs")
    expect(group).to_contain_text("1 failed")
    expect(group).to_have_attribute("aria-expanded", "false")
    expect(waterfall(page)).to_have_attribute("aria-rowcount", "5")

    group.click()

    expect(waterfall(page)).to_have_attribute("aria-rowcount", "1405")
    page.reload()
    expect(waterfall(page)).to_have_attribute("aria-rowcount", "1405")
    waterfall(page).focus()
    page.keyboard.press("Home")
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "ArrowLeft"):
        page.keyboard.press(key)
    expect(waterfall(page)).to_have_attribute("aria-rowcount", "5")
    assert accessibility_problems(page) == []


def test_find_says_which_of_how_many_and_goes_both_ways_into_folded_groups(page: Page, stack: Stack) -> None:
    page.goto(f"{stack.traces}/trace/{with_many_queries(stack, 11)}")
    expect(names(page)).to_have_count(4)
    page.get_by_label("Find in this trace").fill("from items")
    status = waterfall_card(page).get_by_role("status").filter(has_text=re.compile("found|of"))
    expect(status).to_have_text("11 found")
    page.get_by_role("button", name="Next match").click()
    expect(status).to_have_text("1 of 11")
    page.get_by_role("button", name="Previous match").click()
    expect(status).to_have_text("11 of 11")
    page.get_by_label("Find in this trace").press("Enter")
    expect(status).to_have_text("1 of 11")
    page.reload()
    expect(page.get_by_label("Find in this trace")).to_have_value("from items")
    expect(waterfall(page).locator(".row.match")).to_have_count(12)
    assert accessibility_problems(page) == []
    page.get_by_label("Find in this trace").fill("nowhere at all")
    expect(waterfall_card(page).get_by_text("no match")).to_be_visible()
    expect(page.get_by_role("button", name="Next match")).to_be_disabled()


def waterfall_card(page: Page) -> Locator:
    return page.locator(".waterfall-card")


def filtered(stack: Stack) -> str:
    """A trace of two services and two libraries with a failure deep inside; its id."""
    root = span("GET /", ms=100)
    call = span("call", parent=root["spanId"], at=1, ms=60, kind=3)
    fast = span("fast", parent=root["spanId"], at=70, ms=1)
    trace_id = send(stack, "front", [root, call, fast])
    broken = span("INSERT", parent=call["spanId"], at=2, ms=50, status=ERROR)
    return send(stack, "back", [broken, span("after", parent=call["spanId"], at=55, ms=2)], trace_id=trace_id)


def test_filters_keep_what_their_spans_are_in_and_are_in_the_address(page: Page, stack: Stack) -> None:
    page.goto(f"{stack.traces}/trace/{filtered(stack)}")
    expect(names(page)).to_have_text(["GET /", "call", "INSERT", "after", "fast"])
    page.get_by_role("button", name="Filter", exact=True).click()
    page.get_by_label("Errors only").check()
    expect(names(page)).to_have_text(["GET /", "call", "INSERT"])
    expect(waterfall_card(page).get_by_text("1 of 5 spans")).to_be_visible()
    expect(waterfall(page).locator(".row.context")).to_have_count(2)
    assert accessibility_problems(page) == []
    page.reload()
    expect(names(page)).to_have_text(["GET /", "call", "INSERT"])
    page.get_by_label("Errors only").uncheck()

    page.get_by_label("At least").fill("40ms")
    expect(names(page)).to_have_text(["GET /", "call", "INSERT"])
    page.get_by_label("At least").fill("")
    page.get_by_label("Hide").select_option("back")
    expect(names(page)).to_have_text(["GET /", "call", "fast"])
    page.get_by_role("button", name="Show the service back again").click()
    page.get_by_label("Hide").select_option("by hand")
    expect(page.get_by_text("No span passes the filter")).to_be_visible()
    page.get_by_role("link", name="Show all spans").click()
    expect(names(page)).to_have_count(5)


def test_a_row_of_the_table_selects_its_spans(page: Page, stack: Stack) -> None:
    page.goto(f"{stack.traces}/trace/{with_many_queries(stack, 12)}")
    page.get_by_role("link", name="Operations").click()
    table = page.get_by_role("table")
    row = table.get_by_role("row", name=re.compile("FROM items"))
    expect(row).to_contain_text("12")
    expect(row.get_by_role("cell").last).to_have_text("1.00\u202fms")
    table.get_by_role("button", name="Count").click()
    expect(table.get_by_role("columnheader", name="Count")).to_have_attribute("aria-sort", "descending")
    expect(table.locator("tbody th a").first).to_contain_text("FROM items")
    table.get_by_role("button", name="Count").click()
    expect(table.locator("tbody th a").last).to_contain_text("FROM items")
    expect(page).to_have_url(re.compile("sort=-count"))

    row.get_by_role("link").click()

    expect(waterfall_card(page).get_by_text("1 of 12")).to_be_visible()
    expect(waterfall(page).locator(".row.span.match")).to_have_count(12)
    page.get_by_role("button", name="Remove the chosen operation").click()
    expect(waterfall(page).locator(".row.match")).to_have_count(0)


def test_a_drag_over_the_strip_zooms_and_so_do_keys(page: Page, stack: Stack) -> None:
    page.goto(f"{stack.traces}/trace/{filtered(stack)}")
    ticks = page.locator(".tick")
    expect(ticks.last).to_have_text("100\u202fms")
    box = page.locator(".minimap").bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 10)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + 10, steps=4)
    page.mouse.up()
    expect(page).to_have_url(re.compile(r"zoom=\d+-\d+"))
    first, last = map(int, re.findall(r"\d+", page.url.split("zoom=")[1])[:2])
    assert (round(first / 1e3), round(last / 1e3)) == (50, 75)
    page.reload()
    expect(ticks.first).to_have_text(re.compile(r"^(49|50)\.\d\u202fms"))
    waterfall(page).focus()
    page.keyboard.press("0")
    expect(ticks.last).to_have_text("100\u202fms")
    page.keyboard.press("+")
    expect(ticks.last).to_have_text("75.0\u202fms")
    page.keyboard.press("Shift+ArrowRight")
    expect(ticks.last).to_have_text("87.5\u202fms")
    page.get_by_role("button", name="Zoom out").click()
    expect(ticks.first).to_have_text("0\u202fµs")
    expect(page.get_by_role("button", name="Whole trace")).to_be_disabled()


def test_the_flame_view_shows_where_the_time_is_and_leads_to_the_spans(page: Page, stack: Stack) -> None:
    page.goto(f"{stack.traces}/trace/{with_many_queries(stack, 100)}")
    page.get_by_role("link", name="Flame", exact=True).click()
    queries = page.get_by_role("button", name=re.compile("FROM items.*100 spans"))
    expect(queries).to_be_visible()
    assert accessibility_problems(page) == []
    page.locator(".frame[tabindex='0']").focus()
    page.keyboard.press("ArrowDown")
    expect(queries).to_be_focused()
    page.keyboard.press("Enter")
    expect(queries).to_have_attribute("aria-pressed", "true")
    expect(page).to_have_url(re.compile("frame=[0-9a-f]{16}"))
    page.go_back()
    expect(queries).to_have_attribute("aria-pressed", "false")
    queries.click()
    page.get_by_role("link", name="Show in the waterfall").click()
    expect(waterfall_card(page).get_by_text("1 of 100")).to_be_visible()


def test_twenty_thousand_spans_can_be_searched_filtered_and_unfolded(page: Page, stack: Stack) -> None:
    root = span("GET /export", ms=40_000)
    steps: list[Json] = [root]
    for number in range(1_000):
        call = span(f"call {number}", parent=root["spanId"], at=number * 40, ms=38)
        queries = [
            span("SELECT", parent=call["spanId"], at=number * 40 + 2 * n, ms=1, attributes={"db.query.text": SELECT})
            for n in range(19)
        ]
        steps += [call, *queries]
    trace_id = send(stack, "export-service", steps)
    page.goto(f"{stack.traces}/trace/{trace_id}")
    expect(waterfall(page)).to_have_attribute("aria-rowcount", "2002")
    page.get_by_role("button", name="Unfold all").click()
    expect(waterfall(page)).to_have_attribute("aria-rowcount", "21002")
    assert waterfall(page).locator(".row").count() < 150
    page.get_by_label("Find in this trace").fill("call 777")
    page.get_by_label("Find in this trace").press("Enter")
    expect(waterfall(page).locator(".row.match.active")).to_contain_text("call 777")
    for view in ("Operations", "Flame"):
        page.get_by_role("link", name=view, exact=True).click()
        expect(page.locator(".operations, .frame").first).to_be_visible()


# ---------------------------------------------------------------------------------------------------------- files


def of_trace(service: str, *members: Json) -> Json:
    resource = {"attributes": attributes({"service.name": service})}
    trace_id = secrets.token_hex(16)
    return {
        "resourceSpans": [
            {"resource": resource, "scopeSpans": [{"spans": [{"traceId": trace_id, **one} for one in members]}]}
        ]
    }


DROP = """([name, text]) => {
  const files = new DataTransfer();
  files.items.add(new File([text], name));
  for (const type of ["dragover", "drop"])
    document.body.dispatchEvent(new DragEvent(type, { dataTransfer: files, bubbles: true, cancelable: true }));
}"""


def test_a_file_dropped_on_any_view_is_imported_and_its_outcome_is_said(page: Page, stack: Stack) -> None:
    service = f"dropped-{secrets.token_hex(3)}"
    lines = [of_trace(service, span(f"GET /{n}")) for n in range(3)]
    bad = of_trace(service, {**span("GET /bad"), "spanId": "zz"})
    text = "".join(f"{json.dumps(one)}\n" for one in (*lines, bad))
    for view in ("/services", "/logs", "/metrics", "/"):
        page.goto(f"{stack.traces}{view}")
        expect(page.get_by_role("main")).to_be_visible()
        page.evaluate(DROP, ["demo.jsonl", text])
        report = page.get_by_role("region", name="Imported files")
        word = "3 spans stored; 1 span refused" if view == "/services" else "3 spans already stored; 1 span refused"
        expect(report).to_contain_text(word)
    expect(report).to_contain_text("line 4, resourceSpans[0].scopeSpans[0].spans[0].spanId")
    assert accessibility_problems(page) == []
    report.get_by_role("link").first.click()
    expect(waterfall(page)).to_contain_text("GET /0")
    page.get_by_role("button", name="Close the report on demo.jsonl").click()
    expect(report).to_have_count(0)


def test_the_traces_of_a_search_are_exported(page: Page, stack: Stack, tmp_path: Path) -> None:
    service = f"exported-{secrets.token_hex(3)}"
    ids = {send(stack, service, [span("GET /", ms=10)]) for _ in range(2)}
    send(stack, service, [span("GET /slow", ms=900)])
    page.goto(f"{stack.traces}/?service={service}&max=100")
    expect(rows(page)).to_have_count(2)
    with page.expect_download() as download:
        page.get_by_role("link", name="Export", exact=True).click()
    download.value.save_as(tmp_path / "traces.json")
    body = json.loads((tmp_path / "traces.json").read_text())
    found = [s["traceId"] for part in body["resourceSpans"] for scope in part["scopeSpans"] for s in scope["spans"]]
    assert (len(found), set(found)) == (2, ids)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_all_works_at_phone_width(new_page: NewPage, stack: Stack, theme: str) -> None:
    page = new_page(color_scheme=theme, viewport={"width": 390, "height": 844})
    trace_id = with_many_queries(stack, 300)
    found: dict[str, Any] = {}
    for view in ("", "?errors=1", "?find=SELECT&zoom=1000-90000", "?view=operations", "?view=flame"):
        page.goto(f"{stack.traces}/trace/{trace_id}{view}")
        expect(page.locator(".row.span, .operations, .frame").first).to_be_visible()
        found[view] = accessibility_problems(page)
        assert page.evaluate("document.documentElement.scrollWidth") == 390, view
    assert {view: problems for view, problems in found.items() if problems} == {}
    page.goto(f"{stack.traces}/trace/{trace_id}?find=render")
    page.get_by_role("button", name="Next match").click()
    waterfall(page).locator(".row.match").click()
    expect(details(page)).to_contain_text("render")
    assert requests.get(f"{stack.traces}/api/traces/{trace_id}/operations", timeout=60).json()["data"]["traces"] >= 1
