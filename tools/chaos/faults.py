"""The faults: which there are, the order in which a seed brings them, and how each is done to a running stack."""

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from local.registry import DATABASES, REGISTRY, SERVICES
from tests.support.local_stack import LocalStack
from tools.chaos.kinds import Kind
from tools.chaos.proxy import Armed, Proxy

HOUR = 3600.0
HIT_SECONDS = 20.0
"""How long a fault waits for something to hit: a process that is up, a request that comes by."""
AT_ONCE = 64
DEPENDENCIES = REGISTRY["order"].calls


@dataclass(frozen=True)
class Recipe:
    """How often a kind comes beside the others, how long it lasts (seconds, from-to), and what it is done to."""

    weight: int
    seconds: tuple[float, float]
    services: tuple[str, ...]
    targets: tuple[str, ...] = ("",)
    long: bool = False
    """Whether some last for LONG_SECONDS instead."""


LONG_SECONDS = (15.0, 45.0)
"""Longer than a lease, so that another worker acquires what the first one still processes."""
LONG_SHARE = 0.15
PROCESSES = ("worker", "worker", "worker", "master", "all")
RECIPES = {
    Kind.KILL: Recipe(18, (0, 0), (*SERVICES, "cache"), PROCESSES),
    Kind.STOP: Recipe(8, (1, 15), (*SERVICES, "cache"), ("worker", "worker", "worker", "master"), long=True),
    Kind.DROP_REQUEST: Recipe(8, (0, 0), DEPENDENCIES),
    Kind.DROP_ANSWER: Recipe(12, (0, 0), DEPENDENCIES),
    Kind.LATE_REQUEST: Recipe(8, (0.5, 20), DEPENDENCIES),
    Kind.DELAY_ANSWER: Recipe(8, (0.5, 8), DEPENDENCIES),
    Kind.DUPLICATE: Recipe(12, (0, 10), DEPENDENCIES),
    Kind.RESET: Recipe(8, (0, 0), DEPENDENCIES),
    Kind.HANG: Recipe(3, (1, 12), DEPENDENCIES),
    Kind.DRIP: Recipe(3, (1, 15), DEPENDENCIES),
    Kind.GATEWAY: Recipe(4, (0, 0), DEPENDENCIES),
    Kind.CLOCK_SKEW: Recipe(4, (1, 20), SERVICES, ("ahead", "behind"), long=True),
    Kind.CLOCK_JUMP: Recipe(2, (1, 20), SERVICES, ("ahead", "behind"), long=True),
    Kind.DATABASE: Recipe(2, (0.5, 7), DATABASES, ("lock", "disconnect", "crash")),
}


@dataclass(frozen=True)
class Fault:
    """One fault: what, to which service (or its requests), to which part of it, for how many seconds."""

    kind: Kind
    service: str
    target: str
    seconds: float


def faults(chance: random.Random, kinds: Collection[Kind]) -> Iterator[Fault]:
    """Yield faults without end; the same seed and kinds bring the same faults."""
    chosen = [kind for kind in RECIPES if kind in kinds]
    weights = [RECIPES[kind].weight for kind in chosen]
    while True:
        kind = chance.choices(chosen, weights)[0]
        recipe = RECIPES[kind]
        yield Fault(
            kind, chance.choice(recipe.services), chance.choice(recipe.targets), chance.uniform(*recipe.seconds)
        )


