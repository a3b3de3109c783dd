"""What the tests have in common."""

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def quiet_loggers(request: pytest.FixtureRequest) -> Iterator[None]:
    """Write no log lines for thousands of odd values, unless a test reads them."""
    if "caplog" in request.fixturenames:
        yield
        return
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
