"""What can never succeed is not tried for ever: it waits, as a dead letter, for a person who is told of it."""

import logging
import uuid
from collections.abc import Callable

import pytest
from click.testing import Result

from app.dependency_errors import CircuitOpen, DependencyRefused, DependencyUnavailable, InvalidResponse
from services.order import recovery
from services.order.clients import Clients
from services.order.models import MAX_INVALID_RESPONSES, Order, Step
from tests.conftest import Shop
from tests.order.conftest import lose_answers

SECRET = "tok_secret"


def fail_with(error: Exception) -> Callable[[object], None]:
    """A call that always fails so."""

    def call(_argument: object) -> None:
        raise error

    return call


def refusal(peer: str) -> DependencyRefused:
    return DependencyRefused(peer, 422, "invalid-request", f"no {SECRET} here")


def row(shop: Shop, order: dict[str, str]) -> Order:
    with shop.order.session() as session, session.begin():
        return session.get_one(Order, uuid.UUID(order["id"]))


def cli(shop: Shop, *arguments: str) -> Result:
    """Run `flask --app services.order dead-letters ...`."""
    return shop.order.app.test_cli_runner().invoke(args=["dead-letters", *arguments])


def dead_notification(shop: Shop, clients: Clients) -> dict[str, str]:
    """A confirmed order whose notification was refused for good."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clients, "notify", fail_with(refusal("notification-service")))
        order: dict[str, str] = shop.post_order().json()
    return order


@pytest.fixture(autouse=True)
def _no_dead_letters_of_other_tests(shop: Shop) -> None:
    cli(shop, "retry", "--all")
    shop.resume()
    assert cli(shop, "list").stdout == ""


def test_a_notification_that_is_refused_is_not_tried_again_and_the_order_stays_confirmed(
    shop: Shop, clients: Clients, caplog: pytest.LogCaptureFixture
) -> None:
    order = dead_notification(shop, clients)
    assert order["status"] == "CONFIRMED"
    shop.resume()
    assert shop.read_order(order) == order
    dead_letter = row(shop, order)
    assert (dead_letter.dead_letter_step, dead_letter.next_attempt_at, dead_letter.lease_owner) == (
        "send_notification",
        None,
        None,
    )
    (line,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert line.__dict__["order.id"] == order["id"]
    assert line.__dict__["order.dead_letter_step"] == "send_notification"


@pytest.mark.parametrize(
    ("call", "peer", "step"),
    [("refund", "payment-service", "refund_payment"), ("release", "inventory-service", "release_inventory")],
)
def test_a_compensation_that_is_refused_is_not_tried_again_until_a_person_asks_for_it(
    shop: Shop, clients: Clients, monkeypatch: pytest.MonkeyPatch, call: str, peer: str, step: str
) -> None:
    before = shop.stock()
    with monkeypatch.context() as patch:
        patch.setattr(clients, "charge", fail_with(refusal("payment-service")))
        patch.setattr(clients, call, fail_with(refusal(peer)))
        order = shop.post_order().json()
        shop.resume()
    assert (order["status"], order["reason"]) == ("RESERVED", "refused")
    assert row(shop, order).dead_letter_step == step
    shop.resume()
    assert shop.stock() == before - 2
    assert cli(shop, "retry", order["id"]).exit_code == 0
    shop.resume()
    assert shop.read_order(order)["status"] == "CANCELLED"
    assert shop.stock() == before


def test_dead_letters_are_listed_with_what_failed_but_not_with_what_the_peer_said(shop: Shop, clients: Clients) -> None:
    order = dead_notification(shop, clients)
    (line,) = cli(shop, "list").stdout.splitlines()
    assert line.split(maxsplit=3) == [
        order["id"],
        "CONFIRMED",
        "send_notification",
        "notification-service refused with 422",
    ]


def test_dead_letters_are_counted_by_step_until_they_are_retried(
    shop: Shop, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: dict[str, int] = {}

    class Gauge:
        def set(self, value: int, attributes: dict[str, str]) -> None:
            counts[attributes["order.dead_letter_step"]] = value

    monkeypatch.setattr(recovery, "dead_letters", Gauge())
    dead_notification(shop, clients)
    dead_notification(shop, clients)
    shop.watch()
    assert counts == {**dict.fromkeys(map(str, Step), 0), "send_notification": 2}
    cli(shop, "retry", "--all")
    shop.watch()
    assert counts == dict.fromkeys(Step, 0)


def test_a_dead_letter_that_is_retried_succeeds_once_its_cause_is_gone(shop: Shop, clients: Clients) -> None:
    one, other = dead_notification(shop, clients), dead_notification(shop, clients)
    assert cli(shop, "retry", one["id"]).exit_code == 0
    assert shop.recover_notification()
    assert row(shop, one).finished
    assert not row(shop, other).finished
    assert cli(shop, "retry", "--all").exit_code == 0
    assert shop.recover_notification()
    assert row(shop, other).finished
    assert cli(shop, "list").stdout == ""


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["retry", "7b1c2a34-0000-4000-8000-000000000000"], 1, "is not a dead letter"),
        (["retry", "garbage"], 2, "not a valid UUID"),
        (["retry"], 2, "No order given"),
        (["retry", "--all", "7b1c2a34-0000-4000-8000-000000000000"], 2, "No order given"),
    ],
)
def test_a_retry_of_nothing_says_why(shop: Shop, arguments: list[str], status: int, says: str) -> None:
    result = cli(shop, *arguments)
    assert result.exit_code == status
    assert says in result.output


@pytest.mark.parametrize("call", ["notify", "release"])
def test_a_contract_that_stays_broken_is_a_dead_letter_in_the_end(
    shop: Shop, clients: Clients, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Not at once: a bad deployment is rolled back, and then the orders go on by themselves."""
    token = "tok_approve" if call == "notify" else "tok_decline"
    with monkeypatch.context() as patch:
        patch.setattr(clients, call, fail_with(InvalidResponse("peer", "HTTP 500")))
        order = shop.post_order(payment_token=token).json()
        for _ in range(MAX_INVALID_RESPONSES - 2):
            shop.resume()
        assert row(shop, order).dead_letter_step is None
        patch.setattr(clients, call, fail_with(DependencyUnavailable("peer", "no answer")))
        shop.resume()
        patch.setattr(clients, call, fail_with(InvalidResponse("peer", "HTTP 500")))
        for _ in range(MAX_INVALID_RESPONSES - 1):
            shop.resume()
        assert row(shop, order).dead_letter_step is None
        shop.resume()
        assert row(shop, order).dead_letter_step is not None
    assert cli(shop, "retry", "--all").exit_code == 0
    shop.resume()
    assert row(shop, order).finished


@pytest.mark.parametrize("error", [DependencyUnavailable, CircuitOpen])
def test_what_is_only_unavailable_is_never_a_dead_letter(
    shop: Shop, clients: Clients, monkeypatch: pytest.MonkeyPatch, error: type[DependencyUnavailable]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(clients, "notify", fail_with(error("notification-service", "no answer")))
        order = shop.post_order().json()
        for _ in range(MAX_INVALID_RESPONSES + 1):
            shop.resume()
        assert row(shop, order).dead_letter_step is None
    shop.resume()
    assert row(shop, order).finished


def test_an_answer_that_is_lost_is_not_taken_for_a_refusal(
    shop: Shop, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        lose_answers(patch, clients, "notify")
        order = shop.post_order().json()
    assert row(shop, order).dead_letter_step is None
