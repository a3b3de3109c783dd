"""`waybill`: run the local stack, place orders, print traces, generate load, diagnose problems."""

import os
import random
import subprocess
import sys
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from local import client, cluster, container_doctor, containers, doctor, first_order, load, load_view, slow_orders
from local.client import TraceApi
from local.console import Commands, errors, out, print_json
from local.options import QUERY, Api, Everything, Json, Loki, Query, Since, Traces, pairs, seconds, service_name
from local.orders import place
from local.registry import SERVICES
from local.settings import HOST, ROOT, LocalSettings, read_settings
from waybill_explorer import comparison_report, score_report, terminal, terminal_search
from waybill_explorer.client import as_json as trace_as_json
from waybill_explorer.client import valid_trace_id

app = typer.Typer(cls=Commands, no_args_is_help=True, rich_markup_mode="markdown", add_completion=False, help=__doc__)

TOKENS = "tok_approve, tok_decline, tok_slow or tok_fail_then_succeed"
MIX = "tok_approve=85,tok_decline=9,tok_fail_then_succeed=4,tok_slow=2"


@app.command()
def order(
    sku: Annotated[str | None, typer.Option(help="What to order.", show_default="the first that is in stock")] = None,
    quantity: Annotated[int, typer.Option(help="How many pieces.")] = 1,
    line: Annotated[list[str] | None, typer.Option(help="A line as SKU=QUANTITY; repeat it for more.")] = None,
    token: Annotated[str, typer.Option(help=f"{TOKENS}.")] = "tok_approve",  # noqa: S107 - a test token
    region: Annotated[str, typer.Option(help="eu, us or ap.")] = "eu",
    customer: Annotated[str, typer.Option(help="Customer id.")] = "cus_42",
    key: Annotated[
        str | None, typer.Option("--idempotency-key", help="The same key: the same order.", show_default="a new one")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the trace and print it.")] = True,
    everything: Everything = False,
    as_json: Json = False,
    *,
    api: Api,
    traces: Traces,
    loki: Loki,
) -> None:
    """Place an order and print its trace as a waterfall.

    Examples: `waybill order --token tok_decline` · `waybill order --line TEA-SENCHA=2 --line CUP-RAKU=1`
    """
    lines = pairs(line or [], int, "SKU=QUANTITY, such as TEA-SENCHA=2")
    if sku or not lines:
        name = sku or client.skus_in_stock(api)[0]
        lines[name] = lines.get(name, 0) + quantity
    body = client.order_body(lines, token=token, region=region, customer=customer)
    taken = place(api, TraceApi(traces, loki), body, key=key, wait=wait, everything=everything, as_json=as_json)
    raise typer.Exit(0 if taken else 1)


@app.command()
def trace(
    trace_id: Annotated[str, typer.Argument(help="32 hex digits, as in a log line or a `traceresponse` header.")],
    everything: Everything = False,
    as_json: Json = False,
    *,
    traces: Traces,
    loki: Loki,
) -> None:
    """Print any trace as a waterfall, with its logs.

    Example: `waybill trace 4bf92f3577b34da6a3ce929d0e0e4736`
    """
    trace_id = valid_trace_id(trace_id)
    backend = TraceApi(traces, loki)
    fetched = backend.find(trace_id)
    if as_json:
        print_json({"trace_id": trace_id, **trace_as_json(fetched)})
    else:
        terminal.print_trace(out, fetched, backend.link(trace_id), everything=everything)


@app.command()
def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="A trace id, or a query such as `service.version=0.1`.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another trace id, or another query.")],
    since: Annotated[str, typer.Option(metavar="DURATION", help="How far back queries look: 10m, 2h, 7d.")] = "1h",
    as_json: Json = False,
    *,
    traces: Traces,
) -> None:
    """Print two traces, or two groups of traces, side by side.

    Example: `waybill compare "service.version=0.1" "service.version=0.2" --since 1h`
    """
    backend = TraceApi(traces)
    compared = comparison_report.fetch(backend, a, b, since)
    if as_json:
        print_json(compared)
    else:
        comparison_report.print_report(out, compared, a, b, backend)


