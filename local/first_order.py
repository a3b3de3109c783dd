"""The first order of a stack that has just started, and what to try after it."""

import os
import shutil
import time

from rich.text import Text

from local import client
from local.client import TraceApi
from local.console import out
from local.orders import place
from local.settings import HOST, LocalSettings
from waybill_explorer.client import ClientError
from waybill_explorer.terminal import clean

ATTEMPTS = 10
PAUSE_SECONDS = 2.0
TRACE_SECONDS = 120.0


def welcome(at: LocalSettings) -> None:
    """Place a first order and print it, or why it failed; then print what to try next."""
    try:
        place_first_order(at)
    except ClientError as error:
        out.print(Text(f"The first order failed: {clean(error)}", "red"), soft_wrap=True)
    _print_next_steps(at)


def place_first_order(at: LocalSettings, loki: str = "") -> bool:
    """Place an order of two items and print its trace. Return whether it was taken. Raise ClientError."""
    out.print("\nA first order:")
    api, traces = f"http://{HOST}:{at.port('order')}", TraceApi(f"http://{HOST}:{at.traces_port}", loki)
    lines = {sku: quantity for quantity, sku in enumerate(_first_skus(api), start=1)}
    body = client.order_body(lines, token="tok_approve", region="eu", customer="cus_42")  # noqa: S106
    return place(api, traces, body, deadline=TRACE_SECONDS)


def _first_skus(api: str) -> list[str]:
    """Return two SKUs to order; on a slow machine the first calls between the services time out, so try for long."""
    for _ in range(ATTEMPTS - 1):
        try:
            return client.skus_in_stock(api)[:2]
        except ClientError:
            time.sleep(PAUSE_SECONDS)
    return client.skus_in_stock(api)[:2]


def _print_next_steps(at: LocalSettings) -> None:
    out.print(Text("\nTry next, in another terminal:", "bold"))
    if moved := [f"{name}={port}" for name, port in at.ports().items() if os.environ.get(name)]:
        out.print(Text(f"  export {' '.join(moved)}").append("   the ports you moved", "dim"), soft_wrap=True)
    name = "waybill" if shutil.which("waybill") else ".venv/bin/waybill"
    hints = {"order --token tok_decline": "a declined card", "load": "traffic", "doctor": "what is running"}
    for command, meaning in hints.items():
        out.print(Text(f"  {name} {command:<28}").append(meaning, "dim"))
    out.print(Text("\nOr in a browser:", "bold"))
    for port, meaning in ((at.port("order"), "the shop"), (at.traces_port, "traces, logs and metrics")):
        out.print(Text.assemble("  ", (f"http://{HOST}:{port}/", "cyan"), (f"  {meaning}", "dim")))
    out.print("\nPress Ctrl-C to stop everything.")
