"""Break the running local stack on purpose: a fault is a release, a link, a setting, data or a neighbor.

No service has code for it. Telemetry shows only what it would show of a real one, and the deploy log (service
`deployments`) says that something was deployed. `waybill up` starts without faults, and each ends by itself.
"""

import re
import time
from collections import Counter
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from labs import data, definitions, faults, plan, releases
from labs.faults import Fault, Link
from labs.plan import Plan
from local import wanted
from local.console import Commands, errors, out, print_json
from local.options import Json, seconds
from local.settings import LocalSettings, read_settings
from waybill_explorer.client import ClientError

app = typer.Typer(cls=Commands, no_args_is_help=True, rich_markup_mode="markdown", help=__doc__)
on = typer.Typer(cls=Commands, no_args_is_help=True, rich_markup_mode="markdown")
app.add_typer(on, name="on", help="Switch a fault on, and wait until it is in force.")

KINDS = (
    ("release", "a service runs a patched copy of the code, under the next version", "release order lost-thread"),
    ("link", "requests to a service (or the cache) are hurt on their way", "link payment --delay 1.2s --share 0.3"),
    ("setting", "a service runs with another value of a variable", "setting payment PROCESSOR_LATENCY_MS=1900"),
    ("data", "SQL is run on the database of a service, and undone later", "data order 'DROP INDEX ...' --undo '...'"),
    ("neighbor", "a program of another team holds what a service uses", "neighbor stock-report --hold 1.5s --every 4s"),
)

Minutes = Annotated[float, typer.Option(min=0.1, max=24 * 60, help="How long it stays on.")]
Service = Annotated[str, typer.Argument(help="order, inventory, payment or notification.")]
Duration = typer.Option(parser=seconds, metavar="DURATION", show_default=False)


@app.command("list")
def list_kinds(as_json: Json = False) -> None:
    """List the kinds of faults with an example of each, and the patches that a release can have."""
    if as_json:
        print_json(
            {
                "kinds": [{"kind": kind, "what": what, "example": example} for kind, what, example in KINDS],
                "patches": _patches(),
                "neighbors": list(faults.NEIGHBORS),
            }
        )
        return
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for kind, what, example in KINDS:
        table.add_row(Text(kind, "bold"), Text(what))
        table.add_row("", Text(f"waybill fault on {example}", "dim"))
    out.print(table)
    out.print(Text(f"\nPatches: {', '.join(_patches())}. A path of a file does, too."), soft_wrap=True)


@on.command("release")
def on_release(
    service: Service,
    patch: Annotated[str, typer.Argument(help="A patch of `app/` and `services/`: a file, or a name of the catalog.")],
    minutes: Minutes = 60,
) -> None:
    """Let a service run a patched copy of the code.

    Example: `waybill fault on release order lost-thread`
    """
    settings = _settings()
    _check(settings)
    name, text = faults.service_of(service), _patch(patch)
    touched = set(re.findall(r"^\+\+\+ b/services/(\w+)/", text, re.MULTILINE))
    if touched and name not in touched:
        raise ClientError(f"{patch} changes {', '.join(sorted(touched))}, not {name}: name that service.")
    _switch_on(settings, releases.build(settings, name, text), minutes)


