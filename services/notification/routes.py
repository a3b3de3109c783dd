"""HTTP <-> Python for notifications, nothing else."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import svcs
from flask_openapi3 import APIBlueprint

from app.database import write_session
from app.errors import problem_responses
from services.notification.channels import Channel
from services.notification.models import Notification
from services.notification.schemas import NewNotification, NotificationPath, NotificationResponse
from services.notification.use_cases import notify

blueprint = APIBlueprint("notifications", __name__)


@blueprint.put(
    "/notifications/<uuid:order_id>/<string:template>",
    responses={
        200: NotificationResponse,
        201: NotificationResponse,
        **problem_responses(400, 404, 409, 413, 415, 422, 503),
    },
)
def put_notification(path: NotificationPath, body: NewNotification) -> tuple[dict[str, Any], int]:
    """Notify a customer about an order. 201 if this request sent the notification, 200 if it was sent before."""
    notification, created = notify(write_session(), svcs.flask.get(Channel), notification_from_json(path, body))
    return NotificationResponse.of(notification), HTTPStatus.CREATED if created else HTTPStatus.OK


def notification_from_json(path: NotificationPath, body: NewNotification) -> Notification:
    """Return a notification that has not been sent."""
    return Notification(
        order_id=path.order_id,
        template=path.template,
        customer_id=body.customer_id,
        created_at=datetime.now(UTC),
    )
