"""Every span, attribute and instrument that order-service's own code emits."""

from opentelemetry import metrics, trace

tracer = trace.get_tracer("services.order")
meter = metrics.get_meter("services.order")

SPANS = {
    "process_order": "One drive of an order, from where it stands to as far as it gets.",
    "validate_inventory": "Reserves the stock of every line, which also brings the prices.",
    "charge_payment": "Charges the total to the payment token; a total of 0 needs none.",
    "send_notification": "Has the customer told; its failure never undoes the order.",
    "release_inventory": "Compensation: gives the reserved stock back.",
    "refund_payment": "Compensation: gives the money back, or bars a charge still on its way.",
}

ATTRIBUTES = {
    "order.id": "UUID of the order.",
    "order.status": "Where the order stood when the span ended.",
    "order.cancel_reason": "Why it was cancelled: out_of_stock, unknown_item, payment_declined, refused, timed_out.",
    "order.region": "Region of the customer: eu, us, ap.",
    "order.line_count": "How many lines it has.",
    "order.total": "Its price in minor units of order.currency.",
    "order.currency": "ISO 4217 code.",
    "order.charge_skipped": "Why there is no charge_payment: the total is 0.",
    "order.dead_letter_step": "The step that made it a dead letter: send_notification, refund_payment, ...",
    "order.attempt": "1 for the request that took the order, more when it is driven on later.",
}

METRICS = {
    "orders.created": "Orders settled, by status (success, failed) and region.",
    "orders.processing_time": "From the order's arrival until it is settled, by status and region; ms.",
    "orders.active": "Orders that a worker is driving at this moment, by region.",
    "orders.dead_letters": "Orders that wait for a person, by step; every worker reports all of them.",
}

orders_created = meter.create_counter("orders.created", unit="1", description=METRICS["orders.created"])
processing_time = meter.create_histogram(
    "orders.processing_time", unit="ms", description=METRICS["orders.processing_time"]
)
orders_active = meter.create_up_down_counter("orders.active", unit="1", description=METRICS["orders.active"])
dead_letters = meter.create_gauge("orders.dead_letters", unit="{order}", description=METRICS["orders.dead_letters"])