@app.command()
def score(
    service: Annotated[str, typer.Option(help="This service alone.", show_default="all")] = "",
    since: Annotated[str, typer.Option(metavar="DURATION", help="How far back: 10m, 2h, 7d.")] = "30d",
    limit: Annotated[int, typer.Option(min=1, metavar="TRACES", help="Traces to read, the newest.")] = (
        score_report.DEFAULT_LIMIT
    ),
    minimum: Annotated[
        float | None, typer.Option("--min", min=0, max=100, help="Exit with status 1 if a service scores less.")
    ] = None,
    as_json: Json = False,
    *,
    traces: Traces,
) -> None:
    """Print the Instrumentation Score of each service, what fails and where to see it.

    Examples: `waybill score` · `waybill score --service order-service --since 10m --min 100`
    """
    backend = TraceApi(traces)
    report = score_report.fetch(backend, service=service, since=since, limit=limit)
    if as_json:
        print_json(report)
    else:
        score_report.print_report(out, report, backend.link)
    raise typer.Exit(0 if score_report.is_enough(report, minimum) else 1)


@app.command(context_settings=QUERY)
def traces(
    query: Query = None,
    since: Since = "1h",
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 20,
    as_json: Json = False,
    *,
    traces: Traces,
) -> None:
    """Print the newest traces that fit a query.

    Examples: `waybill traces "service:order duration>500ms"` · `waybill traces "status:error -declined" --since 10m`
    """
    search = terminal_search.Search(" ".join(query or []), since, limit)
    terminal_search.traces(out, TraceApi(traces), search, as_json=as_json)


@app.command(context_settings=QUERY)
def logs(
    query: Query = None,
    since: Since = "1h",
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 100,
    as_json: Json = False,
    *,
    traces: Traces,
) -> None:
    """Print the newest log lines that fit a query.

    Examples: `waybill logs "level>=warn declined" --since 2h` · `waybill logs "service=order-service -exists:trace"`
    """
    search = terminal_search.Search(" ".join(query or []), since, limit)
    terminal_search.logs(out, TraceApi(traces), search, as_json=as_json)


@app.command("errors", context_settings=QUERY)
def errors_command(
    query: Query = None,
    since: Since = "1h",
    limit: Annotated[int, typer.Option(min=1, help="How many kinds of errors.")] = 20,
    as_json: Json = False,
    *,
    traces: Traces,
) -> None:
    """Count the failures of each service and print what they say.

    Examples: `waybill errors --since 15m` · `waybill errors "order.region=ap"`
    """
    search = terminal_search.Search(" ".join(query or []), since, limit)
    terminal_search.errors(out, TraceApi(traces), search, as_json=as_json)


@app.command(context_settings=QUERY)
def tail(query: Query = None, as_json: Json = False, *, traces: Traces) -> None:
    """Print log lines as they arrive, until Ctrl-C.

    Example: `waybill tail "level>=warn service:payment"`
    """
    terminal_search.tail(out, TraceApi(traces), " ".join(query or []), as_json=as_json)


