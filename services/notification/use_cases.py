"""Telling a customer something, once for each order and template."""

from datetime import UTC, datetime

from sqlalchemy.orm import Session

from app.database import insert_once
from services.notification.channels import Channel
from services.notification.models import Notification, NotificationDiffers
from services.notification.telemetry import sent, tracer


def notify(session: Session, channel: Channel, notification: Notification) -> tuple[Notification, bool]:
    """Record the notification, send it, record that it was sent; what was sent before is not sent again.

    Return the notification, and whether this call sent it. Raise NotificationDiffers.
    """
    recorded = _record(session, notification)
    if recorded.sent_at is not None:
        return recorded, False
    _deliver(channel, recorded)
    with session.begin():
        recorded.sent_at = datetime.now(UTC)
    return recorded, True


def _record(session: Session, notification: Notification) -> Notification:
    with session.begin():
        if insert_once(session, notification):
            return notification
        known = session.get_one(Notification, (notification.order_id, notification.template))
    if known.customer_id != notification.customer_id:
        raise NotificationDiffers(f"order {known.order_id} has the notification {known.template} of another customer")
    return known


def _deliver(channel: Channel, notification: Notification) -> None:
    labels = {"notification.template": str(notification.template), "notification.channel": channel.name}
    with tracer.start_as_current_span("deliver", attributes={"order.id": str(notification.order_id), **labels}):
        channel.send(notification)
    sent.add(1, labels)
