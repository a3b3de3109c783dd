"""A customer is told something once, or as often as it takes until it gets through."""

import uuid
from collections.abc import Callable, Iterator

import pytest
import requests

from services.notification.channels import LogChannel
from services.notification.models import Notification, Template
from tests.conftest import RunningService, start_service


@pytest.fixture(scope="module")
def notification(new_sqlite: Callable[[str], str]) -> Iterator[RunningService]:
    """notification-service."""
    service = start_service("notification", new_sqlite("notification"))
    yield service
    service.close()


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Notification]:
    """What goes out."""
    out: list[Notification] = []
    monkeypatch.setattr(LogChannel, "send", lambda _channel, notification: out.append(notification))
    return out


def tell(notification: RunningService, order_id: str, customer_id: str = "cus_1") -> requests.Response:
    url = f"{notification.url}/notifications/{order_id}/order_confirmed"
    return requests.put(url, json={"customer_id": customer_id}, timeout=60)


def test_a_notification_is_recorded_and_sent_once(notification: RunningService, sent: list[Notification]) -> None:
    order_id = str(uuid.uuid4())
    first, again = tell(notification, order_id), tell(notification, order_id)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert (first.json()["order_id"], first.json()["template"]) == (order_id, "order_confirmed")
    assert first.json()["sent_at"].endswith("Z")
    assert [str(one.order_id) for one in sent] == [order_id]


def test_the_same_notification_to_another_customer_is_refused(
    notification: RunningService, sent: list[Notification]
) -> None:
    order_id = str(uuid.uuid4())
    tell(notification, order_id)
    response = tell(notification, order_id, "cus_2")
    assert (response.status_code, response.json()["type"]) == (409, "tag:waybill.example,2026:notification-differs")
    assert [one.customer_id for one in sent] == ["cus_1"]


def test_a_template_that_does_not_exist_is_refused(notification: RunningService, sent: list[Notification]) -> None:
    url = f"{notification.url}/notifications/{uuid.uuid4()}/order_lost"
    response = requests.put(url, json={"customer_id": "cus_1"}, timeout=60)
    assert response.status_code == 422
    assert [error["field"] for error in response.json()["errors"]] == ["template"]
    assert sent == []


def test_a_channel_that_fails_is_tried_again_and_nothing_is_lost(
    notification: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_id = str(uuid.uuid4())
    outcomes: list[Exception | None] = [OSError("no route"), TimeoutError("too slow"), None]

    def send(_channel: LogChannel, _notification: Notification) -> None:
        outcome = outcomes.pop(0)
        if outcome is not None:
            raise outcome

    monkeypatch.setattr(LogChannel, "send", send)
    for _ in range(2):
        assert tell(notification, order_id).status_code >= 500
        with notification.session() as session, session.begin():
            assert session.get_one(Notification, (uuid.UUID(order_id), Template.ORDER_CONFIRMED)).sent_at is None
    through = tell(notification, order_id)
    assert (through.status_code, through.json()["sent_at"] is None) == (201, False)
    assert tell(notification, order_id).status_code == 200
    assert outcomes == []


def test_the_log_says_that_it_was_sent_but_not_to_whom(
    notification: RunningService, caplog: pytest.LogCaptureFixture
) -> None:
    order_id = str(uuid.uuid4())
    response = tell(notification, order_id, "cus_secret")
    record = next(record for record in caplog.records if record.message == "notification sent")
    assert record.__dict__["order.id"] == order_id
    assert "cus_secret" not in response.text + "".join(str(record.__dict__) for record in caplog.records)
