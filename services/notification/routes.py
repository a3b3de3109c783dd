"""HTTP <-> Python for notifications, nothing else."""

from datetime import UTC, datetime
from typing import Any

import svcs
from flask_openapi3 import APIBlueprint

from app.database import write_session
from app.errors import problem_responses
from services.notification.channels import Channel
from services.notification.models import Notification
from services.notification.schemas import NewNotification, NotificationResponse
from services.notification.use_cases import notify

blueprint = APIBlueprint("notifications", __name__)


@blueprint.post("/notifications", responses={200: NotificationResponse, **problem_responses(400, 413, 415, 422, 503)})
def post_notification(body: NewNotification) -> dict[str, Any]:
    """Tell a customer something about an order; the same call again changes nothing."""
    notification = notify(write_session(), svcs.flask.get(Channel), notification_from_json(body))
    return NotificationResponse.of(notification)


def notification_from_json(body: NewNotification) -> Notification:
    """Return a notification that has not been sent."""
    return Notification(
        order_id=body.order_id,
        customer_id=body.customer_id,
        template=body.template,
        created_at=datetime.now(UTC),
    )
