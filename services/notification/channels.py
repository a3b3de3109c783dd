"""The ways a notification can go out."""

import logging
from typing import Protocol

from services.notification.models import Notification

logger = logging.getLogger(__name__)


class Channel(Protocol):
    """Something that brings a notification to its customer."""

    name: str

    def send(self, notification: Notification) -> None:
        """Deliver it, or raise; a notification may come twice if the process dies right after this."""


class LogChannel:
    """Write to the log that it was sent, but not to whom: personal data does not belong there."""

    name = "log"

    def send(self, notification: Notification) -> None:
        """One log line, without the address."""
        logger.info(
            "notification sent",
            extra={"order.id": str(notification.order_id), "notification.template": str(notification.template)},
        )
