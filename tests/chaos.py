"""Kills random services with SIGKILL while orders come in, then counts what was lost.

    python -m tests.chaos --kills 50 --database sqlite

Starts a stack of its own, on free ports and in a folder of its own, so that it can run beside another. Exit status
1 if any promise was broken: every order finished within 30 s, money taken exactly once and only for confirmed orders,
stock gone exactly for confirmed orders, every customer of a confirmed order told.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sqlalchemy import Engine, Row, create_engine, text

from local.processes import SERVICES
from tests.servers import create_database, free_port, postgresql_server

PORTS = (*(f"{service.upper()}_PORT" for service in SERVICES), "CACHE_PORT", "OTLP_GRPC_PORT", "OTLP_HTTP_PORT")
WAYBILL = str(Path(sys.executable).with_name("waybill"))
PATIENCE = 30.0
"""Seconds after the last order was sent within which every order must be finished."""

console = Console()


class Kind(StrEnum):
    """Which database the services use."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"


def main(
    kills: Annotated[int, typer.Option(min=1, help="How many processes to kill.")] = 50,
    rate: Annotated[float, typer.Option(min=0.1, help="Orders per second.")] = 10,
    database: Kind = Kind.SQLITE,
    seed: Annotated[int | None, typer.Option(help="Kill the same services again.", show_default="random")] = None,
) -> None:
    """Kill random services under load and count what was lost."""
    seed = random.getrandbits(32) if seed is None else seed
    console.print(f"{kills} kills under {rate:g} orders/s on {database}, seed {seed}")
    with ExitStack() as stack:
        data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="waybill-chaos-")))
        urls = {service: f"sqlite:///{data / service}.db" for service in SERVICES}
        if database is Kind.POSTGRESQL:
            try:
                server = stack.enter_context(postgresql_server())
            except FileNotFoundError as error:
                raise SystemExit(str(error)) from None
            urls = {service: create_database(server, service) for service in SERVICES}
        environment = _environment(data, urls)
        stack.enter_context(_running_stack(environment, data))
        engines = {service: create_engine(url) for service, url in urls.items()}
        before = _stock(engines["inventory"])
        report = _kill_under_load(environment, data, kills, rate, random.Random(seed))
        took = _wait_until_finished(engines["order"])
        failures = _print_tally(engines, before, report, took)
        if failures:
            kept = Path(shutil.copytree(data, tempfile.mkdtemp(prefix="waybill-chaos-kept-"), dirs_exist_ok=True))
            unfinished = _rows(
                engines["order"],
                "SELECT status, reason, driver, attempts, drive_after FROM orders "
                "WHERE drive_after IS NOT NULL ORDER BY drive_after",
            )
            (kept / "unfinished.txt").write_text("\n".join(map(str, unfinished)))
            console.print(f"What the stack said, its logs and the unfinished orders are in {kept}", soft_wrap=True)
        for engine in engines.values():
            engine.dispose()
    raise typer.Exit(1 if failures else 0)


def _environment(data: Path, urls: dict[str, str]) -> dict[str, str]:
    ports = {variable: str(free_port()) for variable in (*PORTS, "TRACES_PORT")}
    databases = {f"{service.upper()}_DATABASE_URL": url for service, url in urls.items()}
    return {**os.environ, **ports, **databases, "WAYBILL_DATA": str(data / "stack"), "WEB_CONCURRENCY": "2"}


@contextmanager
def _running_stack(environment: dict[str, str], data: Path) -> Iterator[None]:
    said = data / "stack.txt"
    with said.open("w") as output:
        stack = subprocess.Popen([WAYBILL, "up"], env=environment, stdout=output, stderr=output)
    try:
        with console.status("Starting a stack"):
            # Its own word for it: until then, a process that dies stops the whole stack.
            while "Ready in" not in said.read_text():
                if stack.poll() is not None:
                    raise SystemExit(f"the stack did not start:\n{said.read_text()}")
                time.sleep(0.2)
        yield
    finally:
        stack.send_signal(signal.SIGINT)
        stack.wait(60)


