"""A note is not kept without what another service has to add to it."""

import uuid
from collections.abc import Callable, Iterator

import pytest
import requests

from tests.conftest import RunningService, start_service
from tests.skeleton.conftest import JSON, Dependency
from tests.support.stub_server import Answer


@pytest.fixture
def skeleton(new_sqlite: Callable[[str], str], dependency: Dependency) -> Iterator[RunningService]:
    """skeleton-service."""
    service = start_service(
        "skeleton",
        new_sqlite("skeleton"),
        NOTIFICATION_URL=dependency.url,
    )
    yield service
    service.close()


@pytest.mark.parametrize(
    ("response", "status"),
    [
        ((503, {**JSON, "Retry-After": "0"}, b"{}"), 503),
        ((200, JSON, b'{"info": {}}'), 502),
        ((200, {"Content-Type": "text/html"}, b"<html>"), 502),
    ],
    ids=["unavailable", "incomplete", "not-json"],
)
def test_a_note_is_not_kept_while_a_dependency_fails_and_is_once_it_is_well(
    skeleton: RunningService,
    dependency: Dependency,
    response: Answer,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = f"{skeleton.url}/notes/{uuid.uuid4()}"
    with monkeypatch.context() as patch:
        patch.setattr(dependency, "response", response)
        assert requests.put(url, json={"label": "first-note"}, timeout=60).status_code == status
        assert requests.get(url, timeout=60).status_code == 404
    assert requests.put(url, json={"label": "first-note"}, timeout=60).status_code == 201
