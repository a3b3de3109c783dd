"""Every span, attribute and instrument that inventory-service's own code emits.

Generated from telemetry.yaml. Change that, then run `make generate`.
"""

from opentelemetry import metrics, trace

tracer = trace.get_tracer("services.inventory")
meter = metrics.get_meter("services.inventory")

SPANS = {
    "reserve_stock": "Sets the stock of all lines aside in one transaction, or of none.",
    "release_stock": "Puts the stock of a reservation back.",
}

ATTRIBUTES = {
    "inventory.line_count": "Number of items of the reservation.",
    "inventory.outcome": (
        "What came of a reservation or a release: held, repeated, released, absent, out-of-stock, "
        "unknown-item, mixed-currencies, reservation-released, reservation-differs."
    ),
    "order.id": "UUID of the order.",
}

METRICS = {
    "inventory.reservations": "Requests to reserve stock, by inventory.outcome.",
    "inventory.releases": "Requests to release stock, by inventory.outcome.",
}

reservations = meter.create_counter("inventory.reservations", unit="1", description=METRICS["inventory.reservations"])
releases = meter.create_counter("inventory.releases", unit="1", description=METRICS["inventory.releases"])