class Injector:
    """Does faults to a stack, many at a time, and counts those that hit something."""

    def __init__(self, stack: LocalStack, proxies: dict[str, Proxy], engines: dict[str, Engine], clocks: Path) -> None:
        self._stack = stack
        self._proxies = proxies
        self._engines = engines
        self._clocks = clocks
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self._lock = threading.Lock()
        self._running = 0
        self.hits: Counter[Kind] = Counter()
        self.missed = 0
        self.errors: Counter[str] = Counter()

    def run(self, plan: Iterator[Fault], wanted: int, rate: float, progress: Callable[[int], Any]) -> None:
        """Bring `wanted` faults that hit, `rate` per second, and return once the last is over."""
        while (hits := self.hits.total()) < wanted:
            progress(hits)
            with self._lock:
                enough = hits + self._running >= wanted or self._running >= AT_ONCE
                self._running += not enough
            if not enough:
                self._pool.submit(self._bring, next(plan))
            time.sleep(1 / rate)
        self._pool.shutdown()
        progress(self.hits.total())

    def _bring(self, fault: Fault) -> None:
        hit = False
        try:
            deadline = time.monotonic() + HIT_SECONDS
            while not (hit := self._do(fault)) and time.monotonic() < deadline:
                time.sleep(0.05)
        except Exception as error:  # counted and printed: a fault that cannot be brought about is a fault of this tool
            with self._lock:
                self.errors[f"{fault.kind}: {type(error).__name__}: {error}"[:200]] += 1
        with self._lock:
            self._running -= 1
            self.hits[fault.kind] += hit
            self.missed += not hit

    def _do(self, fault: Fault) -> bool:
        match fault.kind:
            case Kind.KILL:
                return self._kill(fault)
            case Kind.STOP:
                return self._stop(fault)
            case Kind.CLOCK_SKEW | Kind.CLOCK_JUMP:
                return self._shift_clock(fault)
            case Kind.DATABASE:
                return self._disturb_database(fault)
            case _:
                return self._disturb_request(fault)

    def _victims(self, fault: Fault) -> list[psutil.Process]:
        """Return the living processes that the fault is done to; none while the service is down."""
        name = fault.service if fault.service == "cache" else f"{fault.service}-service"
        with suppress(psutil.NoSuchProcess):
            master = self._stack.process(name)
            workers = master.children()
            # Any of the workers, chosen by the fault's own number, so that a seed brings the same again.
            one = workers[int(fault.seconds * 1000) % len(workers) :][:1] if workers else []
            victims = {"master": [master], "all": [master, *workers]}.get(fault.target, one or [master])
            return [victim for victim in victims if victim.status() != psutil.STATUS_ZOMBIE]
        return []

    def _kill(self, fault: Fault) -> bool:
        victims = self._victims(fault)
        for victim in victims:
            with suppress(psutil.NoSuchProcess):
                victim.kill()
        return bool(victims)

    def _stop(self, fault: Fault) -> bool:
        victims = self._victims(fault)
        with suppress(psutil.NoSuchProcess):
            for victim in victims:
                victim.suspend()
            time.sleep(fault.seconds)
        for victim in victims:
            with suppress(psutil.NoSuchProcess):
                victim.resume()
        return bool(victims)

    def _shift_clock(self, fault: Fault) -> bool:
        """Set one worker's clock (skew) or a whole service's (jump) an hour off, and back after some seconds."""
        victims = self._victims(fault)
        if not victims:
            return False
        name = str(victims[0].pid) if fault.kind is Kind.CLOCK_SKEW else "all"
        file = self._clocks / fault.service / name
        write_number(file, HOUR if fault.target == "ahead" else -HOUR)
        time.sleep(fault.seconds)
        write_number(file, 0)
        return True

    def _disturb_request(self, fault: Fault) -> bool:
        armed = Armed(fault.kind, fault.seconds)
        proxy = self._proxies[fault.service]
        proxy.arm(armed)
        if not armed.met.wait(HIT_SECONDS):
            proxy.disarm(armed)
            if not armed.met.is_set():
                return False
        if fault.kind is Kind.HANG:
            time.sleep(fault.seconds)
            armed.over.set()
        armed.over.wait()
        return True

    def _disturb_database(self, fault: Fault) -> bool:
        engine = self._engines[fault.service]
        postgresql = engine.dialect.name == "postgresql"
        with suppress(DBAPIError):  # other faults may strike this tool's own connection too
            if fault.target == "lock" or not postgresql:
                return _hold_a_lock(engine, _main_table(fault.service), fault.seconds)
            if fault.target == "disconnect":
                return _disconnect_all(engine)
            return _crash(engine)
        return False


def write_number(file: Path, number: float) -> None:
    """Write a file whole: its readers never see half of it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f"{file.name}.{threading.get_ident()}")
    draft.write_text(str(number))
    draft.replace(file)


def _main_table(service: str) -> str:
    """Return the first table of a service that refers to no other: in each of ours, every change needs it."""
    return str(import_module(f"services.{service}.models").Base.metadata.sorted_tables[0].name)


def _hold_a_lock(engine: Engine, table: str, seconds: float) -> bool:
    """Hold SQLite's write lock, or a lock on a table of PostgreSQL, that every change of the service needs."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.exec_driver_sql(f"LOCK TABLE {table} IN EXCLUSIVE MODE")
        time.sleep(seconds)
        connection.rollback()
    return True


OTHERS = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


def _disconnect_all(engine: Engine) -> bool:
    """Terminate every connection that a service has to its database, as an administrator or a failover does."""
    with engine.connect() as connection:
        return bool(connection.execute(text(f"SELECT pg_terminate_backend(pid) {OTHERS}")).all())


def _crash(engine: Engine) -> bool:
    """SIGKILL a backend: PostgreSQL then drops all connections of all databases and recovers from its log."""
    with engine.connect() as connection:
        pid = connection.scalar(text(f"SELECT pid {OTHERS} LIMIT 1"))
    if pid is not None:
        os.kill(pid, signal.SIGKILL)
    return pid is not None
