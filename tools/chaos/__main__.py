"""Breaks the local stack in a thousand ways while orders come in, then counts what was lost.

    python -m tools.chaos --faults 1000 --database postgresql

Starts a stack of its own, on free ports and in a folder of its own, so that it can run beside another. Exit status
1 if any promise was broken; then the evidence is kept and its folder printed.
"""

import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import DBAPIError

from local.registry import DATABASES
from tests.support.local_stack import LocalStack, free_ports, local_stack
from tests.support.servers import create_database, postgresql_server
from tools.chaos import books
from tools.chaos.books import Promise, TimeoutWatch
from tools.chaos.faults import DEPENDENCIES, Injector, faults
from tools.chaos.kinds import Kind
from tools.chaos.load import Load
from tools.chaos.proxy import Proxy

STACK = (sys.executable, "-m", "tools.chaos.stack")

console = Console()


class Database(StrEnum):
    """Which database the services use."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"


@dataclass
class Scene:
    """A running stack with everything that breaks it and looks into it."""

    stack: LocalStack
    injector: Injector
    engines: dict[str, Engine]


def main(
    wanted: Annotated[int, typer.Option("--faults", min=1, help="How many faults must hit something.")] = 100,
    fault_rate: Annotated[float, typer.Option("--fault-rate", min=0.1, help="Faults per second; they overlap.")] = 2,
    rate: Annotated[float, typer.Option(min=0.1, help="Orders per second.")] = 4,
    database: Database = Database.SQLITE,
    kinds: Annotated[
        str, typer.Option(help=f"Kinds of faults, separated by commas: {', '.join(Kind)}.", show_default="all")
    ] = "all",
    workers: Annotated[int, typer.Option(min=1, help="gunicorn workers per service.")] = 2,
    seed: Annotated[int | None, typer.Option(help="The same faults in the same order.", show_default="random")] = None,
) -> None:
    """Break the stack under load and count what was lost, doubled or left unfinished.

    kill strikes a worker, a master or all processes of a service, or the cache; stop (SIGSTOP, later SIGCONT) a worker
    or a master. clock-skew sets the clock of one process an hour off, clock-jump those of all processes of a service.
    database holds a lock that every change needs or, on PostgreSQL, also disconnects everyone or crashes the server.

    All others strike what order-service sends to its dependencies: requests and answers are dropped, delayed,
    delivered twice or late, cut, never answered, sent byte by byte, or answered by a gateway.
    """
    seed = random.getrandbits(32) if seed is None else seed
    chosen = _kinds(kinds)
    console.print(f"{wanted:,} faults under {rate:g} orders/s on {database}, seed {seed}")
    try:
        broken = _run(wanted, fault_rate, rate, database, chosen, workers, seed)
    except KeyboardInterrupt:
        console.print("Interrupted. The stack has stopped.", style="yellow")
        os._exit(130)  # a normal exit would wait for the threads of clients and faults, which wait for the stack
    raise typer.Exit(1 if broken else 0)


def _run(
    wanted: int, fault_rate: float, rate: float, database: Database, kinds: list[Kind], workers: int, seed: int
) -> bool:
    """Break a stack, print the report and return whether a promise was broken."""
    with ExitStack() as stack:
        data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="waybill-chaos-")))
        scene = stack.enter_context(_scene(data, database, workers, seed))
        before = books.stock_by_sku(scene.engines["inventory"])
        load = Load(scene.stack.url("order"), rate, sorted(before), seed)
        watch = TimeoutWatch(scene.engines["order"])
        plan = faults(random.Random(f"faults {seed}"), kinds)
        load.start()
        began = time.monotonic()
        with _progress(load, wanted) as show:
            scene.injector.run(plan, wanted, fault_rate, show)
        lasted = time.monotonic() - began
        load.end()
        last, late = _wait_until_finished(scene.engines["order"], load)
        with console.status("Waiting for the last clients"):
            load.wait()
        watch.stop()
        promises = books.check(scene.engines, before, load, watch.seen, late)
        _print_injected(scene.injector, lasted)
        _print_report(load, scene.engines["order"], last, promises)
        broken = [promise for promise in promises if promise.broken]
        if broken:
            kept = _keep(data, broken, scene.engines["order"], load)
            console.print(f"What the stack wrote, its logs and the evidence are in {kept}", soft_wrap=True)
    return bool(broken)


def _kinds(text: str) -> list[Kind]:
    if text == "all":
        return list(Kind)
    try:
        return [Kind(name.strip()) for name in text.split(",")]
    except ValueError as error:
        raise typer.BadParameter(f"{error}: choose from {', '.join(Kind)}") from None


@contextmanager
def _scene(data: Path, database: Database, workers: int, seed: int) -> Iterator[Scene]:
    with ExitStack() as stack:
        urls = {service: f"sqlite:///{data / service}.db" for service in DATABASES}
        if database is Database.POSTGRESQL:
            try:
                server = stack.enter_context(postgresql_server())
            except FileNotFoundError as error:
                raise SystemExit(str(error)) from None
            urls = {service: create_database(server, service) for service in DATABASES}
        ports = dict(zip(DEPENDENCIES, free_ports(len(DEPENDENCIES)), strict=True))
        chance = random.Random(f"proxies {seed}")
        proxies = {service: Proxy(port, chance) for service, port in ports.items()}
        for proxy in proxies.values():
            stack.callback(proxy.close)
        clocks = data / "clocks"
        variables = {
            **{f"{service.upper()}_PORT": str(port) for service, port in ports.items()},
            **{f"{service.upper()}_DATABASE_URL": url for service, url in urls.items()},
            "WEB_CONCURRENCY": str(workers),
            "CHAOS_URLS": json.dumps({f"{service.upper()}_URL": proxy.url for service, proxy in proxies.items()}),
            "CHAOS_CLOCKS": str(clocks),
        }
        with console.status("Starting a stack"):
            try:
                running = stack.enter_context(local_stack(data, variables, command=STACK))
            except RuntimeError as error:
                raise SystemExit(str(error)) from None
        engines = {service: create_engine(url, pool_pre_ping=True) for service, url in urls.items()}
        for engine in engines.values():
            stack.callback(engine.dispose)
        yield Scene(running, Injector(running, proxies, engines, clocks), engines)


@contextmanager
def _progress(load: Load, wanted: int) -> Iterator[Callable[[int], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[now]}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("Faults", total=wanted, now="")

        def show(hits: int) -> None:
            now = f"{hits:,}/{wanted:,}  {load.answered:,} of {len(load.wishes):,} orders answered"
            progress.update(bar, completed=hits, now=now)

        yield show


def _wait_until_finished(orders: Engine, load: Load) -> tuple[dict[str, float], list[str]]:
    """Wait until every order and client is done, TELL_SECONDS at most.

    Return when each was last seen not to be, and the orders that were not settled after SETTLE_SECONDS.
    """
    began = time.monotonic()
    waiting: dict[str, Callable[[], object]] = {
        "settled": lambda: books.count(orders, books.UNSETTLED),
        "finished": lambda: books.count(orders, books.UNFINISHED),
        "answered": lambda: not load.idle,
    }
    last = dict.fromkeys(waiting, 0.0)
    late: list[str] | None = None
    with console.status("Waiting for every order to finish") as status:
        while (took := time.monotonic() - began) < books.TELL_SECONDS:
            try:
                unfinished = [name for name, waits in waiting.items() if waits()]
                if late is None and took >= books.SETTLE_SECONDS:
                    late = books.unsettled(orders)
                left = books.count(orders, books.UNFINISHED)
            except DBAPIError as error:
                console.print(f"The database of order-service cannot be read: {escape(str(error))}", style="yellow")
                continue
            if not unfinished:
                break
            status.update(f"Waiting for every order to finish: {left:,} left")
            last |= dict.fromkeys(unfinished, took)
            time.sleep(0.2)
    return last, late or []


def _print_injected(injector: Injector, lasted: float) -> None:
    kinds = ", ".join(f"{number} {kind}" for kind, number in injector.hits.most_common())
    console.print(f"{injector.hits.total():,} faults in {lasted:.0f} s: {kinds}")
    if injector.missed:
        console.print(f"{injector.missed} more found nothing to hit in time", style="dim")
    for error, number in injector.errors.items():
        console.print(f"{number} faults could not be brought about: {escape(error)}", style="yellow")


def _print_report(load: Load, orders: Engine, last: dict[str, float], promises: list[Promise]) -> None:
    table = Table(box=None, show_header=False)
    table.add_row("orders sent", f"{len(load.wishes):,}")
    confirmed, canceled = (books.count(orders, f"status = '{name}'") for name in ("CONFIRMED", "CANCELLED"))
    table.add_row("confirmed / canceled", f"{confirmed:,} / {canceled:,}")
    table.add_row("requests tried again", ", ".join(f"{n:,} x {e}" for e, n in load.errors.most_common()) or "0")
    table.add_row("last order " + " / ".join(last) + " after", " / ".join(f"{took:.1f} s" for took in last.values()))
    for promise in promises:
        table.add_row(promise.name, f"{len(promise.broken):,}", style="red" if promise.broken else "green")
    console.print(table)


def _keep(data: Path, broken: list[Promise], orders: Engine, load: Load) -> Path:
    """Copy the stack's files, and write down the evidence, into a folder that stays; return its path."""
    kept = Path(shutil.copytree(data, tempfile.mkdtemp(prefix="waybill-chaos-kept-"), dirs_exist_ok=True))
    evidence = [f"{promise.name}\n" + "".join(f"  {line}\n" for line in promise.broken) for promise in broken]
    (kept / "broken.txt").write_text("\n".join(evidence))
    unfinished = books.rows(orders, f"SELECT * FROM orders WHERE {books.UNFINISHED}")
    (kept / "unfinished.txt").write_text("".join(f"{row}\n" for row in unfinished))
    answers = [
        f"{wish.key} {wish.body} {wish.gave_up}\n" + "".join(f"  {a}\n" for a in wish.answers) for wish in load.wishes
    ]
    (kept / "answers.txt").write_text("".join(answers))
    return kept


if __name__ == "__main__":
    typer.run(main)