@on.command("link")
def on_link(
    service: Annotated[str, typer.Argument(help="order, inventory, payment, notification or cache.")],
    delay: Annotated[float | None, Duration] = None,
    reset: Annotated[bool, typer.Option("--reset", help="The connection is reset before the request arrives.")] = False,
    lose_answer: Annotated[
        bool, typer.Option("--lose-answer", help="The request is processed, and its response is lost.")
    ] = False,
    hold: Annotated[bool, typer.Option("--hold", help="There is no response until the client gives up.")] = False,
    share: Annotated[float, typer.Option(help="The share of the requests that is hurt, 0 to 1.")] = 1.0,
    path: Annotated[str, typer.Option(help="Hurt only requests whose path begins with this.")] = "/",
    minutes: Minutes = 60,
) -> None:
    """Hurt a share of the requests to a service: `--delay`, `--reset`, `--lose-answer` or `--hold`.

    A proxy listens on the port of the service meanwhile; traces keep their addresses. Health checks are not hurt. The
    trace id of each request that is hurt is written down: `waybill fault status --json`.

    Example: `waybill fault on link payment --path /charges --lose-answer --share 0.4`
    """
    chosen = {"delay": delay is not None, "reset": reset, "lose-answer": lose_answer, "hold": hold}
    modes = [mode for mode, given in chosen.items() if given]
    if len(modes) != 1:
        raise ClientError("choose one of --delay DURATION, --reset, --lose-answer and --hold.")
    settings = _settings()
    name = faults.service_of(service, cache=True)
    link = faults.new_link(settings, _known(settings), name, modes[0], seconds=delay or 0.0, path=path, share=share)
    _switch_on(settings, link, minutes)


@on.command("setting")
def on_setting(
    service: Service,
    setting: Annotated[str, typer.Argument(metavar="NAME=VALUE", help="A variable of docs/settings.md.")],
    minutes: Minutes = 60,
) -> None:
    """Let a service run with another value of an environment variable.

    Example: `waybill fault on setting payment PROCESSOR_LATENCY_MS=1900`
    """
    _switch_on(_settings(), faults.new_setting(faults.service_of(service), setting), minutes)


@on.command("data")
def on_data(
    service: Service,
    statement: Annotated[list[str], typer.Argument(metavar="SQL...", help="Statements of one transaction.")],
    undo: Annotated[list[str], typer.Option(metavar="SQL", help="What undoes them; repeat it for more.")],
    minutes: Minutes = 60,
) -> None:
    """Change the data or the tables of a service by SQL. What undoes it is stored before.

    Example: `waybill fault on data order "DROP INDEX ix_orders_created_at_id"
    --undo "CREATE INDEX ix_orders_created_at_id ON orders (created_at, id)"`
    """
    settings = _settings()
    _check(settings)
    _switch_on(settings, data.change(settings, faults.service_of(service), statement, undo), minutes)


@on.command("neighbor")
def on_neighbor(
    name: Annotated[str, typer.Argument(help=f"{', '.join(faults.NEIGHBORS)}.")],
    hold: Annotated[float, typer.Option(parser=seconds, metavar="DURATION", help="How long.")] = 1.5,
    every: Annotated[float, typer.Option(parser=seconds, metavar="DURATION", help="How often.")] = 4,
    minutes: Minutes = 60,
) -> None:
    """Let a program of another team hold rows that a service needs, again and again.

    Example: `waybill fault on neighbor stock-report --hold 1.5s --every 4s`
    """
    settings = _settings()
    _switch_on(settings, faults.new_neighbor(settings, _known(settings), name, hold, every), minutes)


@app.command()
def off(
    fault: Annotated[
        list[str] | None, typer.Argument(metavar="[KIND TARGET]", help="One fault, such as `link payment`.")
    ] = None,
) -> None:
    """Switch a fault off, or all of them, and wait until the stack is as it was."""
    settings = _settings()
    found = _presenters(settings)
    if found is None:
        out.print("No fault is on.")
        return
    wanted_key = " ".join(fault or [])
    ending = [one.key for one in found.faults if one.key == wanted_key or one.key.startswith(f"{wanted_key} ")]
    if wanted_key and not ending:
        known = ", ".join(one.key for one in found.faults)
        raise ClientError(f"no fault {wanted_key!r} is on. On: {known}.")
    rest = found.without(*ending) if wanted_key else found.model_copy(update={"faults": ()})
    with errors.status("Waiting until the stack is as it was"):
        plan.bring(settings, _described(rest)) if rest.faults else plan.clear(settings)
    for one in found.faults:
        if one not in rest.faults:
            out.print(Text(f"off: {one.text}"), soft_wrap=True)


