"""The view of the labs in the explorer, as a learner uses it, on a real stack."""

import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Locator, Page, expect

from explorer.tests.conftest import Backend, start
from labs import definitions
from tests.browser.conftest import NewPage, Stack, accessibility_problems
from tests.support.waiting import until

SERVICES = ("order-service", "inventory-service", "payment-service")


def act(stack: Stack, what: str, **body: Any) -> requests.Response:
    """Do something as the page does it."""
    return requests.post(f"{stack.traces}/api/labs/{what}", json=body, timeout=60)


def now(stack: Stack) -> dict[str, Any]:
    data: dict[str, Any] = requests.get(f"{stack.traces}/api/labs/now", timeout=60).json()["data"]
    return data


def started(stack: Stack, name: str, seed: int = 1) -> dict[str, Any]:
    """Start a lab; the attempt once it is on."""
    assert act(stack, "start", name=name, seed=seed).ok
    return until(lambda: now(stack)["attempt"])


@pytest.fixture(autouse=True)
def no_lab(stack: Stack) -> Iterator[None]:
    """Each test finds the stack without a lab, and leaves it so."""
    yield
    until(lambda: not now(stack)["doing"])
    if now(stack)["attempt"]:
        assert act(stack, "stop").ok
    until(lambda: not now(stack)["doing"] and not now(stack)["other"])


def order(stack: Stack, story: str) -> str:
    """Place the order that the story of the first lab describes; its trace id, once all of it has arrived."""
    region, lines = re.search(r"--region (\w+)", story), re.search(r"needs (\d) different", story)
    assert region
    assert lines
    skus = [item["sku"] for item in requests.get(f"{stack.shop}/items", timeout=60).json()["items"]][: int(lines[1])]
    body = {
        "customer_id": "cus_1",
        "region": region[1],
        "payment_token": "tok_slow",
        "lines": [{"sku": sku, "quantity": 1} for sku in skus],
    }
    response = requests.post(
        f"{stack.shop}/orders", json=body, headers={"Idempotency-Key": str(uuid.uuid4())}, timeout=60
    )
    trace_id = response.headers["traceresponse"].split("-")[1]
    stack.trace(trace_id, *SERVICES, "notification-service")
    return trace_id


def question(page: Page, key: str) -> Locator:
    """The card of a question."""
    return page.get_by_role("list", name="Questions").locator("> li").filter(has=page.locator(f"[data-question={key}]"))


def test_a_lab_is_started_answered_with_evidence_from_a_trace_and_ended(page: Page, stack: Stack) -> None:
    page.goto(stack.traces)
    page.get_by_role("navigation", name="Views").get_by_role("link", name="Labs").click()
    expect(page).to_have_title("Labs · Waybill")
    page.get_by_role("button", name="Start A first look: follow one order of yours").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("A first look: follow one order of yours")
    expect(page.get_by_role("timer")).to_have_text(re.compile(r"^\d+:\d\d$"))
    story = page.get_by_role("region", name="What happened").inner_text()
    trace_id = order(stack, story)
    spans = stack.trace(trace_id, *SERVICES)
    (bank,) = [span for span in spans if span["operationName"] == "authorize_card"]

    page.goto(f"{stack.traces}/trace/{trace_id}?span={bank['spanID']}")
    details = page.get_by_role("complementary", name="Span details")
    details.get_by_role("button", name="Use as evidence: order").click()
    details.get_by_role("button", name="Use as evidence: span").click()
    assert accessibility_problems(page) == []
    details.get_by_role("link", name="the question span").click()

    proof = question(page, "span").get_by_role("textbox")
    expect(proof).to_have_value(f"{trace_id} {bank['spanID']}")
    expect(proof).to_be_focused()
    proof.press("Enter")
    expect(question(page, "span")).to_contain_text("Right")
    question(page, "order").get_by_role("button", name="Answer order").click()
    expect(question(page, "order")).to_contain_text("Right")
    points = page.get_by_role("region", name="Time and points")
    expect(points).to_contain_text("38 points")
    question(page, "bottleneck").get_by_role("textbox").fill("charge_payment")
    question(page, "bottleneck").get_by_role("textbox").press("Enter")
    expect(question(page, "bottleneck")).to_contain_text("may only wait for another inside it")
    page.reload()
    expect(question(page, "bottleneck")).to_contain_text("may only wait for another inside it")

    page.get_by_role("button", name="Show hint 1 of 3, for 5 points").click()
    expect(points).to_contain_text("33 points, less 5 for hints")

    page.get_by_role("button", name="End the lab").click()
    expect(page.get_by_role("main")).to_contain_text("first-look: 33 points. The stack is as it was.")
    expect(page.get_by_role("listitem").filter(has_text="first-look")).to_contain_text("best: 33 points")


