"""A note is kept once, as it was sent first."""

import uuid
from collections.abc import Callable, Iterator

import pytest
import requests

from tests.conftest import RunningService, start_service
from tests.skeleton.conftest import Dependency


@pytest.fixture(scope="module")
def skeleton(new_database: Callable[[str], str], dependency: Dependency) -> Iterator[RunningService]:
    """skeleton-service."""
    service = start_service(
        "skeleton",
        new_database("skeleton"),
        NOTIFICATION_URL=dependency.url,
    )
    yield service
    service.close()


def put(service: RunningService, note_id: uuid.UUID, label: str = "first-note") -> requests.Response:
    return requests.put(f"{service.url}/notes/{note_id}", json={"label": label}, timeout=60)


def test_a_note_is_kept_once_and_can_be_read(skeleton: RunningService) -> None:
    note_id = uuid.uuid4()
    first, again = put(skeleton, note_id), put(skeleton, note_id)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert first.json() == {
        "id": str(note_id),
        "label": "first-note",
        "notification_version": "1.2.3",
        "created_at": first.json()["created_at"],
    }
    assert requests.get(f"{skeleton.url}/notes/{note_id}", timeout=60).json() == first.json()


def test_a_note_does_not_change(skeleton: RunningService) -> None:
    note_id = uuid.uuid4()
    first, other = put(skeleton, note_id), put(skeleton, note_id, "another-note")
    assert (other.status_code, other.json()["type"]) == (409, "tag:waybill.example,2026:note-differs")
    assert requests.get(f"{skeleton.url}/notes/{note_id}", timeout=60).json() == first.json()


def test_a_note_that_was_never_kept_is_not_found(skeleton: RunningService) -> None:
    response = requests.get(f"{skeleton.url}/notes/{uuid.uuid4()}", timeout=60)
    assert (response.status_code, response.headers["Content-Type"]) == (404, "application/problem+json")
