"""What telemetry costs, in one table: `python -m bench.telemetry`.

Starts a stack of the four services for each variant (one gunicorn worker and eight threads per service, a card
processor that responds immediately). Each sends its telemetry to a process that counts it. Short rounds of each
endpoint alternate over the variants in random order, so that other load on the machine affects all. A ratio is that of
two rounds of the same turn, and the figure is the median of these with its quartiles. CPU is that of the services'
processes, read a moment after the round, when the last of its telemetry has left.

The variants: none (OTEL_SDK_DISABLED), stock (`opentelemetry-instrument` instead of the kit's telemetry), official
(Waybill as it is), lean (the lean SDK and hooks); `-10` is with 10 % of the traces.
"""

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import islice
from pathlib import Path

from bench.shop import ENDPOINTS, during
from bench.telemetry.results import as_markdown, as_text, conditions, table, write_block
from bench.telemetry.sink import Sink
from bench.telemetry.stack import Stack
from bench.telemetry.stored import store_orders
from bench.telemetry.variants import NONE, VARIANTS, Case
from local.registry import SERVICES
from local.settings import ROOT
from tests.support.local_stack import PORTS, free_ports
from tests.support.servers import postgresql_server

PAGE = ROOT / "docs" / "telemetry-cost.md"
DATABASES = {"sqlite": "SQLite", "postgresql": "PostgreSQL (fsync off)"}


def main() -> None:
    options = _options()
    # The variants alone decide: what the shell says would be given to all of them.
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        del os.environ[name]
    cases = list(_cases(options))
    if not cases:
        raise SystemExit("There is nothing to measure.")
    with _running(cases, options) as (stacks, sink):
        _measure(stacks, sink, options)
        _say("stopping")
    _say("")
    rows = table([stack.results for stack in stacks], options.rate)
    how = conditions(DATABASES[options.database], options.rounds, options.seconds)
    print(f"{how}\n\n{as_markdown(rows) if options.markdown else as_text(rows)}")
    if options.write_docs:
        write_block(PAGE, f"{options.what} {options.database}", f"{how}\n\n{as_markdown(rows)}\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.telemetry", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--variants", help=f"which, the base of the ratios first (default {','.join(VARIANTS)})")
    add("--database", choices=DATABASES, default="sqlite", help="(default sqlite)")
    add("--rounds", type=int, default=7, help="(default 7)")
    add("--seconds", type=float, default=2, help="of a round of one endpoint and variant (default 2)")
    add("--rate", type=float, default=20, help="orders per second when latency is measured (default 20)")
    add("--quick", action="store_true", help="one round of half a second, for a first look")
    add("--markdown", action="store_true", help="print the table in Markdown")
    add("--write-docs", action="store_true", help=f"write the table into docs/{PAGE.name} too")
    other = parser.add_mutually_exclusive_group()
    what = "of official unless --variants says otherwise"
    other.add_argument(
        "--stored", nargs="?", const="1000,1000000", help=f"compare databases with 10^3 and 10^6 orders in them, {what}"
    )
    other.add_argument("--workers", nargs="?", const="1,2,4", help=f"compare 1, 2 and 4 workers per service, {what}")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 1, 0.5
    options.what = "stored" if options.stored else "workers" if options.workers else "variants"
    by_default = ",".join(VARIANTS) if options.what == "variants" else "official"
    options.variants = (options.variants or by_default).split(",")
    if unknown := set(options.variants) - VARIANTS.keys():
        parser.error(f"--variants: unknown {', '.join(sorted(unknown))}; there are {', '.join(VARIANTS)}")
    # With fewer, not every worker would get one.
    options.connections = 8 if options.workers else 4
    return options


def _cases(options: argparse.Namespace) -> Iterator[Case]:
    for name in options.variants:
        variant = VARIANTS[name]
        if not variant.installed:
            _say(f"{name} is skipped: its packages are not installed\n")
        elif options.stored:
            for stored in map(int, options.stored.split(",")):
                yield Case(f"{variant.title}, {stored:,} orders", variant, stored=stored)
        elif options.workers:
            for workers in map(int, options.workers.split(",")):
                yield Case(f"{variant.title}, {workers} worker{'s' * (workers > 1)}", variant, workers=workers)
        else:
            yield Case(variant.title, variant)


@contextmanager
def _running(cases: Sequence[Case], options: argparse.Namespace) -> Iterator[tuple[list[Stack], Sink]]:
    """Run a stack for each case, and the sink of their telemetry."""
    with ExitStack() as running:
        server = running.enter_context(postgresql_server()) if options.database == "postgresql" else None
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="waybill-bench-")))
        ports = iter(free_ports(len(cases) * len(PORTS)))  # in one call, so that no two are the same
        stacks = [Stack(case, list(islice(ports, len(PORTS))), folder / str(n), server) for n, case in enumerate(cases)]
        sink = Sink([stack.otlp_port for stack in stacks])
        running.callback(sink.stop)
        running.callback(_stop, stacks)
        _start(stacks)
        for stack in stacks:
            _say(f"warming up: {stack.title}")
            stack.open(options.connections)
            if stored := stack.case.stored:
                _say(f"storing {stored:,} orders")
                store_orders(stack.shop, stack.databases.values(), stored)
        yield stacks, sink


def _start(stacks: Sequence[Stack]) -> None:
    """Start each service in all stacks before the next, so that the times until they are ready are paired."""
    for row in stacks[0].specs:
        for stack in random.sample(stacks, len(stacks)):
            _say(f"starting {row}: {stack.title}")
            seconds = stack.start(row)
            if row.removesuffix("-service") in SERVICES:
                stack.results.start_up.append(seconds)


def _stop(stacks: Sequence[Stack]) -> None:
    for stack in stacks:
        stack.terminate()
    for stack in stacks:
        stack.wait()


def _measure(stacks: Sequence[Stack], sink: Sink, options: argparse.Namespace) -> None:
    """Send each kind of request to each stack for a while, `rounds` times."""
    began = time.perf_counter()
    before = [sink.received(stack.otlp_port)["metrics"] for stack in stacks]
    for number in range(options.rounds):
        for endpoint in ENDPOINTS:
            for stack in random.sample(stacks, len(stacks)):
                _say(f"round {number + 1} of {options.rounds}, {endpoint}: {stack.title}")
                exported = sink.received(stack.otlp_port)
                stack.results.rounds[endpoint].append(stack.shop.round(endpoint, partial(during, options.seconds)))
                if endpoint == "POST /orders":
                    stack.results.exported += sink.received(stack.otlp_port) - exported
        for stack in random.sample(stacks, len(stacks)):
            _say(f"round {number + 1} of {options.rounds}, {options.rate:g} orders/s: {stack.title}")
            stack.results.latencies += stack.shop.latencies("POST /orders", options.rate, options.seconds * 2)
    minutes = (time.perf_counter() - began) / 60
    for stack, metrics in zip(stacks, before, strict=True):
        stack.results.metrics_per_minute = (sink.received(stack.otlp_port)["metrics"] - metrics) / minutes
        stack.results.memory = [worker.memory_info().rss for worker in stack.shop.workers()]
        _check(stack)


def _check(stack: Stack) -> None:
    """End the run if a variant did not do what its name says."""
    total = stack.results.exported.total()
    if (total == 0) != (stack.case.variant is NONE):
        raise SystemExit(f"{stack.title}: {total:,} bytes were exported. Its telemetry is not set up as it should be.")


def _say(text: str) -> None:
    print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
