"""The stock of an item."""

import pytest

from services.inventory.models import Item, OutOfStock


def test_an_item_gives_no_more_than_it_has() -> None:
    item = Item(sku="CUP-RAKU", stock=5)
    item.take(5)
    with pytest.raises(OutOfStock, match="1 asked for, 0 left"):
        item.take(1)
    item.put_back(5)
    assert item.stock == 5
