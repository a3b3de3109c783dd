"""Every span, attribute and instrument that skeleton-service's own code emits.

Generated from telemetry.yaml. Change that, then run `make generate`.
"""

from opentelemetry import metrics, trace

tracer = trace.get_tracer("services.skeleton")
meter = metrics.get_meter("services.skeleton")

SPANS = {
    "keep_note": "Makes a note complete and records it, unless it was recorded before.",
}

ATTRIBUTES = {
    "skeleton.note.id": "UUID of the note.",
    "skeleton.outcome": "What came of the request: created, known.",
}

METRICS = {
    "skeleton.notes": "Requests to keep a note, by skeleton.outcome.",
}

notes = meter.create_counter("skeleton.notes", unit="1", description=METRICS["skeleton.notes"])
