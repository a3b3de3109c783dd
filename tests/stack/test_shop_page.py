"""The shop's page of the container stack: an order placed in a browser is one trace, from the click to the SQL."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import browser as browser
from tests.stack.conftest import ARRIVAL_TIMEOUT, IN_AN_ORDER, prometheus, services_in, trace, url
from tests.support.waiting import until


@pytest.fixture(scope="module")
def trace_id(browser: Browser) -> Iterator[str]:
    """The trace that the page links to once an order was placed on it."""
    page = browser.new_page()
    page.goto(url("ORDER_PORT"))
    page.get_by_role("button", name=re.compile("^One more: Sencha")).click()
    page.get_by_role("button", name="Place order").click()
    link = page.get_by_role("link", name="See its trace")
    expect(link).to_be_visible()
    target = link.get_attribute("href") or ""
    assert target.startswith(f"{url('TRACES_PORT')}/trace/")
    yield target.rpartition("/")[2]
    page.close()


def test_the_browser_and_the_services_of_an_order_are_one_trace(trace_id: str) -> None:
    until(lambda: services_in(trace(trace_id)) == {"storefront", *IN_AN_ORDER}, ARRIVAL_TIMEOUT)


def test_the_service_graph_begins_in_the_browser(trace_id: str) -> None:
    assert trace_id
    edge = 'traces_service_graph_calls_total{service_name="storefront"}'
    found = until(lambda: prometheus(edge), ARRIVAL_TIMEOUT)
    assert {entry["metric"]["server_address"] for entry in found} == {"order-service"}