def _kill_under_load(
    environment: dict[str, str], data: Path, kills: int, rate: float, chance: random.Random
) -> dict[str, object]:
    """Kill services at random moments while the load runs; the load's own summary, and how many processes died."""
    pauses = [chance.uniform(0.5, 2.0) for _ in range(kills)]
    options = ["--rate", str(rate), "--duration", f"{sum(pauses) + 5:.0f}s", "--retry-for", "60s", "--json"]
    load = subprocess.Popen(
        [WAYBILL, "load", *options], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    killed = 0
    try:
        for pause in track(pauses, description="Killing", console=console, transient=True):
            time.sleep(pause)
            while not (died := _kill_one(data, chance)):
                time.sleep(0.05)
            killed += died
        with console.status("Waiting for the last answers"):
            try:
                output, _ = load.communicate(timeout=120)
            except subprocess.TimeoutExpired:
                load.send_signal(signal.SIGINT)  # it then sums up what it has
                output, _ = load.communicate()
    finally:
        load.kill()  # nothing, once it has ended
    report: dict[str, object] = json.loads(output)
    return report | {"processes_killed": killed}


def _kill_one(data: Path, chance: random.Random) -> int:
    """SIGKILL one gunicorn worker of a random service, or its master, or all its processes at once.

    How many died: 0 if the service was down already, so that only what hits is counted as a kill.
    """
    service = f"{chance.choice(SERVICES)}-service"
    target = chance.choice(("worker", "master", "all"))
    with suppress(psutil.NoSuchProcess, KeyError):
        master = psutil.Process(json.loads((data / "stack" / "processes.json").read_text())[service])
        workers = master.children()
        victims = {"worker": workers[:1], "master": [master], "all": [master, *workers]}[target]
        living = [victim for victim in victims if victim.status() != psutil.STATUS_ZOMBIE]
        for victim in living:
            victim.kill()
        return len(living)
    return 0


def _wait_until_finished(orders: Engine) -> float:
    """Seconds until no order was left unfinished, PATIENCE at most."""
    began = time.monotonic()
    with console.status("Waiting for every order to finish"):
        while time.monotonic() - began < PATIENCE and _one(orders, UNFINISHED):
            time.sleep(0.2)
    return time.monotonic() - began


UNFINISHED = "SELECT count(*) FROM orders WHERE status NOT IN ('CONFIRMED', 'CANCELLED') OR drive_after IS NOT NULL"


def _print_tally(engines: dict[str, Engine], before: dict[str, int], report: dict[str, object], took: float) -> int:
    """Compare the books of the four services; how many promises were broken."""
    orders = {row.id: row for row in _rows(engines["order"], "SELECT id, status, total FROM orders")}
    confirmed = {order_id for order_id, row in orders.items() if row.status == "CONFIRMED"}
    sql = "SELECT idempotency_key AS id, kind, count(*) AS times, sum(amount) AS amount FROM processor_entries "
    books = {(row.id, row.kind): row for row in _rows(engines["payment"], sql + "GROUP BY idempotency_key, kind")}
    captured = {order_id for order_id, kind in books if kind == "CAPTURE"}
    refunded = {order_id for order_id, kind in books if kind == "REFUND"}
    wrong_amount = [
        order_id
        for order_id in confirmed & captured
        if (books[order_id, "CAPTURE"].times, books[order_id, "CAPTURE"].amount) != (1, orders[order_id].total)
    ]
    held = {
        row.order_id for row in _rows(engines["inventory"], "SELECT order_id FROM reservations WHERE status='HELD'")
    }
    sql = (
        "SELECT i.sku, i.stock, coalesce(sum(CASE WHEN r.status = 'HELD' THEN l.quantity END), 0) AS held FROM items i "
        "LEFT JOIN reservation_lines l ON l.sku = i.sku LEFT JOIN reservations r ON r.order_id = l.order_id "
        "GROUP BY i.sku, i.stock"
    )
    leaked = [row.sku for row in _rows(engines["inventory"], sql) if row.stock + row.held != before[row.sku]]
    told = {
        row.order_id
        for row in _rows(engines["notification"], "SELECT order_id FROM notifications WHERE sent_at IS NOT NULL")
    }
    checks = {
        "orders unfinished after 30 s": _one(engines["order"], UNFINISHED),
        "confirmed orders not charged": len(confirmed - (captured - refunded)),
        "confirmed orders charged twice or another amount": len(wrong_amount),
        "orders charged though not confirmed": len((captured - refunded) - confirmed),
        "confirmed orders without their stock": len(confirmed - held),
        "stock held for orders not confirmed": len(held - confirmed),
        "items whose stock does not add up": len(leaked),
        "confirmed orders whose customer was not told": len(confirmed - told),
        "requests of the load that failed for good": int(str(report["failed"])),
        "answered orders that are not there": int(str(report["answered"])) - len(orders)
        if report["failed"] == 0
        else 0,
    }
    table = Table(box=None, show_header=False)
    table.add_row("processes killed", str(report["processes_killed"]))
    table.add_row("orders", str(len(orders)))
    table.add_row("confirmed / cancelled", f"{len(confirmed)} / {len(orders) - len(confirmed)}")
    table.add_row("refunded by compensation", str(len(refunded)))
    table.add_row("requests retried under their key", str(report["retries"]))
    table.add_row("last order finished after", f"{took:.1f} s")
    for name, number in checks.items():
        table.add_row(name, str(number), style="red" if number else "green")
    console.print(table)
    return sum(number != 0 for number in checks.values())


def _stock(inventory: Engine) -> dict[str, int]:
    return {row.sku: row.stock for row in _rows(inventory, "SELECT sku, stock FROM items")}


def _rows(engine: Engine, sql: str) -> list[Row[Any]]:
    with engine.connect() as connection:
        return list(connection.execute(text(sql)))


def _one(engine: Engine, sql: str) -> int:
    with engine.connect() as connection:
        return int(connection.scalar(text(sql)) or 0)


if __name__ == "__main__":
    typer.run(main)
