"""gift-service: suggests a present for a budget. It sends traces."""

import os

import requests
from flask import Flask, request
from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine, func, insert, select
from tracing import init_tracing

app = Flask(__name__)
engine = create_engine("sqlite:///gift.db")
init_tracing(app, engine)
gifts = Table("gifts", MetaData(), Column("id", Integer, primary_key=True), Column("sku", String))
gifts.metadata.create_all(engine)
app.logger.warning("gift-service starts")


@app.get("/suggestion")
def suggestion():
    """Suggest the best present that costs at most `budget` (cents). A 500 when there is none."""
    budget = int(request.args["budget"])
    items = requests.get(f"{os.environ['SHOP']}/items", timeout=10).json()["items"]
    choice = max((item for item in items if item["price"] <= budget), key=lambda item: item["price"])
    with engine.begin() as db:
        db.execute(insert(gifts).values(sku=choice["sku"]))
        suggestions = db.scalar(select(func.count()).select_from(gifts))
    app.logger.warning("suggested %s", choice["sku"])
    return {"sku": choice["sku"], "suggestions": suggestions}
