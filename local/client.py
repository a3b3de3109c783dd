"""HTTP client of the order API, and of the read API in either stack, with errors that say what to do."""

import re
import uuid
from http import HTTPStatus
from typing import Any

import requests

import waybill_explorer.client
from waybill_explorer.client import Advice, ClientError, json_of, new_session, request

ADVICE = Advice("start it with `make demo`, or look with `waybill doctor`", "look with `waybill doctor`")


class TraceApi(waybill_explorer.client.TraceApi):
    """The read API on TRACES_PORT: the explorer's, or the container stack's Jaeger's."""

    advice = ADVICE


def trace_id_of(response: requests.Response) -> str | None:
    """Return the trace id in a response's W3C `traceresponse` header (version-traceid-spanid-flags)."""
    match = re.fullmatch(
        r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}", response.headers.get("traceresponse", "")
    )
    return match[1] if match else None


def order_body(lines: dict[str, int], *, token: str, region: str, customer: str) -> dict[str, Any]:
    """Return the JSON body of `POST /orders`; `lines` maps sku to quantity."""
    return {
        "customer_id": customer,
        "region": region,
        "payment_token": token,
        "lines": [{"sku": sku, "quantity": quantity} for sku, quantity in lines.items()],
    }


def place_order(api: str, body: dict[str, Any], key: str | None = None) -> requests.Response:
    """`POST /orders`, under a new Idempotency-Key unless one is given."""
    headers = {"Idempotency-Key": key or str(uuid.uuid4())}
    with new_session() as session:
        return request(session, "POST", f"{api}/orders", who="order-service", advice=ADVICE, json=body, headers=headers)


def skus_in_stock(api: str) -> list[str]:
    """Return the SKUs in stock, the most plentiful first. Raise ClientError if there are none."""
    with new_session() as session:
        response = request(session, "GET", f"{api}/items", who="order-service", advice=ADVICE)
    if response.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
        raise ClientError("order-service gets no catalogue from inventory-service: look with `waybill doctor`")
    answer = json_of(response)
    try:
        plentiful_first = sorted(answer["items"], key=lambda item: -item["stock"])
        skus = [item["sku"] for item in plentiful_first if item["stock"] > 0]
    except (TypeError, KeyError) as error:
        raise ClientError(f"{api}/items is not order-service's catalogue: something else has its port") from error
    if not skus:
        raise ClientError("every item is out of stock: start afresh with `waybill reset`, or name one with --sku")
    return skus
