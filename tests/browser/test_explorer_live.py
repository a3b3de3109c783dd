"""The explorer while things change: what arrives, what loads, what is gone, and the way back."""

import re
import secrets
import time
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Page, Route, expect

from explorer.tests.conftest import Backend, start
from tests.browser.conftest import NewPage, Stack, accessibility_problems, scroll_to
from tests.browser.test_explorer import details, rows, search, waterfall
from tests.support.otlp import attributes, send, span
from tests.support.waiting import until

ERROR = {"code": 2}


def test_rows_hold_still_under_the_mouse_and_new_ones_are_counted(page: Page, stack: Stack) -> None:
    service = f"held-{secrets.token_hex(3)}"
    send(stack, service, [span("GET /first")])
    page.goto(f"{stack.traces}/?service={service}")
    expect(rows(page)).to_have_count(1)
    rows(page).first.hover()

    for number in range(3):
        send(stack, service, [span(f"GET /new/{number}", at=number + 1)])

    new = page.get_by_role("button", name="3 new")
    expect(new).to_be_visible()
    expect(rows(page)).to_have_count(1)
    new.click()
    expect(rows(page)).to_have_count(4)
    page.mouse.move(0, 0)
    send(stack, service, [span("GET /last", at=9)])
    expect(rows(page)).to_have_count(5)


def test_log_lines_hold_still_too(page: Page, stack: Stack) -> None:
    service, one = f"talks-{secrets.token_hex(3)}", span("talk")
    line = {"spanId": one["spanId"], "body": {"stringValue": "the same line"}}
    trace_id = send(stack, service, [one], [line, line])
    page.goto(f"{stack.traces}/logs?service={service}")
    lines = page.get_by_role("list", name=re.compile("log lines")).get_by_role("listitem")
    expect(lines).to_have_count(2)
    lines.first.hover()
    send(stack, service, [], [line], trace_id=trace_id)
    expect(page.get_by_role("button", name="1 new")).to_be_visible()
    expect(lines).to_have_count(2)


def test_back_returns_to_the_place_in_the_list(page: Page, stack: Stack) -> None:
    service = f"many-{secrets.token_hex(3)}"
    for number in range(60):
        send(stack, service, [span(f"GET /{number}", at=number)])
    page.goto(f"{stack.traces}/?service={service}")
    expect(rows(page)).to_have_count(60)
    row = rows(page).filter(has_text=re.compile(r"GET /7 "))
    scroll_to(row)
    top = page.evaluate("scrollY")
    assert top > 0
    row.click()
    expect(waterfall(page)).to_be_visible()
    assert page.evaluate("scrollY") == 0
    page.go_back()
    page.wait_for_function("(top) => Math.abs(scrollY - top) < 40", arg=top)
    expect(row).to_be_in_viewport()


