"""HTTP <-> Python for charges and refunds, nothing else."""

from typing import Any

import svcs
from flask_openapi3 import APIBlueprint

from app.database import write_session
from app.errors import problem_responses
from services.payment import use_cases
from services.payment.processor import Processor
from services.payment.schemas import ChargeResponse, NewCharge, NewRefund

blueprint = APIBlueprint("payment", __name__)


@blueprint.post("/charges", responses={200: ChargeResponse, **problem_responses(400, 402, 409, 413, 415, 422, 503)})
def post_charge(body: NewCharge) -> dict[str, Any]:
    """Charge an order; the same call again changes nothing."""
    charge = use_cases.charge(
        write_session(),
        svcs.flask.get(Processor),
        body.order_id,
        body.payment_token,
        body.amount,
        body.currency,
    )
    return ChargeResponse.of(charge)


@blueprint.post("/refunds", responses={200: ChargeResponse, **problem_responses(400, 413, 415, 422, 503)})
def post_refund(body: NewRefund) -> dict[str, Any]:
    """Give an order's money back; the same call again changes nothing."""
    charge = use_cases.refund(write_session(), svcs.flask.get(Processor), body.order_id)
    return ChargeResponse.of(charge)
