"""A write that the death of its service interrupts is completed by the same request, sent again."""

import uuid
from contextlib import suppress
from itertools import count

import pytest
import requests

from tests.conftest import Shop
from tests.contract.conftest import OPERATIONS
from tests.support.crashes import fated
from tests.support.operations import Operation

IDEMPOTENT = [operation for operation in OPERATIONS if operation.method == "PUT"]


def send(shop: Shop, operation: Operation) -> requests.Response:
    url = shop.services[operation.service].url + operation.path
    return requests.request(operation.method, url, json=operation.body, timeout=60)


@pytest.mark.parametrize("operation", IDEMPOTENT, ids=lambda operation: f"{operation.service} {operation.template}")
def test_a_put_can_be_sent_again_wherever_its_service_dies(shop: Shop, operation: Operation) -> None:
    for place in count(1):
        about = operation.about(uuid.uuid4())
        with fated(shop, place) as fate, suppress(requests.ConnectionError):
            send(shop, about)
        again, once_more = send(shop, about), send(shop, about)
        assert again.status_code in (200, 201), f"place {place}: {again.text}"
        assert (once_more.status_code, once_more.json()) == (200, again.json()), f"place {place}"
        if not fate.struck:
            break
    assert place > 2
