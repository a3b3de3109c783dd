"""A service that skeleton-service calls, as a test wants it."""

import json
from collections.abc import Iterator

import pytest

from tests.support.stub_server import Answer, StubHandler, StubServer, serving

JSON = {"Content-Type": "application/json"}
REPORTED: Answer = (200, JSON, json.dumps({"info": {"version": "1.2.3"}}).encode())


class Dependency(StubServer):
    """Responds to every request with `response`."""

    response: Answer = REPORTED

    def answer(self, _handler: StubHandler) -> Answer:
        return self.response


@pytest.fixture(scope="module")
def dependency() -> Iterator[Dependency]:
    """A dependency that is well."""
    with serving(Dependency()) as dependency:
        yield dependency
