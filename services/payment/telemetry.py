"""Every span, attribute and instrument that payment-service's own code emits.

Generated from telemetry.yaml. Change that, then run `make generate`.
"""

from opentelemetry import metrics, trace

tracer = trace.get_tracer("services.payment")
meter = metrics.get_meter("services.payment")

SPANS = {
    "authorize_card": "The card processor captures the amount, or declines the card.",
    "return_money": "The card processor refunds a charge, or voids in advance one that may still arrive.",
}

ATTRIBUTES = {
    "payment.amount": "Minor units of payment.currency.",
    "payment.currency": "ISO 4217 code.",
    "payment.attempt": "How often this charge was requested.",
    "payment.outcome": "What the card processor did: approved, declined, unavailable, refunded, voided.",
    "order.id": "UUID of the order.",
}

METRICS = {
    "payment.charges": "Responses of the card processor to charges, by payment.outcome.",
    "payment.refunds": "Responses of the card processor to refunds, by payment.outcome.",
    "payment.processor.duration": "How long the card processor took to respond to a charge, by payment.outcome.",
}

charges = meter.create_counter("payment.charges", unit="1", description=METRICS["payment.charges"])
refunds = meter.create_counter("payment.refunds", unit="1", description=METRICS["payment.refunds"])
processor_duration = meter.create_histogram(
    "payment.processor.duration", unit="ms", description=METRICS["payment.processor.duration"]
)
