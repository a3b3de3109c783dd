"""`waybill lab path`: instrument a service yourself, step by step, and have each step checked."""

import time
from pathlib import Path
from typing import Annotated

import psutil
import typer
from rich.markdown import Markdown
from rich.text import Text

from labs.path.findings import Report, Stopped
from labs.path.workspace import MARK, PAGES, SOLUTIONS, STEPS, Workspace, create, is_left_by_service, workspace
from local.console import Commands, errors, out, print_json
from local.options import Json
from local.settings import LocalSettings, read_settings
from waybill_explorer.client import ClientError

app = typer.Typer(cls=Commands, no_args_is_help=True, rich_markup_mode="markdown", help=__doc__)

Step = Annotated[int | None, typer.Argument(min=0, max=STEPS[-1], help="0 to 8.", show_default="the next one")]
THE_STEP = typer.Argument(min=0, max=STEPS[-1], help="0 to 8.")
STOP_SECONDS = 20
STARTED = ("gift", "waybill-explorer")
"""What is in the command line of the service and of the second backend."""


@app.command()
def start() -> None:
    """Copy the service into the data folder and print the first step. What is there already stays."""
    space = create(read_settings(LocalSettings))
    out.print(Text.assemble("gift-service is in ", (str(space.folder), "cyan")), soft_wrap=True)
    _print_page(space, space.next_step() or 0)


@app.command()
def status(as_json: Json = False) -> None:
    """Print the steps, which of them are passed, and the next one."""
    space = _space()
    passed, step = space.passed(), space.next_step()
    if as_json:
        print_json({"folder": str(space.folder), "passed": sorted(passed), "next": step})
        return
    for number in STEPS:
        mark = ("✓", "green") if number in passed else ("▸", "bold") if number == step else (" ", "")
        out.print(Text.assemble(mark, f" {number}  {_title(number)}"))
    out.print(Text.assemble("\n", (str(space.folder), "cyan")), soft_wrap=True)


@app.command()
def brief(step: Step = None) -> None:
    """Print the page of a step: its goal, what to do, what to look at, how it is checked."""
    space = _space()
    _print_page(space, _or_next(space, step))


@app.command()
def check(
    step: Step = None,
    watch: Annotated[bool, typer.Option("--watch", help="Check again whenever a file is saved.")] = False,
    as_json: Json = False,
) -> None:
    """Start the service, send it probes, and judge what arrives for them. Exit status 1 unless the step is passed."""
    space = _space()
    number = _or_next(space, step)
    report = _check(space, number, as_json=as_json)
    if watch:
        from watchfiles import watch as changes

        for _ in changes(space.folder, watch_filter=_is_of_the_learner, raise_interrupt=False):
            if step is None and report.state == "passed":
                number = _or_next(space, None)
            report = _check(space, number, as_json=as_json)
    raise typer.Exit(0 if report.state == "passed" else 1)


@app.command()
def solve(step: Annotated[int, THE_STEP]) -> None:
    """Put the model solution of a step in place. Your own files are kept in a folder beside it."""
    space = _space()
    kept = space.solve(step)
    for file in sorted((SOLUTIONS / str(step)).glob("*")):
        out.print(Text(f"  {space.folder / file.name}"), soft_wrap=True)
    _say_what_is_kept(kept)


@app.command()
def reset(
    step: Annotated[int, typer.Argument(min=0, max=STEPS[-1], help="Whose start: 0 to 8.")] = 0,
) -> None:
    """Put the files back as they are at the start of a step. Your own files are kept in a folder beside it."""
    space = _space()
    _say_what_is_kept(space.reset(step))


@app.command()
def stop() -> None:
    """Stop what still runs from the folder: a `sh run`, the second backend. No file is removed."""
    space = _space()
    found = list(_running_from(space.folder))
    for process in found:
        out.print(Text(f"Stopping {process.pid} {' '.join(process.cmdline())[:80]}"), soft_wrap=True)
        process.terminate()
    _, alive = psutil.wait_procs(found, timeout=STOP_SECONDS)
    for process in alive:
        process.kill()
    if not found:
        out.print("Nothing runs from the folder.")


