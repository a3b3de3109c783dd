"""Recovery beside the requests: resume what was interrupted, watch the leases, retry what waits for a person."""

import logging
import uuid
from collections.abc import Sequence

from sqlalchemy import TextClause, func, or_, select, update
from sqlalchemy.orm import Session

from app.database import DatabaseTime
from app.telemetry import untraced
from services.order.clients import Clients
from services.order.models import (
    IS_DEAD_LETTER,
    LEASE,
    MAX_SLOW_BACKOFF,
    WAITS_TO_NOTIFY,
    WAITS_TO_SETTLE,
    Order,
    Step,
)
from services.order.saga import Attempt, ids_of, process
from services.order.telemetry import dead_letters

logger = logging.getLogger(__name__)


def recover_orders(session: Session, clients: Clients) -> bool:
    """Resume one unsettled order whose lease has expired or whose attempt is due. Return False if there is none."""
    return _recover(session, clients, WAITS_TO_SETTLE)


def recover_notifications(session: Session, clients: Clients) -> bool:
    """Send the notification of one confirmed order that lacks it. Return False if there is none.

    This is separate from recover_orders, so that a notification-service that hangs delays no order.
    """
    return _recover(session, clients, WAITS_TO_NOTIFY)


def watch_orders(session: Session) -> bool:
    """Report the dead letters, and expire leases and waits that are further ahead than the clock allows.

    Such a time was written before the clock was set back. Only times more than twice the longest lease or backoff
    ahead are certain to be wrong; a nearer one may be valid.
    Return False, because the next run is not due immediately.
    """
    lease, backoff = DatabaseTime(2 * LEASE), DatabaseTime(2 * MAX_SLOW_BACKOFF)
    expire = update(Order).values(next_attempt_at=DatabaseTime()).execution_options(synchronize_session=False)
    count = select(Order.dead_letter_step, func.count()).where(IS_DEAD_LETTER).group_by(Order.dead_letter_step)
    with untraced(), session.begin():
        short = or_(Order.invalid_responses == 0, Order.next_attempt_at > backoff)
        session.execute(expire.where(WAITS_TO_SETTLE, Order.next_attempt_at > lease, short))
        session.execute(expire.where(WAITS_TO_NOTIFY, Order.next_attempt_at > backoff))
        counts = {row[0]: row[1] for row in session.execute(count)}
    for step in Step:
        dead_letters.set(counts.get(step, 0), {"order.dead_letter_step": step})
    return False


def list_dead_letters(session: Session) -> Sequence[Order]:
    """Return the orders that wait for a person, oldest first."""
    with untraced(), session.begin():
        return session.scalars(select(Order).where(IS_DEAD_LETTER).order_by(Order.created_at, Order.id)).all()


def retry_dead_letters(session: Session, order_id: uuid.UUID | None = None) -> int:
    """Make an attempt at one dead letter, or at all of them, due immediately. Return how many there were."""
    query = select(Order, DatabaseTime()).where(IS_DEAD_LETTER).with_for_update(of=Order)
    if order_id is not None:
        query = query.where(Order.id == order_id)
    with untraced(), session.begin():
        found = session.execute(query).all()
        for order, now in found:
            order.retry(now)
    return len(found)


def _recover(session: Session, clients: Clients, lane: TextClause) -> bool:
    lease_owner = uuid.uuid4()
    with untraced():
        order = _acquire_due(session, lease_owner, lane)
    if order is None:
        return False
    logger.info("resuming an order", extra={**ids_of(order), "order.status": order.status})
    process(Attempt(session, clients, order, lease_owner))
    return True


def _acquire_due(session: Session, lease_owner: uuid.UUID, lane: TextClause) -> Order | None:
    query = (
        select(Order, DatabaseTime())
        .where(lane, Order.next_attempt_at <= DatabaseTime())
        .order_by(Order.next_attempt_at)
        .limit(1)
        .with_for_update(skip_locked=True, of=Order)
    )
    with session.begin():
        found = session.execute(query).one_or_none()
        if found is None:
            return None
        order: Order = found[0]
        order.acquire(lease_owner, now=found[1])
    return order
