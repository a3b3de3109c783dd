"""The catalogue, as order-service has it from inventory-service."""

import requests

from tests.conftest import Shop


def test_the_catalogue_is_that_of_inventory_service(shop: Shop) -> None:
    shop.post_order()
    items = requests.get(f"{shop.order.url}/items", timeout=60).json()["items"]
    assert items == requests.get(f"{shop.inventory.url}/items", timeout=60).json()["items"]
    (sencha,) = [item for item in items if item["sku"] == "TEA-SENCHA"]
    assert sencha == {
        "sku": "TEA-SENCHA",
        "name": "Sencha, 100 g",
        "price": 1290,
        "currency": "EUR",
        "stock": shop.stock("TEA-SENCHA"),
    }


def test_without_inventory_service_there_is_no_catalogue_for_now(shop: Shop) -> None:
    with shop.inventory.unavailable():
        response = requests.get(f"{shop.order.url}/items", timeout=30)
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "1"