@app.command("load")
def load_command(
    rate: Annotated[float, typer.Option(min=0.01, max=10_000, help="Orders per second.")] = 20,
    duration: Annotated[
        float, typer.Option(parser=seconds, metavar="DURATION", help="500ms, 30s, 2m.", show_default="30s")
    ] = 30,
    concurrency: Annotated[int, typer.Option(min=1, max=1000, help="How many can be in flight at the same time.")] = 32,
    tokens: Annotated[str, typer.Option(help="Payment tokens and their weights.")] = MIX,
    sku: Annotated[
        list[str] | None, typer.Option(help="Order only this; repeat it for more.", show_default="all in stock")
    ] = None,
    retry_for: Annotated[
        float, typer.Option(parser=seconds, metavar="DURATION", help="Retry this long; 0s: never.", show_default="10s")
    ] = 10,
    seed: Annotated[int | None, typer.Option(help="The same seed: the same orders.", show_default="random")] = None,
    as_json: Json = False,
    *,
    api: Api,
    traces: Traces,
) -> None:
    """Send orders at a fixed rate and print a summary. Exit status 1 if any order failed permanently.

    At the end it says what the traces of the slowest tenth have in common, if anything is clearly different.

    A failed request is retried under the same Idempotency-Key, so no order is placed twice. Latency counts from the
    moment an order was due, so a stalled server cannot hide behind orders that were never sent.

    Examples: `waybill load` · `waybill load --rate 50 --duration 1m --tokens tok_approve=1 --json`
    """
    plan = load.Plan(
        api=api,
        rate=rate,
        duration=duration,
        concurrency=concurrency,
        skus=sku or client.skus_in_stock(api),
        tokens=pairs(tokens.split(","), float, "TOKEN=WEIGHT, such as tok_approve=9,tok_decline=1"),
        retry_for=retry_for,
        seed=random.getrandbits(32) if seed is None else seed,
    )
    report = load_view.run(plan, errors)
    backend = TraceApi(traces)
    with errors.status("Looking at the traces of the slow orders"):
        common = slow_orders.in_common(backend, report)
    if as_json:
        print_json(report.as_json(backend.link(""), common))
    else:
        load_view.print_report(out, report, backend.link(""), common)
    raise typer.Exit(1 if report.failed else 0)


@app.command("doctor")
def doctor_command() -> None:
    """Report what is running, what is not and what to do first. Exit status 1 if something is wrong."""
    if started := containers.listed():
        findings = container_doctor.examine(read_settings(containers.ContainerSettings), started)
    else:
        findings = doctor.examine(read_settings(LocalSettings))
    doctor.print_findings(out, findings)
    raise typer.Exit(1 if any(finding.state == "wrong" for finding in findings) else 0)


@app.command()
def up(logs: Annotated[bool, typer.Option("--logs", help="Show the logs of the services.")] = False) -> None:
    """Run the local stack in this terminal until Ctrl-C."""
    from local import supervisor

    raise typer.Exit(supervisor.up(read_settings(LocalSettings), logs=logs))


@app.command()
def demo(logs: Annotated[bool, typer.Option("--logs", help="Show the logs of the services.")] = False) -> None:
    """Run the local stack, place a first order and print its trace; stays up until Ctrl-C."""
    from local import supervisor

    at = read_settings(LocalSettings)
    raise typer.Exit(supervisor.up(at, logs=logs, after_ready=lambda: first_order.welcome(at)))


@app.command("containers")
def containers_command() -> None:
    """Start the container stack with `docker compose`, place a first order and print its trace."""
    at = read_settings(containers.ContainerSettings)
    raise typer.Exit(containers.up(at, lambda: first_order.place_first_order(at, f"http://{HOST}:{at.loki_port}")))


@app.command("cluster")
def cluster_command(
    load: Annotated[
        str | None,
        typer.Option(
            help="A command that copies images of the container engine into the cluster, such as "
            "`kind load docker-image` or `minikube image load`.",
            show_default="the cluster has them",
        ),
    ] = None,
) -> None:
    """Run the stack on the Kubernetes cluster that `kubectl` is set to, place a first order and print its trace.

    Example: `waybill cluster --load "kind load docker-image"`
    """
    at = read_settings(containers.ContainerSettings)
    first = partial(first_order.place_first_order, at, f"http://{HOST}:{at.loki_port}")
    raise typer.Exit(cluster.up(at, load, first))


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Of the project and its service, such as acme-billing.")],
    folder: Annotated[Path | None, typer.Argument(help="Where to write it.", show_default="beside this one")] = None,
    answer: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A choice of copier.yml: database=sqlite.")
    ] = None,
    defaults: Annotated[bool, typer.Option("--defaults", help="Ask nothing.")] = False,
) -> None:
    """Start a service project of its own, outside of this repository. The questions are in copier.yml."""
    from local import new_project

    answers = {question: text for question, _, text in (each.partition("=") for each in answer or [])}
    target = folder or ROOT.parent / name
    new_project.create(name, target, answers, ask=sys.stdin.isatty() and not defaults)
    out.print(new_project.next_steps(target), soft_wrap=True)