@app.command()
def status(as_json: Json = False) -> None:
    """Report which faults are on, for how long, and whom they have hurt."""
    settings = _settings()
    found = _presenters(settings)
    report = [_report(settings, fault) for fault in found.faults] if found else []
    if as_json:
        print_json({"faults": report, "ends_at": found.ends_at if found else None})
        return
    if not found:
        out.print("No fault is on.")
        return
    for one in report:
        out.print(Text(one["text"], "bold"), soft_wrap=True)
        if one["kind"] == "link":
            out.print(Text(f"  {one['requests']:,} requests hurt, in {len(one['trace_ids']):,} traces"))
            for trace_id in one["trace_ids"][-3:]:
                out.print(Text(f"  waybill trace {trace_id}", "dim"))
    out.print(f"All end in {(found.ends_at - time.time()) / 60:.0f} min, or with: waybill fault off")


def _patches() -> list[str]:
    """Return the labs whose fault is a release: each is the name of a patch, too."""
    found = definitions.labs().items()
    return [name for name, lab in found if any("release" in variant.fault for variant in lab.variants)]


def _patch(name: str) -> str:
    """Return the text of a patch. Raise a ClientError."""
    if name in _patches():
        seeds = (definitions.case(definitions.find(name), seed) for seed in count(1))
        case = next(case for case in seeds if "release" in case.fault)
        return definitions.patch_of(case, case.fault["release"]["patch"])
    if not Path(name).is_file():
        raise ClientError(f"there is no patch {name!r}: name a file, or one of {', '.join(_patches())}.")
    return Path(name).read_text()


def _report(settings: LocalSettings, fault: Fault) -> dict[str, Any]:
    report: dict[str, Any] = {"kind": fault.kind, "text": fault.text, **fault.model_dump(mode="json")}
    if isinstance(fault, Link):
        hurt = faults.hurt(settings, fault.service)
        traces = Counter(line["trace_id"] for line in hurt if line["trace_id"])
        report |= {"requests": len(hurt), "trace_ids": list(traces)}
    return report


def _settings() -> LocalSettings:
    return read_settings(LocalSettings)


def _known(settings: LocalSettings) -> tuple[Fault, ...]:
    found = _presenters(settings)
    return found.faults if found else ()


def _presenters(settings: LocalSettings) -> Plan | None:
    """Return the faults that are on. Raise a ClientError if they are those of a lab."""
    found = plan.current(settings)
    if found and found.attempt:
        raise ClientError("a lab is on, which has its own faults: end it first with `waybill lab stop`.")
    return found


def _check(settings: LocalSettings) -> None:
    """Raise a ClientError if no fault can be switched on."""
    _presenters(settings)
    if not plan.is_running(settings.waybill_data):
        raise ClientError(plan.NOT_RUNNING)


def _switch_on(settings: LocalSettings, fault: Fault, minutes: float) -> None:
    _check(settings)
    found = _presenters(settings) or Plan(ends_at=0, says="", off="")
    if isinstance(fault, Link) and fault.key not in {one.key for one in found.faults}:
        faults.record_file(settings, fault.service).unlink(missing_ok=True)
    ends_at = max(found.ends_at, time.time() + minutes * 60)
    after = _described(found.with_fault(fault).model_copy(update={"ends_at": ends_at}))
    with errors.status("Waiting until it is in force"):
        plan.bring(settings, after)
    out.print(Text(f"on: {fault.text}"), soft_wrap=True)
    now = wanted.read(settings.waybill_data)
    if now:
        out.print(f"It ends in {wanted.left(now)}, or with: waybill fault off")


def _described(found: Plan) -> Plan:
    says = "a fault is on: " + "; ".join(fault.text for fault in found.faults)
    return found.model_copy(update={"says": says, "off": "switch it off with `waybill fault off`"})
