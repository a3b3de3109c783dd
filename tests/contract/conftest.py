"""The services over SQLite, and a valid request to each of their operations that take a body."""

from collections.abc import Callable, Iterator

import pytest

from tests.conftest import RunningService, Shop, running_shop
from tests.support.operations import Operation, with_a_body
from tests.support.tested_services import TESTED

OPERATIONS = with_a_body()


@pytest.fixture(scope="module")
def shop(new_sqlite: Callable[[str], str]) -> Iterator[Shop]:
    """Every service over SQLite."""
    with running_shop(new_sqlite, TESTED) as shop:
        yield shop


@pytest.fixture(params=OPERATIONS, ids=lambda operation: operation.path)
def operation(request: pytest.FixtureRequest) -> Operation:
    """Each operation that takes a body, in turn."""
    chosen: Operation = request.param
    return chosen


@pytest.fixture(params=TESTED)
def service(request: pytest.FixtureRequest, shop: Shop) -> RunningService:
    """Each service in turn."""
    return shop.services[request.param]