@app.command()
def dev(
    service: Annotated[str, typer.Argument(parser=service_name, metavar="SERVICE", help=f"{', '.join(SERVICES)}.")],
) -> None:
    """Run one service in this terminal and restart it when its code changes; a running stack leaves it out meanwhile.

    Example: `waybill dev inventory`
    """
    from local import develop

    raise typer.Exit(develop.develop(read_settings(LocalSettings), service))


@app.command()
def migrate() -> None:
    """Migrate the databases of the local stack to the latest revision."""
    from local import supervisor

    supervisor.migrate(read_settings(LocalSettings))


@app.command("new-service")
def new_service_command(
    name: Annotated[str, typer.Argument(help="Its name, such as shipping.")],
    calls: Annotated[str, typer.Option(help="The services that it calls, separated by commas.")] = "",
    port: Annotated[int | None, typer.Option(help="Where it listens.", show_default="the next that is free")] = None,
) -> None:
    """Write a new service, with its migration and tests, from `services/skeleton`, and register it.

    Example: `waybill new-service shipping --calls notification,payment`
    """
    from local import new_service

    service, paths = new_service.add(name, [called for called in calls.split(",") if called], port)
    for path in paths:
        out.print(Text(f"  {path}"), soft_wrap=True)
    out.print(Text(f"\n{service.host} is in both stacks. Start one with `make demo`, then:", "bold"), soft_wrap=True)
    out.print(Text(f"  {new_service.request(service.port)}\n"), soft_wrap=True)
    out.print(Text(new_service.next_steps(name)), soft_wrap=True)


@app.command("remove-service")
def remove_service_command(
    name: Annotated[str, typer.Argument(help="Its name.")],
    force: Annotated[bool, typer.Option("--force", help="Also if its files were changed.")] = False,
) -> None:
    """Remove a service that `waybill new-service` wrote: its folders and all that follows from its entry."""
    from local import new_service

    for path in new_service.remove(name, force=force):
        out.print(Text(f"  {path}"), soft_wrap=True)


@app.command()
def revision(
    name: Annotated[str, typer.Argument(help="The service.")],
    message: Annotated[str, typer.Argument(help="What changes, such as `add address`.")],
    empty: Annotated[bool, typer.Option("--empty", help="Write no operations: they are added by hand.")] = False,
) -> None:
    """Write the next migration of a service from what its models say and its revisions do not.

    They are compared with SHIPPING_DATABASE_URL or, if it is not set, with an empty SQLite database.

    Example: `waybill revision shipping "add address"`
    """
    url = getattr(read_settings(LocalSettings), f"{name}_database_url", None)
    command = [sys.executable, "-m", "migrations.revision", name, message, *(["--empty"] if empty else [])]
    raise typer.Exit(subprocess.run(command, cwd=ROOT, env={**os.environ, "DATABASE_URL": url or ""}).returncode)  # noqa: S603


@app.command("dead-letters", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def dead_letters(ctx: typer.Context) -> None:
    """List or retry the orders that wait for a person, by `flask dead-letters` on the stack's database.

    Examples: `waybill dead-letters list` · `waybill dead-letters retry ORDER_ID` · `waybill dead-letters retry --all`
    """
    from local.child import environment
    from local.processes import PYTHON, process_table

    (order,) = (row for row in process_table(read_settings(LocalSettings)) if row.name == "order-service")
    command = [PYTHON, "-m", "flask", "--app", "services.order", "dead-letters", *ctx.args]
    raise typer.Exit(subprocess.run(command, cwd=ROOT, env=environment(order)).returncode)  # noqa: S603


@app.command()
def reset() -> None:
    """Remove the data folder: every order, trace and log of the local stack."""
    from local import supervisor

    supervisor.reset(read_settings(LocalSettings))


# The labs are a folder that can be removed; no other code knows them.
if (ROOT / "labs" / "cli.py").exists():
    import_module("labs.cli").add_to(app)


if __name__ == "__main__":
    app(prog_name="waybill")