def test_old_results_are_marked_while_new_ones_load(page: Page, stack: Stack) -> None:
    service = f"slow-{secrets.token_hex(3)}"
    send(stack, service, [span("GET /there")])
    page.goto(f"{stack.traces}/?service={service}")
    expect(rows(page)).to_have_count(1)
    held: list[Route] = []
    page.route(re.compile("summaries.*nowhere"), lambda route: held.append(route))

    search(page).fill(f"service={service} nowhere")

    expect(page.locator("main[aria-busy=true] .stale")).to_be_visible()
    expect(page.get_by_role("status").first).to_have_text("Loading")
    assert accessibility_problems(page) == []
    until(lambda: held)
    for route in held:
        route.continue_()
    expect(page.get_by_role("heading", name="No trace fits")).to_be_visible()
    expect(page.get_by_role("status").first).to_have_text("0 traces")
    expect(page.locator("main[aria-busy=false]")).to_be_visible()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The data folder of an explorer that a test stops and starts again."""
    return tmp_path


def test_a_lost_connection_shows_in_every_view_and_ages_go_on(
    folder: Path, new_page: NewPage, problems: list[str]
) -> None:
    backend = start(folder)
    page = new_page()
    trace_id = secrets.token_hex(16)
    post(backend, trace_id)
    base = f"http://127.0.0.1:{backend.traces_port}"
    page.goto(base)
    expect(rows(page)).to_have_count(1)
    expect(page.get_by_role("button", name="Live")).to_be_visible()

    backend.stop()

    lost = page.get_by_role("alert")
    expect(lost).to_contain_text("does not respond")
    expect(page.get_by_role("button", name="No connection")).to_be_visible()
    age = page.locator(".when .muted")
    before = age.inner_text()
    expect(age).not_to_have_text(before)
    for view in ("Services", "Metrics", "Logs"):
        page.get_by_role("link", name=view, exact=True).click()
        expect(lost).to_have_count(1)
        expect(lost).to_contain_text("does not respond")
    assert accessibility_problems(page) == []

    again = start(
        folder,
        TRACES_PORT=backend.traces_port,
        OTLP_HTTP_PORT=backend.http_port,
        OTLP_GRPC_PORT=backend.grpc_port,
    )
    expect(lost).to_have_count(0)
    page.get_by_role("link", name="Traces", exact=True).click()
    expect(rows(page)).to_have_count(1)
    page.close()
    assert problems
    problems.clear()
    again.stop()


def post(backend: Backend, trace_id: str) -> None:
    """Store a trace of one span in an explorer of its own."""
    resource = {"attributes": attributes({"service.name": "alone"})}
    part = {"resource": resource, "scopeSpans": [{"spans": [{"traceId": trace_id, **span("GET /")}]}]}
    response = requests.post(
        f"http://127.0.0.1:{backend.http_port}/v1/traces", json={"resourceSpans": [part]}, timeout=60
    )
    assert response.status_code == 200


def test_a_trace_that_is_still_arriving_is_marked_and_not_named_after_a_child(page: Page, stack: Stack) -> None:
    service, root = f"partial-{secrets.token_hex(3)}", span("POST /orders", ms=50)
    trace_id = send(stack, service, [span("BEGIN order", parent=root["spanId"], kind=3)])
    page.goto(f"{stack.traces}/?service={service}")
    expect(rows(page)).to_contain_text("Still arriving")
    expect(rows(page)).not_to_contain_text("BEGIN order")
    page.goto(f"{stack.traces}/trace/{trace_id}")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Still arriving")
    send(stack, service, [root], trace_id=trace_id)
    expect(page.get_by_role("heading", level=1)).to_contain_text("POST /orders")
    page.goto(f"{stack.traces}/?service={service}")
    expect(rows(page)).to_contain_text("POST /orders")


def test_failures_and_refusals_are_told_apart_everywhere(page: Page, stack: Stack) -> None:
    service = f"shop-{secrets.token_hex(3)}"
    declined, broken = span("POST /declined", ms=50), span("POST /broken", ms=50, attributes={STATUS: 503})
    broken["status"] = ERROR | {"message": "the processor is unavailable"}
    call = span("PUT", parent=declined["spanId"], ms=20, kind=3, status=ERROR, attributes={STATUS: 402})
    refused_id = send(stack, service, [declined, call])
    send(stack, service, [broken])

    page.goto(f"{stack.traces}/?service={service}")
    expect(rows(page).filter(has_text="/declined")).to_contain_text("1 refused")
    expect(rows(page).filter(has_text="/broken")).to_contain_text("1 failed")
    expect(rows(page).filter(has_text="/broken")).to_contain_text("the processor is unavailable")
    for outcome, name in (("Failed", "/broken"), ("Refused", "/declined")):
        page.get_by_role("button", name=outcome, exact=True).click()
        expect(rows(page)).to_have_count(1)
        expect(rows(page)).to_contain_text(name)
        page.get_by_role("button", name=outcome, exact=True).click()
        expect(rows(page)).to_have_count(2)

    page.goto(f"{stack.traces}/services")
    row = page.get_by_role("row", name=service)
    expect(row.get_by_role("cell").nth(2)).to_have_text("1 · 50\u202f%")
    expect(row.get_by_role("cell").nth(3)).to_have_text("0")

    page.goto(f"{stack.traces}/trace/{refused_id}?span={call['spanId']}")
    expect(page.locator(".facts").first).to_contain_text("1 refused")
    expect(waterfall(page).get_by_role("img", name="refused")).to_have_count(1)
    expect(details(page)).to_contain_text("refused")


STATUS = "http.response.status_code"


def test_the_critical_path_of_very_many_sections_is_drawn_to_its_end(page: Page, stack: Stack) -> None:
    root = span("GET /report", ms=3000)
    calls = [span("call", parent=root["spanId"], kind=3) for _ in range(3000)]
    for n, call in enumerate(calls):  # each was made a little later than the one before
        began = int(root["startTimeUnixNano"]) + n * 1_000_000
        call |= {"startTimeUnixNano": str(began), "endTimeUnixNano": str(began + 900_000)}
    trace_id = send(stack, "report", [root, *calls])
    page.goto(f"{stack.traces}/trace/{trace_id}")
    bar = waterfall(page).locator("#row-0")
    expect(bar.locator(".critical").first).to_be_attached()
    drawn = bar.locator(".critical").evaluate_all(
        "(parts) => parts.map(({ style }) => ({ end: parseFloat(style.left) + parseFloat(style.width),"
        " share: Number(style.opacity || 1) }))"
    )
    assert len(drawn) <= 800
    assert max(part["end"] for part in drawn) > 99.8
    assert max(part["share"] for part in drawn) <= 0.5, "a tenth of the time is its own: that is no solid bar"


def test_the_parts_of_a_bottleneck_lead_to_their_spans(page: Page, stack: Stack) -> None:
    root = span("POST /orders", ms=1000)
    values = {"db.system.name": "sqlite", "db.query.text": "SELECT a FROM items WHERE id = ?"}
    queries = [span("SELECT", parent=root["spanId"], at=20 * n, ms=19, kind=3, attributes=values) for n in range(30)]
    trace_id = send(stack, "n-plus-1", [root, *queries])
    page.goto(f"{stack.traces}/trace/{trace_id}")
    worst = page.locator(".bottleneck button").first
    expect(worst).to_contain_text("30 x SELECT … FROM items WHERE id = ?, an N+1, in n-plus-1 POST /orders")
    worst.click()
    expect(details(page)).to_contain_text("SELECT")
    page.get_by_text("next 1").click()
    expect(page.locator(".bottleneck li")).to_contain_text("own code after SELECT")
    assert accessibility_problems(page) == []


def test_an_age_is_told_from_now(page: Page, stack: Stack) -> None:
    service = f"aging-{secrets.token_hex(3)}"
    send(stack, service, [span("GET /")])
    page.goto(f"{stack.traces}/?service={service}")
    page.keyboard.press("p")
    expect(page.get_by_role("button", name="Paused")).to_be_visible()
    age = page.locator(".when .muted")
    began, seen = time.monotonic(), age.inner_text()
    expect(age).not_to_have_text(seen)
    assert re.search(r"\d+ s ago|1 min ago", age.inner_text()), f"after {time.monotonic() - began:.0f} s"
