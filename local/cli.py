"""`waybill`: run the local stack, place orders, print traces, generate load, diagnose problems."""

import io
import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup

from local import client, doctor, load
from local.client import TraceApi
from local.settings import HOST, ROOT, LocalSettings
from waybill_explorer import terminal
from waybill_explorer.client import ClientError, json_of, valid_trace_id
from waybill_explorer.client import as_json as trace_as_json

SettingsT = TypeVar("SettingsT", bound=LocalSettings)
FIRST_ORDER_ATTEMPTS = 10
FIRST_ORDER_PAUSE = 2.0
FIRST_TRACE_SECONDS = 120.0
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class Commands(TyperGroup):
    """Print a ClientError in one line on stderr and exit with status 1."""

    def invoke(self, ctx: Any) -> Any:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # a terminal without Unicode gets `?` for a bar, not an error
                stream.reconfigure(errors="replace")
        try:
            return super().invoke(ctx)
        except ClientError as error:
            errors.print(Text().append("error: ", "bold red").append(terminal.clean(error)), soft_wrap=True)
            raise typer.Exit(1) from error


app = typer.Typer(cls=Commands, no_args_is_help=True, rich_markup_mode="markdown", add_completion=False, help=__doc__)
out = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


def settings() -> LocalSettings:
    """Return the settings. Raise a ClientError that names the variable."""
    return read(LocalSettings)


def read(kind: type[SettingsT]) -> SettingsT:
    """Return settings of a kind. Raise a ClientError that names the variable."""
    try:
        return kind()
    except ValidationError as error:
        first = error.errors()[0]
        raise ClientError(f"{'.'.join(map(str, first['loc'])).upper()}: {first['msg']}") from error


def _pairs(text: list[str], number: Callable[[str], float], example: str) -> dict[str, Any]:
    """`["A=1", "B=2"]` -> `{"A": 1, "B": 2}`; a name without a number counts 1."""
    pairs: dict[str, Any] = {}
    for item in text:
        name, _, value = item.partition("=")
        try:
            pairs[name] = pairs.get(name, 0) + number(value or "1")
        except ValueError as error:
            raise ClientError(f"{item!r} is not of the form {example}") from error
        if not name or not 0 < pairs[name] < float("inf"):
            raise ClientError(f"{item!r} is not of the form {example}")
    return pairs


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def seconds(text: object) -> float:
    """`500ms`, `30s`, `2m`, `1h` or plain seconds -> seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)?", str(text).strip())
    if not match:
        raise typer.BadParameter(f"{text!r} is not a duration: write 500ms, 30s, 2m or 1h")
    return float(match[1]) * UNITS[match[2] or "s"]


def base_url(text: str) -> str:
    """`127.0.0.1:8080` or a whole URL -> a base that paths are appended to."""
    return (text if "://" in text else f"http://{text}").rstrip("/")


def _url_option(name: str, variable: str, what: str) -> Any:
    """Return an option whose default is this machine's port of that variable."""

    def here() -> str:
        return f"http://{HOST}:{getattr(settings(), variable.lower())}"

    help = f"Base URL of {what}."
    return typer.Option(
        name, parser=base_url, metavar="URL", default_factory=here, show_default=f"{variable} here", help=help
    )


Api = Annotated[str, _url_option("--api", "ORDER_PORT", "order-service")]
Traces = Annotated[str, _url_option("--traces", "TRACES_PORT", "the trace backend or a Jaeger")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Everything = Annotated[bool, typer.Option("--all", help="Print every span, even deep and repeated ones.")]
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
) -> None:
    """Place an order and print its trace as a waterfall.

    Examples: `waybill order --token tok_decline` · `waybill order --line TEA-SENCHA=2 --line CUP-RAKU=1`
    """
    lines = _pairs(line or [], int, "SKU=QUANTITY, such as TEA-SENCHA=2")
    if sku or not lines:
        name = sku or client.skus_in_stock(api)[0]
        lines[name] = lines.get(name, 0) + quantity
    body = client.order_body(lines, token=token, region=region, customer=customer)
    taken = place(api, TraceApi(traces), body, key=key, wait=wait, everything=everything, as_json=as_json)
    raise typer.Exit(0 if taken else 1)


