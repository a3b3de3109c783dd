"""Every span, attribute and instrument that payment-service's own code emits."""

from opentelemetry import metrics, trace

tracer = trace.get_tracer("services.payment")
meter = metrics.get_meter("services.payment")

SPANS = {
    "authorize_card": "The card processor takes the money, or declines.",
    "return_money": "The card processor refunds a charge, or voids in advance one that may still arrive.",
}

ATTRIBUTES = {
    "order.id": "UUID of the order that is charged.",
    "payment.amount": "Minor units of payment.currency.",
    "payment.currency": "ISO 4217 code.",
    "payment.attempt": "How often this charge was asked for.",
    "payment.outcome": "approved, declined, unavailable, voided; of a refund: refunded, voided.",
}

METRICS = {
    "payment.charges": "Answers of the processor to charges, by payment.outcome.",
    "payment.refunds": "Answers of the processor to refunds, by payment.outcome.",
    "payment.processor.duration": "How long the card processor took to answer a charge, by payment.outcome; ms.",
}

charges = meter.create_counter("payment.charges", unit="1", description=METRICS["payment.charges"])
refunds = meter.create_counter("payment.refunds", unit="1", description=METRICS["payment.refunds"])
processor_duration = meter.create_histogram(
    "payment.processor.duration", unit="ms", description=METRICS["payment.processor.duration"]
)
