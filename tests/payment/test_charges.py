"""Money is taken once and given back once, and the processor's own books say the same."""

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from services.payment.models import Charge, ChargeStatus, EntryKind, ProcessorEntry
from tests.conftest import RunningService, start_service

CARD = "tok_4111111111111111"


@pytest.fixture(scope="module")
def payment(new_database: Callable[[str], str]) -> Iterator[RunningService]:
    """payment-service with a processor that answers at once."""
    service = start_service("payment", new_database("payment"), PROCESSOR_LATENCY_MS="0")
    yield service
    service.close()


@pytest.fixture
def order_id() -> str:
    """An order that was not charged."""
    return str(uuid.uuid4())


def charge(payment: RunningService, order_id: str, token: str = "tok_approve", amount: int = 500) -> requests.Response:
    body = {"payment_token": token, "amount": amount, "currency": "EUR"}
    return requests.put(f"{payment.url}/charges/{order_id}", json=body, timeout=30)


def refund(payment: RunningService, order_id: str) -> requests.Response:
    return requests.put(f"{payment.url}/charges/{order_id}/refund", json={}, timeout=30)


def books(payment: RunningService, order_id: str) -> list[tuple[str, int]]:
    """What the processor did under this order's id."""
    query = select(ProcessorEntry).where(ProcessorEntry.idempotency_key == uuid.UUID(order_id))
    with payment.session() as session, session.begin():
        return [(str(entry.kind), entry.amount) for entry in session.scalars(query.order_by(ProcessorEntry.kind))]


def test_an_approved_charge_is_captured_once_however_often_it_is_asked_for(
    payment: RunningService, order_id: str
) -> None:
    first, again = charge(payment, order_id), charge(payment, order_id)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == {"order_id": order_id, "status": "APPROVED", "amount": 500, "currency": "EUR"}
    assert again.json() == first.json()
    assert books(payment, order_id) == [("CAPTURE", 500)]


def test_the_same_charge_many_times_at_once_is_captured_once(payment: RunningService) -> None:
    for _ in range(5):
        order_id = str(uuid.uuid4())
        with ThreadPoolExecutor(8) as senders:
            responses = list(senders.map(lambda _, order=order_id: charge(payment, order), range(8)))
        assert sorted(response.status_code for response in responses) == [200] * 7 + [201]
        assert books(payment, order_id) == [("CAPTURE", 500)]


def test_a_declined_charge_stays_declined_and_takes_nothing(payment: RunningService, order_id: str) -> None:
    for _ in range(2):
        response = charge(payment, order_id, "tok_decline")
        assert (response.status_code, response.json()["type"]) == (402, "tag:waybill.example,2026:card-declined")
    assert books(payment, order_id) == []


def test_a_declined_order_cannot_be_charged_to_another_card(payment: RunningService, order_id: str) -> None:
    charge(payment, order_id, "tok_decline")
    assert charge(payment, order_id, "tok_approve").status_code == 409
    assert books(payment, order_id) == []


def test_a_processor_that_did_not_answer_is_asked_again(payment: RunningService, order_id: str) -> None:
    first = charge(payment, order_id, "tok_fail_then_succeed")
    assert (first.status_code, first.headers["Retry-After"]) == (503, "1")
    assert books(payment, order_id) == []
    second = charge(payment, order_id, "tok_fail_then_succeed")
    assert (second.status_code, second.json()["status"]) == (201, "APPROVED")
    assert books(payment, order_id) == [("CAPTURE", 500)]


@pytest.mark.parametrize("changes", [{"amount": 501}, {"token": "tok_slow"}], ids=["amount", "token"])
def test_another_charge_for_the_same_order_is_refused(
    payment: RunningService, order_id: str, changes: dict[str, Any]
) -> None:
    charge(payment, order_id)
    response = charge(payment, order_id, **changes)
    assert (response.status_code, response.json()["type"]) == (409, "tag:waybill.example,2026:charge-differs")
    assert books(payment, order_id) == [("CAPTURE", 500)]


def test_a_refund_gives_back_what_was_captured_once(payment: RunningService, order_id: str) -> None:
    charge(payment, order_id)
    first, again = refund(payment, order_id), refund(payment, order_id)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == {"order_id": order_id, "status": "REFUNDED", "amount": 500, "currency": "EUR"}
    assert again.json() == first.json()
    assert books(payment, order_id) == [("CAPTURE", 500), ("REFUND", 500)]


