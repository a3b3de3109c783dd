"""gift-service: suggests a present for a budget. It sends traces, metrics and logs."""

import os
import time

import requests
from flask import Flask, request
from logs import init_logs
from metrics import active, init_metrics, processing_time, suggested
from opentelemetry import trace
from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine, func, insert, select
from tracing import init_tracing

init_logs()
app = Flask(__name__)
engine = create_engine("sqlite:///gift.db")
init_tracing(app, engine)
init_metrics()
tracer = trace.get_tracer("gift-service")
gifts = Table("gifts", MetaData(), Column("id", Integer, primary_key=True), Column("sku", String))
gifts.metadata.create_all(engine)
app.logger.warning("gift-service starts")


@app.get("/suggestion")
def suggestion():
    """Suggest the best present that costs at most `budget` (cents). A 500 when there is none."""
    start = time.perf_counter()
    status = "failed"
    active.add(1)
    try:
        response = suggest(int(request.args["budget"]))
        status = "success"
        return response
    finally:  # also after an exception: `active` would never return to 0
        active.add(-1)
        suggested.add(1, {"status": status})
        processing_time.record((time.perf_counter() - start) * 1000)


def suggest(budget):
    """Return the body of the response. Raise ValueError when no item is within the budget."""
    # An exception that leaves the block sets the span's status to ERROR and is recorded as an event.
    with tracer.start_as_current_span("suggest_gift", attributes={"gift.budget": budget}) as span:
        choice = choose_gift(read_catalog(), budget)
        span.set_attribute("gift.sku", choice["sku"])
        suggestions = save_suggestion(choice["sku"])
        app.logger.warning("suggested %s", choice["sku"])
    return {"sku": choice["sku"], "suggestions": suggestions}


@tracer.start_as_current_span("read_catalog")
def read_catalog():
    """Return the items of the shop."""
    return requests.get(f"{os.environ['SHOP']}/items", timeout=10).json()["items"]


@tracer.start_as_current_span("choose_gift")
def choose_gift(items, budget):
    """Return the most expensive item within the budget. Raise ValueError when there is none."""
    return max((item for item in items if item["price"] <= budget), key=lambda item: item["price"])


@tracer.start_as_current_span("save_suggestion")
def save_suggestion(sku):
    """Keep a suggestion and return how many there are."""
    with engine.begin() as db:
        db.execute(insert(gifts).values(sku=sku))
        return db.scalar(select(func.count()).select_from(gifts))
