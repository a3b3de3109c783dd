"""What the tests have in common."""

import logging
import os
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start from the defaults, whatever other tests of the same run have set."""
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def quiet_loggers(request: pytest.FixtureRequest) -> Iterator[None]:
    """Write no log lines for thousands of odd values, unless a test reads them."""
    if "caplog" in request.fixturenames:
        yield
        return
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
