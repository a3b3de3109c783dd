"""HTTP client of the order API, and of the read API in either stack, with errors that say what to do."""

import re
import uuid
from http import HTTPStatus
from typing import Any

import requests

import waybill_explorer.client
from waybill_explorer.client import TIMEOUT, Advice, ClientError, json_of, new_session, request
from waybill_explorer.trace_tree import Trace

ADVICE = Advice("start it with `make demo` or `make up`, or look with `waybill doctor`", "look with `waybill doctor`")
LOGS_AROUND = 60_000_000
"""How long (µs) before and after its spans the logs of a trace are looked for: the clocks of machines differ."""
MAX_LOGS = 1000


class TraceApi(waybill_explorer.client.TraceApi):
    """The read API on TRACES_PORT: the explorer's, or the container stack's Jaeger's with the logs of its Loki."""

    advice = ADVICE

    def __init__(self, base: str, loki: str = "") -> None:
        super().__init__(base)
        self._loki = loki

    def _logs(self, trace: Trace) -> list[dict[str, Any]] | None:
        logs = super()._logs(trace)
        return self._logs_in_loki(trace) if logs is None and self._loki else logs

    def _logs_in_loki(self, trace: Trace) -> list[dict[str, Any]] | None:
        """Return the records of a trace in the form of `/api/logs`, or None where no Loki responds."""
        params: dict[str, str | int] = {
            "query": f'{{service_name=~".+"}} | trace_id="{trace.trace_id}"',
            "start": (trace.start - LOGS_AROUND) * 1000,  # ns
            "end": (trace.end + LOGS_AROUND) * 1000,
            "limit": MAX_LOGS,
            "direction": "forward",
        }
        try:
            response = self._session.get(f"{self._loki}/loki/api/v1/query_range", params=params, timeout=TIMEOUT)
        except requests.RequestException:
            return None
        body = json_of(response)
        if not response.ok or not isinstance(body, dict):
            return None
        records = (
            {
                "timestamp": int(nanoseconds) // 1000,
                "service": stream["stream"].get("service_name", ""),
                "level": stream["stream"].get("severity_text", ""),
                "body": line,
                "trace_id": trace.trace_id,
                "span_id": stream["stream"].get("span_id"),
            }
            for stream in body["data"]["result"]
            for nanoseconds, line, *_rest in stream["values"]
        )
        return sorted(records, key=lambda record: record["timestamp"])


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