def place(
    api: str,
    traces: TraceApi,
    body: dict[str, Any],
    *,
    key: str | None = None,
    wait: bool = True,
    deadline: float = 30.0,
    everything: bool = False,
    as_json: bool = False,
) -> bool:
    """Place an order and print it and its trace, which is awaited until nothing has come for `deadline` seconds.

    Return whether the order was taken.
    """
    response = client.place_order(api, body, key)
    trace_id = client.trace_id_of(response)
    answer = json_of(response)
    if not isinstance(answer, dict) or not answer.keys() & {"id", "title"}:
        raise ClientError(f"{response.url} responds with {response.status_code} and not with an order. Check --api.")
    if not as_json:
        _print_order(answer, api) if response.ok else _print_problem(answer)
    fetched = None
    if wait and trace_id:
        with errors.status("Waiting for the trace; services send spans in batches"):
            fetched = traces.wait_for_trace(trace_id, deadline)
    if as_json:
        _print_json({"order" if response.ok else "problem": answer, "trace_id": trace_id, **trace_as_json(fetched)})
    elif fetched and trace_id:
        out.print()
        terminal.print_trace(out, fetched, traces.link(trace_id), everything=everything)
    elif trace_id:
        late = "Its trace has not arrived. Run `waybill doctor` to see if the backend is running.\n" if wait else ""
        out.print(Text(late + traces.link(trace_id)), soft_wrap=True)
    elif wait:
        out.print(Text("The response has no `traceresponse` header, so its trace cannot be found.", "yellow"))
    return response.ok


def _print_order(order: dict[str, Any], api: str) -> None:
    text, status = Text("Order "), terminal.clean(order.get("status"))
    text.append(terminal.clean(order.get("id")), "bold").append(" ")
    text.append(status, {"CONFIRMED": "bold green", "CANCELLED": "bold red"}.get(status, "bold yellow"))
    text.append(f" {terminal.clean(order['reason'])}" if order.get("reason") else "", "red")
    if order.get("total") is not None:
        text.append(f" · {order['total'] / 100:.2f} {terminal.clean(order.get('currency'))}")
    out.print(text, soft_wrap=True)
    goods = (f"{line.get('quantity')} x {terminal.clean(line.get('sku'))}" for line in order.get("lines", []))
    out.print(Text(", ".join(goods), "dim"))
    if status not in ("CONFIRMED", "CANCELLED"):
        out.print(Text(f"It is still being processed: curl {api}/orders/{terminal.clean(order.get('id'))}", "yellow"))


def _print_problem(problem: dict[str, Any]) -> None:
    text = Text().append(terminal.clean(f"{problem.get('status', '')} {problem.get('title', 'refused')}"), "bold red")
    fields = problem.get("errors")
    out.print(text if fields else text.append(f": {terminal.clean(problem.get('detail', ''))}"))
    for error in fields or []:
        out.print(Text(f"  {terminal.clean(error.get('field'))}: {terminal.clean(error.get('reason'))}", "red"))


@app.command()
def trace(
    trace_id: Annotated[str, typer.Argument(help="32 hex digits, as in a log line or a `traceresponse` header.")],
    everything: Everything = False,
    as_json: Json = False,
    *,
    traces: Traces,
) -> None:
    """Print any trace as a waterfall, with its logs.

    Example: `waybill trace 4bf92f3577b34da6a3ce929d0e0e4736`
    """
    trace_id = valid_trace_id(trace_id)
    backend = TraceApi(traces)
    fetched = backend.find(trace_id)
    if as_json:
        _print_json({"trace_id": trace_id, **trace_as_json(fetched)})
    else:
        terminal.print_trace(out, fetched, backend.link(trace_id), everything=everything)


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
        tokens=_pairs(tokens.split(","), float, "TOKEN=WEIGHT, such as tok_approve=9,tok_decline=1"),
        retry_for=retry_for,
        seed=random.getrandbits(32) if seed is None else seed,
    )
    report = load.run(plan, errors)
    link = TraceApi(traces).link("")
    if as_json:
        _print_json(report.as_json(link))
    else:
        load.print_report(out, report, link)
    raise typer.Exit(1 if report.failed else 0)


