"""The storefront, as a person uses it."""

import gzip
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest
import requests
from playwright.sync_api import Locator, Page, Route, expect

from local.registry import REGISTRY
from tests.browser.conftest import BUILT, NewPage, Stack, accessibility_problems
from tests.support.waiting import until

SERVICES = tuple(REGISTRY[name].host for name in ("order", *REGISTRY["order"].calls))


def open_shop(page: Page, stack: Stack) -> None:
    page.goto(stack.shop)
    expect(page.get_by_label("Quantity: Sencha, 100 g")).to_be_visible()


def choose(page: Page, item: str = "Sencha, 100 g", quantity: int = 1) -> None:
    page.get_by_label(f"Quantity: {item}").fill(str(quantity))


def place(page: Page) -> None:
    page.get_by_role("button", name="Place order").click()


def outcome(page: Page) -> Locator:
    return page.get_by_role("region", name="What became of the order")


def traced(page: Page) -> str:
    """The id in the link to the trace of the order that was just placed."""
    link = outcome(page).get_by_role("link", name="See its trace")
    return str(link.get_attribute("href")).rsplit("/", 1)[-1]


def test_an_order_is_placed_with_the_mouse(page: Page, stack: Stack) -> None:
    open_shop(page, stack)
    for item in ("Sencha, 100 g", "Sencha, 100 g", "Cup, porcelain"):
        page.get_by_role("button", name=f"One more: {item}").click()
    page.get_by_label("Asia-Pacific").check()
    expect(page.get_by_role("row", name=re.compile("^Total"))).to_contain_text("€38.30")

    place(page)

    expect(outcome(page)).to_contain_text("Confirmed")
    expect(outcome(page)).to_contain_text("€38.30")
    newest = page.get_by_role("region", name="Recent orders").get_by_role("row").nth(1)
    expect(newest).to_contain_text("1 × Cup, porcelain · 2 × Sencha, 100 g")  # noqa: RUF001
    expect(newest).to_contain_text("Confirmed")
    order = stack.orders()[0]
    assert (order["region"], order["total"]) == ("ap", 3830)


def test_an_order_is_placed_with_the_keyboard_alone(page: Page, stack: Stack) -> None:
    open_shop(page, stack)

    def tab_to(target: Locator) -> None:
        for _ in range(80):
            if target.evaluate("element => element === document.activeElement"):
                return
            page.keyboard.press("Tab")
        raise AssertionError("it is not in the order of focus")

    tab_to(page.get_by_label("Quantity: Rooibos, 250 g"))
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    tab_to(page.get_by_role("radio", name="A good card"))
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("radio", name="An empty card")).to_be_checked()
    page.keyboard.press("ArrowUp")
    tab_to(page.get_by_role("button", name="Place order"))
    page.keyboard.press("Enter")

    expect(outcome(page).get_by_role("status")).to_contain_text("Confirmed")
    assert stack.orders()[0]["lines"] == [{"sku": "TEA-ROOIBOS", "quantity": 2, "unit_price": 790}]


def test_a_declined_card_is_told_in_words(page: Page, stack: Stack) -> None:
    open_shop(page, stack)
    choose(page)
    page.get_by_label("An empty card").check()
    place(page)
    expect(outcome(page)).to_contain_text("The card was declined. Nothing was charged")
    expect(outcome(page).get_by_role("listitem").nth(2)).to_have_text("card declined: here it ended")
    expect(page.get_by_role("region", name="Recent orders").get_by_role("row").nth(1)).to_contain_text("card declined")


def test_more_than_there_is_can_be_ordered_and_is_refused(page: Page, stack: Stack) -> None:
    open_shop(page, stack)
    choose(page, "Cup, raku, one of five", 6)
    expect(page.get_by_text("Only 5 left: the order would be canceled.")).to_be_visible()
    place(page)
    expect(outcome(page)).to_contain_text("There is not enough left of an item.")
    expect(page.get_by_text("5 left", exact=True)).to_be_visible()


def test_an_empty_basket_cannot_be_ordered_and_the_button_says_why(page: Page, stack: Stack) -> None:
    open_shop(page, stack)
    button = page.get_by_role("button", name="Place order")
    expect(button).to_be_disabled()
    expect(button).to_have_accessible_description("Choose at least one item.")
    before = len(stack.orders())
    button.press("Enter")
    expect(outcome(page)).to_be_empty()
    assert len(stack.orders()) == before


def test_a_double_click_places_one_order(page: Page, stack: Stack) -> None:
    open_shop(page, stack)
    choose(page)
    before = len(stack.orders())
    page.get_by_role("button", name="Place order").dblclick()
    expect(outcome(page)).to_contain_text("Confirmed")
    assert len(stack.orders()) == before + 1


