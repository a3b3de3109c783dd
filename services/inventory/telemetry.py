"""Every span, attribute and instrument that inventory-service's own code emits."""

from opentelemetry import metrics, trace

tracer = trace.get_tracer("services.inventory")
meter = metrics.get_meter("services.inventory")

SPANS = {
    "reserve_stock": "Sets the stock of all lines aside in one transaction, or of none.",
    "release_stock": "Puts the stock of a reservation back.",
}

ATTRIBUTES = {
    "order.id": "UUID of the order that the reservation is for.",
    "inventory.line_count": "How many items the reservation spans.",
    "inventory.outcome": "held, repeated, a refusal such as out-of-stock; of a release: released, repeated, absent.",
}

METRICS = {
    "inventory.reservations": "Reservations asked for, by inventory.outcome.",
    "inventory.releases": "Releases asked for, by inventory.outcome.",
}

reservations = meter.create_counter("inventory.reservations", unit="1", description=METRICS["inventory.reservations"])
releases = meter.create_counter("inventory.releases", unit="1", description=METRICS["inventory.releases"])
