"""Every span, attribute and instrument that notification-service's own code emits.

Generated from telemetry.yaml. Change that, then run `make generate`.
"""

from opentelemetry import metrics, trace

tracer = trace.get_tracer("services.notification")
meter = metrics.get_meter("services.notification")

SPANS = {
    "deliver": "Hands the notification to its channel.",
}

ATTRIBUTES = {
    "notification.template": "Which message it is: order_confirmed.",
    "notification.channel": "How it goes out: log.",
    "order.id": "UUID of the order.",
}

METRICS = {
    "notification.sent": "Notifications handed to a channel, by notification.channel and notification.template.",
}

sent = meter.create_counter("notification.sent", unit="1", description=METRICS["notification.sent"])