def test_a_refund_many_times_at_once_gives_the_money_back_once(payment: RunningService) -> None:
    for _ in range(5):
        order_id = str(uuid.uuid4())
        charge(payment, order_id)
        with ThreadPoolExecutor(8) as senders:
            responses = list(senders.map(lambda _, order=order_id: refund(payment, order), range(8)))
        assert [response.json().get("status") for response in responses] == ["REFUNDED"] * 8
        assert sorted(response.status_code for response in responses) == [200] * 7 + [201]
        assert books(payment, order_id) == [("CAPTURE", 500), ("REFUND", 500)]


def test_a_refund_before_its_charge_bars_it(payment: RunningService, order_id: str) -> None:
    expected = {"order_id": order_id, "status": "VOIDED", "amount": None, "currency": None}
    first, again = refund(payment, order_id), refund(payment, order_id)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json() == expected
    response = charge(payment, order_id)
    assert (response.status_code, response.json()["type"]) == (409, "tag:waybill.example,2026:charge-refunded")
    assert books(payment, order_id) == []


def test_a_refunded_charge_is_not_made_again(payment: RunningService, order_id: str) -> None:
    charge(payment, order_id)
    refund(payment, order_id)
    assert charge(payment, order_id).json()["type"] == "tag:waybill.example,2026:charge-refunded"
    assert books(payment, order_id) == [("CAPTURE", 500), ("REFUND", 500)]


def test_the_refund_of_a_declined_charge_gives_nothing_back(payment: RunningService, order_id: str) -> None:
    charge(payment, order_id, "tok_decline")
    response = refund(payment, order_id)
    assert (response.status_code, response.json()["status"]) == (200, "DECLINED")
    assert books(payment, order_id) == []


def test_the_refund_of_a_charge_on_its_way_bars_it_at_the_processor(payment: RunningService, order_id: str) -> None:
    charge(payment, order_id, "tok_fail_then_succeed")
    assert refund(payment, order_id).json()["status"] == "VOIDED"
    assert charge(payment, order_id, "tok_fail_then_succeed").status_code == 409
    assert books(payment, order_id) == [("VOID", 0)]


def test_the_refund_of_a_capture_whose_outcome_was_never_recorded_gives_it_back(
    payment: RunningService, order_id: str
) -> None:
    charge(payment, order_id)
    with payment.session() as session, session.begin():
        session.get_one(Charge, uuid.UUID(order_id)).status = ChargeStatus.PENDING
    assert refund(payment, order_id).json()["status"] == "REFUNDED"
    assert books(payment, order_id) == [("CAPTURE", 500), ("REFUND", 500)]


def test_a_charge_and_a_refund_at_the_same_moment_leave_no_money_taken(payment: RunningService) -> None:
    for _ in range(20):
        order_id = str(uuid.uuid4())
        charge(payment, order_id, "tok_fail_then_succeed")
        with ThreadPoolExecutor(4) as senders:
            charges = [senders.submit(charge, payment, order_id, "tok_fail_then_succeed") for _ in range(2)]
            refunds = [senders.submit(refund, payment, order_id) for _ in range(2)]
        assert {future.result().status_code for future in charges} <= {200, 201, 409}
        assert {future.result().status_code for future in refunds} <= {200, 201}
        status = refund(payment, order_id).json()["status"]
        expected = {"REFUNDED": [("CAPTURE", 500), ("REFUND", 500)], "VOIDED": [("VOID", 0)]}
        assert books(payment, order_id) == expected[status]


def test_the_books_take_no_capture_beside_a_void(payment: RunningService, order_id: str) -> None:
    """When a charge and a refund look at the same moment and neither sees the other, the database decides."""
    charge(payment, order_id, "tok_fail_then_succeed")
    refund(payment, order_id)
    capture = ProcessorEntry(
        idempotency_key=uuid.UUID(order_id),
        kind=EntryKind.CAPTURE,
        amount=500,
        currency="EUR",
        created_at=datetime.now(UTC),
    )
    with pytest.raises(IntegrityError), payment.session() as session, session.begin():
        session.add(capture)
    assert books(payment, order_id) == [("VOID", 0)]


def test_a_card_number_sent_for_a_token_comes_back_nowhere(
    payment: RunningService, order_id: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    body = {"payment_token": "4111 1111 1111 1111", "amount": 500, "currency": "EUR"}
    response = requests.put(f"{payment.url}/charges/{order_id}", json=body, timeout=30)
    assert response.status_code == 422
    assert [error["field"] for error in response.json()["errors"]] == ["payment_token"]
    charge(payment, order_id, CARD)
    captured = capfd.readouterr()
    everything = response.text + captured.out + captured.err + caplog.text
    assert "PUT /charges/<uuid:order_id> 402" in everything
    assert "4111" not in everything