def test_the_solution_is_shown_after_a_second_click_with_the_debrief(page: Page, stack: Stack) -> None:
    attempt = started(stack, "first-look")
    trace_id = order(stack, attempt["story"])
    assert act(stack, "answer", key="order", value=trace_id).json()["data"]["right"]
    page.goto(f"{stack.traces}/labs")

    page.get_by_role("button", name="Show the solution").click()
    expect(page.get_by_role("region", name="Debrief")).to_be_hidden()
    page.get_by_role("button", name="Show it: the points stay as they are").click()

    expect(page.get_by_role("region", name="Debrief")).to_contain_text("How it is found faster.")
    link = question(page, "span").get_by_role("link", name="the span")
    expect(link).to_have_attribute("href", re.compile(f"/trace/{trace_id}\\?span="))
    assert act(stack, "answer", key="bottleneck", value="x").json()["errors"][0]["msg"].startswith("the solution was")
    page.get_by_role("button", name="End the lab").click()
    page.get_by_role("link", name="What it was, and how to find it faster").click()
    expect(page.get_by_role("region", name="Debrief of first-look")).to_contain_text("One order, one trace id.")


def test_a_repair_is_proven_by_new_orders(page: Page, stack: Stack) -> None:
    two_seconds = definitions.find("two-seconds")
    seed = next(seed for seed in range(100) if "setting" in definitions.case(two_seconds, seed).fault)
    started(stack, "two-seconds", seed)
    page.goto(f"{stack.traces}/labs")
    fix = page.get_by_role("region", name="The fix")

    fix.get_by_role("combobox", name="What to do").select_option("Roll back the release of")
    fix.get_by_role("combobox", name="Service").select_option("payment")
    fix.get_by_role("button", name="Do it").click()
    expect(page.get_by_role("alert")).to_contain_text("payment-service runs the release of the repository")
    fix.get_by_role("combobox", name="What to do").select_option("Correct a setting of")
    expect(fix.get_by_role("button", name="Do it")).to_be_disabled()
    fix.get_by_role("textbox", name="Variable").fill("PROCESSOR_LATENCY_MS")
    fix.get_by_role("button", name="Do it").click()
    expect(page.get_by_role("status").first).to_contain_text("Done. Check it")
    fix.get_by_role("button", name="Check the fix with new orders").click()

    expect(fix).to_contain_text("New orders no longer show it.")


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_views_of_the_labs_are_accessible_and_fit_the_screen(
    new_page: NewPage, stack: Stack, width: int, theme: str
) -> None:
    page = new_page(viewport={"width": width, "height": 844}, color_scheme=theme)
    page.goto(f"{stack.traces}/labs")
    expect(page.get_by_role("button", name="Start Paid twice?")).to_be_visible()
    seen = {"list": accessibility_problems(page)}
    started(stack, "first-look")
    act(stack, "hint")
    act(stack, "answer", key="bottleneck", value="wrong")
    page.reload()
    expect(page.get_by_role("list", name="Questions")).to_be_visible()
    seen["running"] = accessibility_problems(page)
    assert seen == {"list": [], "running": []}
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_while_something_else_is_on_no_lab_can_be_started(page: Page, stack: Stack) -> None:
    started(stack, "first-look")
    answer = act(stack, "start", name="it-waits")
    assert answer.ok
    until(lambda: not now(stack)["doing"])
    page.goto(f"{stack.traces}/labs")
    expect(page.get_by_role("alert")).to_contain_text("the lab first-look is on: end it with `waybill lab stop` first.")


def test_only_the_explorers_own_page_changes_labs(stack: Stack) -> None:
    url = f"{stack.traces}/api/labs/start"
    body = {"name": "first-look"}
    for headers in ({"Origin": "http://127.0.0.1:3000"}, {"Sec-Fetch-Site": "cross-site"}, {"Host": "[::1"}):
        assert requests.post(url, json=body, headers=headers, timeout=60).status_code in (403, 421)
    assert requests.post(url, data="name=first-look", timeout=60).status_code == 415
    assert requests.post(url, json={"name": 5}, timeout=60).status_code == 409
    assert requests.post(url, json={"name": "first-look", "seed": "x"}, timeout=60).status_code == 409
    assert requests.get(f"{stack.traces}/api/labs/paid-twice/debrief", timeout=60).status_code == 409
    assert now(stack)["attempt"] is None


def test_an_explorer_without_labs_has_no_view_of_them(tmp_path: Path, page: Page) -> None:
    alone: Backend = start(tmp_path)
    try:
        address = f"http://127.0.0.1:{alone.traces_port}"
        page.goto(address)
        expect(page.get_by_role("link", name="Compare")).to_be_visible()
        expect(page.get_by_role("link", name="Labs")).to_be_hidden()
        assert requests.get(f"{address}/labs", timeout=60).status_code == 404
        assert requests.get(f"{address}/page-config.json", timeout=60).json()["extensions"] == []
        page.close()
    finally:
        alone.stop()