@app.command("doctor")
def doctor_command() -> None:
    """Report what is running, what is not and what to do first. Exit status 1 if something is wrong."""
    findings = doctor.examine(settings())
    doctor.print_findings(out, findings)
    raise typer.Exit(1 if any(finding.state == "wrong" for finding in findings) else 0)


@app.command()
def up(logs: Annotated[bool, typer.Option("--logs", help="Show the logs of the services.")] = False) -> None:
    """Run the local stack in this terminal until Ctrl-C."""
    from local import supervisor

    raise typer.Exit(supervisor.up(settings(), logs=logs))


@app.command()
def demo(logs: Annotated[bool, typer.Option("--logs", help="Show the logs of the services.")] = False) -> None:
    """Run the local stack, place a first order and print its trace; stays up until Ctrl-C."""
    from local import supervisor

    at = settings()
    raise typer.Exit(supervisor.up(at, logs=logs, after_ready=lambda: _first_order(at)))


def _place_first_order(at: LocalSettings) -> bool:
    out.print("\nA first order:")
    api, traces = f"http://{HOST}:{at.port('order')}", TraceApi(f"http://{HOST}:{at.traces_port}")
    lines = {sku: quantity for quantity, sku in enumerate(_first_skus(api), start=1)}
    body = client.order_body(lines, token="tok_approve", region="eu", customer="cus_42")  # noqa: S106
    return place(api, traces, body, deadline=FIRST_TRACE_SECONDS)


def _first_skus(api: str) -> list[str]:
    """Return two SKUs to order; on a slow machine the first calls between the services time out, so try for long."""
    for _ in range(FIRST_ORDER_ATTEMPTS - 1):
        try:
            return client.skus_in_stock(api)[:2]
        except ClientError:
            time.sleep(FIRST_ORDER_PAUSE)
    return client.skus_in_stock(api)[:2]


def _first_order(at: LocalSettings) -> None:
    try:
        _place_first_order(at)
    except ClientError as error:
        out.print(Text(f"The first order failed: {terminal.clean(error)}", "red"), soft_wrap=True)
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


@app.command("containers")
def containers_command() -> None:
    """Start the container stack with `docker compose`, place a first order and print its trace."""
    from local import containers

    at = read(containers.ContainerSettings)
    raise typer.Exit(containers.up(at, lambda: _place_first_order(at)))


@app.command()
def migrate() -> None:
    """Migrate the databases of the local stack to the latest revision."""
    from local import supervisor

    supervisor.migrate(settings())


@app.command("dead-letters", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def dead_letters(ctx: typer.Context) -> None:
    """List or retry the orders that wait for a person, by `flask dead-letters` on the stack's database.

    Examples: `waybill dead-letters list` · `waybill dead-letters retry ORDER_ID` · `waybill dead-letters retry --all`
    """
    from local.child import environment
    from local.processes import PYTHON, process_table

    (order,) = (row for row in process_table(settings()) if row.name == "order-service")
    command = [PYTHON, "-m", "flask", "--app", "services.order", "dead-letters", *ctx.args]
    raise typer.Exit(subprocess.run(command, cwd=ROOT, env=environment(order)).returncode)  # noqa: S603


@app.command()
def reset() -> None:
    """Remove the data folder: every order, trace and log of the local stack."""
    from local import supervisor

    supervisor.reset(settings())


if __name__ == "__main__":
    app(prog_name="waybill")