def test_an_answer_that_is_lost_is_asked_for_again_under_the_same_key(
    page: Page, stack: Stack, problems: list[str]
) -> None:
    keys: list[str] = []

    def lose_the_first_answer(route: Route) -> None:
        if route.request.method != "POST":
            route.continue_()
            return
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) == 1:
            route.fetch()
            route.abort("connectionreset")
        else:
            route.continue_()

    open_shop(page, stack)
    page.route("**/orders", lose_the_first_answer)
    choose(page)
    before = len(stack.orders())
    place(page)
    expect(outcome(page)).to_contain_text("Confirmed")
    assert len(keys) == 2
    assert keys[0] == keys[1]
    assert len(stack.orders()) == before + 1
    assert ["ERR_CONNECTION_RESET" in problem for problem in problems] == [True]
    problems.clear()


def test_an_order_that_was_never_answered_keeps_its_key_over_a_reload(
    page: Page, stack: Stack, problems: list[str]
) -> None:
    keys: set[str] = set()

    def lose(route: Route) -> None:
        if route.request.method == "POST":
            keys.add(route.request.headers["idempotency-key"])
            route.abort("connectionrefused")
        else:
            route.continue_()

    page.route("**/orders", lose)
    for _ in range(2):
        open_shop(page, stack)
        choose(page)
        place(page)
        expect(outcome(page).get_by_role("alert")).to_contain_text("order-service does not answer.")
        expect(outcome(page).get_by_role("alert")).to_contain_text("make demo")
        expect(outcome(page).get_by_role("alert")).to_contain_text("never placed twice")
    assert len(keys) == 1
    page.unroute("**/orders")
    page.get_by_role("button", name="Try again").click()
    expect(outcome(page)).to_contain_text("Confirmed")
    assert all("ERR_CONNECTION_REFUSED" in problem for problem in problems)
    problems.clear()


def test_an_order_that_is_still_driven_is_looked_after_until_it_is_settled(page: Page, stack: Stack) -> None:
    open_shop(page, stack)
    choose(page)
    with frozen(stack, "payment-service"):
        place(page)
        expect(outcome(page)).to_contain_text("Stock reserved, on its way", timeout=30_000)
        expect(outcome(page).get_by_role("listitem").nth(2)).to_have_text("Card charged: under way")
    expect(outcome(page)).to_contain_text("Confirmed", timeout=30_000)


def test_a_service_that_is_away_is_told_with_what_to_do(page: Page, stack: Stack, problems: list[str]) -> None:
    with frozen(stack, "inventory-service"):
        page.goto(stack.shop)
        alert = page.get_by_role("alert")
        expect(alert).to_contain_text("A dependency is unavailable. waybill doctor reports which one", timeout=30_000)
    alert.get_by_role("button", name="Try again").click()
    expect(page.get_by_label("Quantity: Sencha, 100 g")).to_be_visible()
    assert all("503" in problem for problem in problems)
    problems.clear()


def test_what_the_service_says_of_a_field_stands_beside_it(page: Page, stack: Stack, problems: list[str]) -> None:
    problem = {
        "type": "tag:waybill.example,2026:invalid-request",
        "title": "Invalid request",
        "status": 422,
        "detail": "two fields are wrong",
        "errors": [
            {"field": "lines.0.quantity", "reason": "too many of this one"},
            {"field": "payment_token", "reason": "this card is not taken"},
        ],
    }
    open_shop(page, stack)
    page.route("**/orders", lambda route: route.fulfill(status=422, json=problem))
    choose(page)
    place(page)
    expect(outcome(page).get_by_role("alert")).to_contain_text("two fields are wrong")
    field = page.get_by_label("Quantity: Sencha, 100 g")
    expect(field).to_have_accessible_description(re.compile("too many of this one"))
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_role("group", name="Pay with")).to_contain_text("this card is not taken")
    assert ["422" in problem for problem in problems] == [True]
    problems.clear()


def test_the_click_the_request_the_four_services_and_their_sql_are_one_trace(page: Page, stack: Stack) -> None:
    open_shop(page, stack)
    choose(page)
    place(page)
    expect(outcome(page)).to_contain_text("Confirmed")

    spans = {span["spanID"]: span for span in stack.trace(traced(page), "storefront", *SERVICES)}

    def ancestors(span: dict[str, Any]) -> list[str]:
        if not span["references"]:
            return []
        parent = spans[span["references"][0]["spanID"]]
        return [f"{parent['service']} {parent['operationName']}", *ancestors(parent)]

    roots = [span["operationName"] for span in spans.values() if not span["references"]]
    assert roots == ["click Place order"]
    writes = [ancestors(span) for span in spans.values() if span["operationName"].startswith("INSERT")]
    for service in SERVICES:
        (chain, *_) = [chain for chain in writes if chain[0].startswith(service)]
        assert chain[-3:] == ["order-service POST /orders", "storefront POST", "storefront click Place order"]