def _space() -> Workspace:
    space = workspace(read_settings(LocalSettings))
    space.require()
    return space


def _or_next(space: Workspace, step: int | None) -> int:
    if step is not None:
        return step
    following = space.next_step()
    if following is None:
        raise ClientError("every step is passed. Name one to see it again: 0 to 8.")
    return following


def _check(space: Workspace, step: int, *, as_json: bool) -> Report:
    """Check a step, print the report, and note that it is passed."""
    report = judge(space, step)
    if report.state == "passed":
        space.mark_passed(step)
    if as_json:
        print_json(report.as_json())
    else:
        _print_report(space, report)
    return report


def judge(space: Workspace, step: int) -> Report:
    """Check a step and return the report; a service that does not start or stop is one finding."""
    from labs.path.checks import CHECKS  # takes a second to import, which the other commands need not wait for
    from labs.path.later_checks import LATER_CHECKS

    try:
        with errors.status(f"Step {step}: starting gift-service and sending probes"):
            return {**CHECKS, **LATER_CHECKS}[step](space)
    except Stopped as stopped:
        return Report(step, [stopped.finding])


def _print_report(space: Workspace, report: Report) -> None:
    out.print(Text(f"\nStep {report.step}  {_title(report.step)}   {time.strftime('%H:%M:%S')}", "bold"))
    for finding in report.findings:
        out.print(Text.assemble(("✓ ", "green") if finding.ok else ("✗ ", "red"), finding.title), soft_wrap=True)
        for label, text in (("seen", finding.seen), ("expected", finding.expected), ("read", finding.read)):
            if text:
                out.print(
                    Text.assemble((f"    {label:<9}", "dim"), text.replace("\n", "\n" + " " * 13)), soft_wrap=True
                )
    for note in report.notes:
        out.print(Text(note), soft_wrap=True)
    for trace_id in report.traces:
        out.print(Text.assemble(("  trace ", "dim"), (f"{space.explorer}/trace/{trace_id}", "cyan")), soft_wrap=True)
    if report.state == "passed":
        following = space.next_step()
        advice = "That was the last step." if following is None else f"Next: `waybill lab path brief {following}`"
        out.print(Text(f"Passed. {advice}", "bold green"))
    elif report.state == "not done":
        out.print(Text(f"Not done: {report.not_done}", "bold yellow"), soft_wrap=True)
    else:
        wrong = sum(not finding.ok for finding in report.findings)
        out.print(Text(f"Not passed: {wrong} of {len(report.findings)} checks fail.", "bold red"))


def _print_page(space: Workspace, step: int) -> None:
    out.print()
    out.print(Markdown(page(space, step)))


def page(space: Workspace, step: int) -> str:
    """Return the page of a step, with the addresses of this stack."""
    ports = space.ports()
    replaced = {
        "FOLDER": str(space.folder),
        "EXPLORER": space.explorer,
        "SECOND_PAGE": f"http://127.0.0.1:{ports.get('page', 0)}",
        "COLLECTOR_PORT": str(ports.get("collector", 0)),
    }
    text = _file(step).read_text()
    for name, value in replaced.items():
        text = text.replace(f"<{name}>", value)
    return text


def _title(step: int) -> str:
    return _file(step).read_text().partition("\n")[0].partition(". ")[2]


def _file(step: int) -> Path:
    (found,) = PAGES.glob(f"{step}-*.md")
    return found


def _say_what_is_kept(kept: Path | None) -> None:
    if kept:
        out.print(Text.assemble("Your files are kept in ", (str(kept), "cyan")), soft_wrap=True)


def _is_of_the_learner(_change: object, path: str) -> bool:
    return not is_left_by_service(Path(path))


def _running_from(folder: Path) -> list[psutil.Process]:
    """Return what `sh run` and `sh second` have started there: `stack.env` marks it. A shell or an editor is not."""
    found = []
    for process in psutil.process_iter():
        try:
            marked = process.environ().get(MARK) == str(folder)
            if marked and any(name in " ".join(process.cmdline()) for name in STARTED):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found
