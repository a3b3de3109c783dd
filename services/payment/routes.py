"""HTTP <-> Python for charges and refunds, nothing else."""

from http import HTTPStatus
from typing import Any

import svcs
from flask_openapi3 import APIBlueprint

from app.database import write_session
from app.errors import problem_responses
from services.payment import use_cases
from services.payment.processor import Processor
from services.payment.schemas import ChargePath, ChargeResponse, NewCharge, NewRefund

blueprint = APIBlueprint("payment", __name__)


@blueprint.put(
    "/charges/<uuid:order_id>",
    responses={
        200: ChargeResponse,
        201: ChargeResponse,
        **problem_responses(400, 402, 404, 409, 413, 415, 422, 503),
    },
)
def put_charge(path: ChargePath, body: NewCharge) -> tuple[dict[str, Any], int]:
    """Charge an order. 201 if this request charged it, 200 if it was charged before."""
    charge, created = use_cases.charge(
        write_session(),
        svcs.flask.get(Processor),
        path.order_id,
        body.payment_token,
        body.amount,
        body.currency,
    )
    return ChargeResponse.of(charge), HTTPStatus.CREATED if created else HTTPStatus.OK


@blueprint.put(
    "/charges/<uuid:order_id>/refund",
    responses={200: ChargeResponse, 201: ChargeResponse, **problem_responses(400, 404, 413, 415, 422, 503)},
)
def put_refund(path: ChargePath, body: NewRefund) -> tuple[dict[str, Any], int]:  # noqa: ARG001 - is checked
    """Refund an order.

    201 if this request refunded it, or voided in advance a charge that has not arrived; 200 if there was nothing to
    refund any more.
    """
    charge, created = use_cases.refund(write_session(), svcs.flask.get(Processor), path.order_id)
    return ChargeResponse.of(charge), HTTPStatus.CREATED if created else HTTPStatus.OK