def test_the_link_leads_to_the_trace(page: Page, stack: Stack) -> None:
    open_shop(page, stack)
    choose(page)
    place(page)
    trace_id = traced(page)
    assert trace_id == stack.trace(trace_id)[0]["traceID"]
    outcome(page).get_by_role("link", name="See its trace").click()
    page.wait_for_url(f"{stack.traces}/trace/{trace_id}")


def test_the_loading_of_the_page_is_a_trace_and_its_vitals_are_sent_when_it_is_left(page: Page, stack: Stack) -> None:
    open_shop(page, stack)
    page.get_by_role("button", name="One more: Sencha, 100 g").click()
    page.goto("about:blank")

    def vitals() -> dict[str, object]:
        found = requests.get(f"{stack.traces}/api/traces?service=storefront&operation=web vitals", timeout=60).json()
        spans = [span for trace in found["data"] for span in trace["spans"]]
        return {tag["key"]: tag["value"] for span in spans for tag in span["tags"]}

    assert {"web_vital.ttfb", "web_vital.fcp", "web_vital.lcp", "web_vital.cls"} <= until(vitals).keys()
    loads = requests.get(f"{stack.traces}/api/traces?service=storefront&operation=documentLoad", timeout=60).json()
    names = {span["operationName"] for trace in loads["data"] for span in trace["spans"]}
    assert names == {"documentLoad", "documentFetch", "resourceFetch"}
    served = requests.get(f"{stack.traces}/api/services/order-service/operations", timeout=60).json()["data"]
    assert "GET /items" in served
    assert not {"GET /", "GET /assets/<path:name>", "GET /page-config.json"} & set(served)


def test_the_telemetry_of_the_storefront_scores_100(page: Page, stack: Stack) -> None:
    open_shop(page, stack)
    choose(page)
    place(page)
    stack.trace(traced(page), "storefront", *SERVICES)
    (score,) = requests.get(f"{stack.traces}/api/score?service=storefront", timeout=60).json()["data"]["services"]
    assert [rule for rule in score["rules"] if rule["passed"] is False] == []
    assert score["score"] == 100


def test_the_page_works_without_telemetry(page: Page, stack: Stack) -> None:
    config = {"version": "1", "deployment_environment": "test", "otlp_endpoint": None, "traces_url": None}
    page.route("**/page-config.json", lambda route: route.fulfill(json=config))
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    open_shop(page, stack)
    choose(page)
    place(page)
    expect(outcome(page)).to_contain_text("Confirmed")
    expect(outcome(page).get_by_text(re.compile("^trace [0-9a-f]{32}$"))).to_be_visible()
    page.goto("about:blank")
    assert all(url.startswith((stack.shop, "about:")) for url in sent)


@pytest.mark.parametrize(("color_scheme", "width"), [("light", 1280), ("dark", 390)])
def test_axe_finds_nothing_at_any_stage(new_page: NewPage, stack: Stack, color_scheme: str, width: int) -> None:
    page = new_page(color_scheme=color_scheme, viewport={"width": width, "height": 900})
    open_shop(page, stack)
    assert accessibility_problems(page) == []
    choose(page, "Cup, raku, one of five", 6)
    place(page)
    expect(outcome(page)).to_contain_text("Canceled")
    assert accessibility_problems(page) == []
    page.get_by_role("button", name="The same again").click()
    choose(page, "Cup, raku, one of five", 0)
    choose(page, "Cup, porcelain", 1)
    place(page)
    expect(outcome(page)).to_contain_text("Confirmed")
    assert accessibility_problems(page) == []


def test_nothing_is_wider_than_a_telephone(new_page: NewPage, stack: Stack) -> None:
    page = new_page(viewport={"width": 390, "height": 844})
    open_shop(page, stack)
    choose(page, "Genmaicha with roasted rice, 100 g", 1000)
    place(page)
    expect(outcome(page)).to_contain_text("Confirmed")
    expect(outcome(page).get_by_role("link", name="See its trace")).to_be_in_viewport()
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_the_theme_is_the_systems_until_another_is_chosen_and_then_stays(new_page: NewPage, stack: Stack) -> None:
    page = new_page(color_scheme="dark")
    open_shop(page, stack)
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("button", name="Change to the light theme").click()
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert light != dark
    page.reload()
    expect(page.get_by_role("button", name="Change to the dark theme")).to_be_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == light


def test_the_storefront_weighs_less_than_150_kb_gzipped() -> None:
    files = [path for path in (BUILT["storefront"]).rglob("*") if path.is_file()]
    assert sum(len(gzip.compress(path.read_bytes())) for path in files) < 150_000


@contextmanager
def frozen(stack: Stack, service: str) -> Iterator[None]:
    """Stop all processes of a service for a while: connections to it are taken, and nothing is answered."""
    master = psutil.Process(json.loads((stack.data / "processes.json").read_text())[service])
    processes = [master, *master.children()]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()
