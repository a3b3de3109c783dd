"""Every span, attribute and instrument that notification-service's own code emits."""

from opentelemetry import metrics, trace

tracer = trace.get_tracer("services.notification")
meter = metrics.get_meter("services.notification")

SPANS = {"deliver": "Hands the notification to its channel."}

ATTRIBUTES = {
    "order.id": "UUID of the order that the notification is about.",
    "notification.template": "What it tells: order_confirmed.",
    "notification.channel": "How it goes out: log.",
}

METRICS = {
    "notification.sent": "Notifications handed to a channel, by notification.channel and notification.template.",
}

sent = meter.create_counter("notification.sent", unit="1", description=METRICS["notification.sent"])
