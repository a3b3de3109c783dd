"""The states of an order and its lease. No database takes part."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from app.database import LOCK_WAIT
from app.http_client import CALL_DEADLINE
from services.order.models import (
    LEASE,
    MAX_BACKOFF,
    MAX_SLOW_BACKOFF,
    MIN_ATTEMPTS,
    ORDER_TIMEOUT,
    LeaseLost,
    Order,
    OrderLine,
    Reason,
    Status,
    Step,
    WrongTransition,
)

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
ALLOWED = [
    (Status.PENDING, Status.RESERVED),
    (Status.PENDING, Status.CANCELLED),
    (Status.RESERVED, Status.CHARGED),
    (Status.RESERVED, Status.CANCELLED),
    (Status.CHARGED, Status.CONFIRMED),
]
REFUSED = [(origin, target) for origin in Status for target in Status if (origin, target) not in ALLOWED]


def order_in(status: Status, **fields: object) -> Order:
    """An order that has got as far as `status`."""
    values = {"id": uuid.uuid4(), "status": status, "attempts": 0, "created_at": NOW, "updated_at": NOW, **fields}
    return Order(**values)


@pytest.mark.parametrize(("origin", "target"), ALLOWED)
def test_an_order_goes_where_its_state_leads(origin: Status, target: Status) -> None:
    order = order_in(origin)
    order.advance(target)
    assert order.status is target


@pytest.mark.parametrize(("origin", "target"), REFUSED)
def test_an_order_refuses_to_go_anywhere_else(origin: Status, target: Status) -> None:
    order = order_in(origin)
    with pytest.raises(WrongTransition, match=f"cannot go from {origin} to {target}"):
        order.advance(target)
    assert order.status is origin


@pytest.mark.parametrize("status", [Status.PENDING, Status.RESERVED])
def test_an_order_that_is_not_paid_can_be_given_up(status: Status) -> None:
    order = order_in(status)
    order.begin_cancellation(Reason.TIMED_OUT)
    assert (order.reason, order.status) == (Reason.TIMED_OUT, status)


@pytest.mark.parametrize("status", [Status.CHARGED, Status.CONFIRMED, Status.CANCELLED])
def test_an_order_that_is_paid_or_over_is_not_given_up(status: Status) -> None:
    order = order_in(status)
    with pytest.raises(WrongTransition):
        order.begin_cancellation(Reason.TIMED_OUT)
    assert order.reason is None


@pytest.mark.parametrize("status", Status)
def test_only_a_confirmed_or_cancelled_order_is_settled(status: Status) -> None:
    assert order_in(status).settled is (status in (Status.CONFIRMED, Status.CANCELLED))


def test_a_confirmed_order_is_finished_once_its_customer_was_told() -> None:
    assert not order_in(Status.CONFIRMED).finished
    assert order_in(Status.CONFIRMED, notified_at=NOW).finished


def test_nobody_has_to_be_told_of_a_cancelled_order() -> None:
    assert order_in(Status.CANCELLED).finished


def test_the_total_is_the_sum_of_its_lines() -> None:
    lines = [OrderLine(sku="TEA-ASSAM", quantity=2), OrderLine(sku="CUP-RAKU", quantity=1)]
    order = order_in(Status.PENDING, lines=lines)
    order.price("EUR", {"CUP-RAKU": 12900, "TEA-ASSAM": 890})
    assert (order.total, order.currency) == (2 * 890 + 12900, "EUR")
    assert [line.unit_price for line in lines] == [890, 12900]


def test_whoever_takes_an_order_holds_it_for_the_time_of_a_lease() -> None:
    order = order_in(Status.PENDING)
    lease_owner = uuid.uuid4()
    order.acquire(lease_owner, NOW)
    assert (order.lease_owner, order.next_attempt_at, order.attempts) == (lease_owner, NOW + LEASE, 1)


def test_a_lease_is_renewed_after_each_step() -> None:
    order = order_in(Status.PENDING)
    lease_owner = uuid.uuid4()
    order.acquire(lease_owner, NOW)
    later = NOW + timedelta(seconds=3)
    order.renew(lease_owner, later)
    assert (order.next_attempt_at, order.updated_at) == (later + LEASE, later)


def test_a_lease_that_another_worker_has_acquired_cannot_be_renewed() -> None:
    order = order_in(Status.PENDING)
    slow, quick = uuid.uuid4(), uuid.uuid4()
    order.acquire(slow, NOW)
    order.acquire(quick, NOW + LEASE)
    with pytest.raises(LeaseLost):
        order.renew(slow, NOW + LEASE)
    assert (order.lease_owner, order.next_attempt_at) == (quick, NOW + 2 * LEASE)


def test_a_lease_that_was_given_back_cannot_be_renewed() -> None:
    order = order_in(Status.PENDING)
    lease_owner = uuid.uuid4()
    order.acquire(lease_owner, NOW)
    order.release(NOW)
    with pytest.raises(LeaseLost):
        order.renew(lease_owner, NOW)


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 1), (2, 2), (3, 4), (4, 5), (100, 5), (10_000, 5)])
def test_an_unfinished_order_rests_longer_after_each_attempt_up_to_a_bound(attempts: int, seconds: int) -> None:
    order = order_in(Status.RESERVED, attempts=attempts)
    order.release(NOW)
    assert (order.lease_owner, order.next_attempt_at) == (None, NOW + timedelta(seconds=seconds))
    assert timedelta(seconds=5) == MAX_BACKOFF


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 1), (2, 2), (9, 256), (10, 300), (10_000, 300)])
def test_a_notification_rests_longer_than_an_order_that_holds_stock_or_money(attempts: int, seconds: int) -> None:
    order = order_in(Status.CONFIRMED, attempts=attempts)
    order.release(NOW)
    assert order.next_attempt_at == NOW + timedelta(seconds=seconds)
    assert timedelta(seconds=300) == MAX_SLOW_BACKOFF


def test_a_step_whose_contract_is_broken_rests_longer_after_each_broken_answer() -> None:
    order = order_in(Status.RESERVED, attempts=3, invalid_responses=8)
    order.release(NOW)
    assert order.next_attempt_at == NOW + timedelta(seconds=128)


def test_an_order_that_got_further_forgets_the_broken_answers_on_its_way() -> None:
    order = order_in(Status.PENDING, invalid_responses=8)
    order.advance(Status.RESERVED)
    assert order.invalid_responses == 0


def test_a_lease_is_longer_than_the_longest_call_and_the_wait_for_the_lock_that_records_it() -> None:
    assert timedelta(seconds=CALL_DEADLINE + LOCK_WAIT) <= LEASE


def test_a_dead_letter_is_not_due_until_a_person_retries_it() -> None:
    order = order_in(Status.CONFIRMED, attempts=1, invalid_responses=20)
    order.acquire(uuid.uuid4(), NOW)
    order.mark_dead_letter(Step.SEND_NOTIFICATION, "r" * 1000)
    assert (order.lease_owner, order.next_attempt_at, order.status) == (None, None, Status.CONFIRMED)
    assert (order.dead_letter_step, order.dead_letter_reason) == (Step.SEND_NOTIFICATION, "r" * 200)
    order.retry(NOW)
    assert (order.next_attempt_at, order.dead_letter_step, order.invalid_responses) == (NOW, None, 0)


@pytest.mark.parametrize("order", [order_in(Status.CANCELLED), order_in(Status.CONFIRMED, notified_at=NOW)])
def test_a_finished_order_rests_for_good(order: Order) -> None:
    order.attempts = 1
    order.release(NOW)
    assert order.next_attempt_at is None


@pytest.mark.parametrize("status", [Status.PENDING, Status.RESERVED])
def test_an_order_that_takes_too_long_to_be_paid_is_overdue(status: Status) -> None:
    order = order_in(status, attempts=MIN_ATTEMPTS)
    assert not order.overdue(NOW + ORDER_TIMEOUT)
    assert order.overdue(NOW + ORDER_TIMEOUT + timedelta(seconds=1))


@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_that_is_set_makes_no_order_overdue_that_was_hardly_tried(hours: int) -> None:
    later = NOW + timedelta(hours=hours, seconds=10)
    assert not order_in(Status.RESERVED, attempts=MIN_ATTEMPTS - 1).overdue(later)
    assert order_in(Status.RESERVED, attempts=MIN_ATTEMPTS).overdue(later)


@pytest.mark.parametrize("status", [Status.CHARGED, Status.CONFIRMED, Status.CANCELLED])
def test_an_order_that_is_paid_or_over_is_never_overdue(status: Status) -> None:
    assert not order_in(status, attempts=99).overdue(NOW + timedelta(days=30))


def test_an_order_that_was_given_up_is_not_given_up_again() -> None:
    order = order_in(Status.RESERVED, attempts=99, reason=Reason.PAYMENT_DECLINED)
    assert not order.overdue(NOW + timedelta(days=30))
