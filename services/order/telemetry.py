"""Every span, attribute and instrument that order-service's own code emits.

Generated from telemetry.yaml. Change that, then run `make generate`.
"""

from opentelemetry import metrics, trace

tracer = trace.get_tracer("services.order")
meter = metrics.get_meter("services.order")

SPANS = {
    "process_order": "One attempt at an order: every step from its current state until it is settled or has to wait.",
    "validate_inventory": "Reserves the stock of every line. The response has the prices.",
    "charge_payment": "Charges the total to the payment token. Absent if the total is 0.",
    "send_notification": "Notifies the customer. Its failure never cancels the order.",
    "release_inventory": "Compensation: releases the reserved stock.",
    "refund_payment": "Compensation: refunds the payment, or voids in advance a charge that may still arrive.",
}

ATTRIBUTES = {
    "order.id": "UUID of the order.",
    "order.customer_id": (
        "Pseudonymous id of the customer, as the API has it: 1 to 64 letters, digits, _ and -. Never a name "
        "or an address."
    ),
    "order.status": "Status of the order when the span ended: PENDING, RESERVED, CHARGED, CONFIRMED, CANCELLED.",
    "order.cancel_reason": "Why it was canceled: out_of_stock, unknown_item, payment_declined, refused, timed_out.",
    "order.region": "Region of the customer: eu, us, ap.",
    "order.line_count": "Number of its lines.",
    "order.total": "Total price in minor units of order.currency.",
    "order.currency": "ISO 4217 code of order.total.",
    "order.charge_skipped": "Why there is no charge_payment.",
    "order.dead_letter_step": (
        "The step that made it a dead letter: validate_inventory, charge_payment, send_notification, "
        "refund_payment, release_inventory."
    ),
    "order.attempt": "1 for the request that placed the order, higher when it is resumed later.",
    "status": "How the order was settled: success, failed.",
    "region": "Region of the customer: eu, us, ap.",
}

METRICS = {
    "orders.created": "Settled orders, by status and region.",
    "orders.processing_time": "Milliseconds from the order's arrival until it is settled, by status and region.",
    "orders.active": "Orders that a worker is processing now, by region.",
    "orders.dead_letters": (
        "Orders that wait for a person, by order.dead_letter_step. Every worker reports all of them."
    ),
}

orders_created = meter.create_counter("orders.created", unit="1", description=METRICS["orders.created"])
processing_time = meter.create_histogram(
    "orders.processing_time", unit="ms", description=METRICS["orders.processing_time"]
)
orders_active = meter.create_up_down_counter("orders.active", unit="1", description=METRICS["orders.active"])
dead_letters = meter.create_gauge("orders.dead_letters", unit="{order}", description=METRICS["orders.dead_letters"])
