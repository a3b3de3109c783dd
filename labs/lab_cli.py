"""Practice on the running local stack: something happens, and you find out what by its telemetry, prove it, fix it.

Begin with `waybill lab start first-look`. Each seed makes another case, and answers are judged by what your own stack
has recorded. Wrong answers cost nothing; each says what it overlooks.
"""

import time
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markdown import Markdown
from rich.table import Table
from rich.text import Text

from labs import attempts, class_cli, classroom, definitions, engine, faults, view, wheel
from labs.attempts import Attempt
from labs.definitions import HINT_COST
from local.console import Commands, errors, out, print_json
from local.options import Json
from local.settings import LocalSettings, read_settings
from waybill_explorer.client import ClientError

app = typer.Typer(cls=Commands, no_args_is_help=True, rich_markup_mode="markdown", help=__doc__)

Name = Annotated[str, typer.Argument(help="A lab of `waybill lab list`.")]
Seed = Annotated[int | None, typer.Option(help="The same seed: the same case.", show_default="random")]
Minutes = Annotated[float | None, typer.Option(min=1, help="When it ends by itself.")]
STARTING = "Starting; processes are replaced, which can take a minute"
Service = Annotated[str, typer.Argument(help="order, inventory, payment or notification.")]


@app.command("list")
def list_labs(as_json: Json = False) -> None:
    """List the labs with their minutes and your best scores."""
    found = view.catalog(_settings())
    if as_json:
        print_json(found)
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("lab", "minutes", "best", ""):
        table.add_column(column)
    for lab in found:
        best = "-" if lab["best"] is None else str(lab["best"])
        table.add_row(lab["name"], str(lab["minutes"]), best, Text(lab["title"], "dim"))
    out.print(table)


@app.command()
def start(
    name: Name,
    seed: Seed = None,
    minutes: Minutes = None,
    as_json: Json = False,
) -> None:
    """Start a lab: processes change, customers place orders, the clock runs.

    Example: `waybill lab start paid-twice`
    """
    settings = _settings()
    definitions.find(name)
    seed = classroom.seed_of(settings, name) if seed is None else seed
    with errors.status(STARTING):
        attempt = engine.start(settings, name, seed, minutes)
    _brief(attempt, as_json=as_json)


@app.command("wheel")
def spin(
    seed: Seed = None,
    minutes: Minutes = None,
    as_json: Json = False,
) -> None:
    """Start any lab, and do not say which: perhaps one in which nothing is wrong."""
    with errors.status(STARTING):
        attempt = wheel.spin(_settings(), seed, minutes)
    _brief(attempt, as_json=as_json)


@app.command()
def brief(as_json: Json = False) -> None:
    """Print the story, the questions and what you can do."""
    _brief(attempts.current(_settings()), as_json=as_json)


@app.command()
def hint(as_json: Json = False) -> None:
    """Print the next hint; each costs 5 points."""
    settings = _settings()
    attempt = attempts.current(settings)
    text = view.next_hint(settings, attempt)
    of = len(attempt.case.lab.hints())
    if as_json:
        print_json({"hint": text, "number": attempt.hints, "of": of, "cost": HINT_COST})
        return
    out.print(Markdown(text))
    out.print(Text(f"Hint {attempt.hints} of {of}: {HINT_COST} points less", "dim"))


@app.command()
def answer(
    key: Annotated[str, typer.Argument(help="Of the question, as `waybill lab brief` lists it.")],
    value: Annotated[list[str], typer.Argument(help="The answer; ids are separated by spaces.")],
    as_json: Json = False,
) -> None:
    """Answer one question. Exit status 1 if the answer is wrong.

    Examples: `waybill lab answer service payment` · `waybill lab answer span TRACE_ID SPAN_ID`
    """
    settings = _settings()
    attempt = attempts.current(settings)
    given = engine.answer(settings, attempt, key, " ".join(value))
    if as_json:
        print_json({"key": key, **given.model_dump(), "score": attempt.score()})
    elif given.right:
        out.print(Text("✓ ", "green").append(f"right. {attempt.score()} points so far"))
    else:
        out.print(Text("✗ ", "red").append(given.reason), soft_wrap=True)
    raise typer.Exit(0 if given.right else 1)


@app.command()
def check(as_json: Json = False) -> None:
    """Place new orders to see if it is fixed, and print the score. Exit status 1 below 100."""
    settings = _settings()
    attempt = attempts.current(settings)
    reason = ""
    if attempt.case.lab.fix and not attempt.solved:
        with errors.status("Placing new orders and reading their traces"):
            reason = engine.check_fix(settings, attempt)
    _status(attempt, reason, as_json=as_json)
    raise typer.Exit(0 if attempt.score() == 100 else 1)


@app.command()
def status(as_json: Json = False) -> None:
    """Print the time, the answers and the score so far."""
    _status(attempts.current(_settings()), "", as_json=as_json)


@app.command()
def code() -> None:
    """Print the folder of each release that runs, to read and to edit. `waybill lab redeploy` puts it in force."""
    for service, folder in engine.code(_settings()).items():
        typer.echo(f"{service:<13} {folder}")


@app.command()
def redeploy(service: Service) -> None:
    """Release the code of `waybill lab code`, as you have edited it."""
    with errors.status("Deploying"):
        release = engine.redeploy(_settings(), faults.service_of(service))
    out.print(Text(f"{service} runs {release.version}, from {release.folder}"), soft_wrap=True)


@app.command()
def rollback(service: Service) -> None:
    """Let a service run the release before."""
    with errors.status("Deploying"):
        engine.rollback(_settings(), faults.service_of(service))
    out.print(f"{service} runs the release before. `waybill lab check` proves it with new orders.")


@app.command()
def repair(
    kind: Annotated[str, typer.Argument(help="link, setting, neighbor or data.")],
    target: Annotated[list[str], typer.Argument(help="A service, with a variable or an index, or another program.")],
) -> None:
    """Ask the team in charge to repair something that is no code of yours.

    Examples: `waybill lab repair link payment` · `waybill lab repair setting payment PROCESSOR_LATENCY_MS` ·
    `waybill lab repair neighbor stock-report` · `waybill lab repair data order NAME_OF_AN_INDEX`
    """
    with errors.status("Repairing"):
        engine.repair(_settings(), " ".join([kind, target[0].removesuffix("-service"), *target[1:]]))
    out.print("Repaired. `waybill lab check` proves it with new orders.")


@app.command()
def solve(as_json: Json = False) -> None:
    """Print the answers and the debrief. The attempt keeps the points that it has."""
    settings = _settings()
    attempt = attempts.current(settings)
    answers = view.solve(settings, attempt)
    if as_json:
        fix = f"waybill lab {attempt.case.fix}" if attempt.case.fix else None
        print_json({"answers": answers, "fix": fix, "debrief": attempt.case.lab.text("debrief.md")})
        return
    for question in attempt.case.questions:
        out.print(Text(f"{question.key}: ", "bold").append(answers[question.key]), soft_wrap=True)
    if attempt.case.fix:
        out.print(Text("fix: ", "bold").append(f"waybill lab {attempt.case.fix}"), soft_wrap=True)
    out.print(Markdown(attempt.case.lab.text("debrief.md")))


@app.command()
def stop(as_json: Json = False) -> None:
    """End the lab, and wait until the stack is as it was."""
    settings = _settings()
    with errors.status("Waiting until the stack is as it was"):
        attempt = engine.stop(settings)
    if as_json:
        print_json(view.summary(attempt) if attempt else None)
        return
    out.print(view.ended(attempt))
    if attempt and (attempt.score() == 100 or attempt.solved):
        out.print(f"What it was, and how to find it faster: labs/catalog/{attempt.lab}/debrief.md")


@app.command("export")
def export_command(
    name: Name,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder NAME/seed-N of it gets the files.")],
    seeds: Annotated[str, typer.Option(help="Which cases, such as 1-20 or 1,4,7-9.")] = "1",
    orders: Annotated[
        int | None, typer.Option(min=1, help="In each window at least.", show_default="the lab's own")
    ] = None,
    as_json: Json = False,
) -> None:
    """Play cases of a lab and write their telemetry with the truth of each request, for research on root causes.

    Of each case there are ordinary traffic and then the fault, as OTLP/JSON of all three signals. It takes some minutes
    for each. A case that is in the folder is not played again. `labs/DATA.md` explains the files.

    Example: `waybill lab export paid-twice --seeds 1-20 data`
    """
    from labs import export

    settings, found = _settings(), []
    for seed in export.seeds_of(seeds):
        with errors.status(f"{name}, seed {seed}") as now:
            path = folder / name / f"seed-{seed}"
            found.append(export.export(settings, name, seed, path, orders, lambda text: now.update(text)))
        if not as_json:
            (row,) = export.summary(found[-1:])
            hurt = f"{row['hurt']} of {row['requests']} requests hurt"
            out.print(f"{path}: {row['kind']} {row['service']}, {hurt}", soft_wrap=True)
    if as_json:
        print_json(export.summary(found))


@app.command()
def rehearse(
    name: Annotated[list[str] | None, typer.Argument(help="Labs.", show_default=False)] = None,
    every: Annotated[bool, typer.Option("--all", help="All labs.")] = False,
    seed: Annotated[list[int] | None, typer.Option(help="Repeat it for more.", show_default="1")] = None,
    as_json: Json = False,
) -> None:
    """Play labs through: untouched, with a wrong answer, solved, stopped. Exit status 1 if one does not work.

    Examples: `waybill lab rehearse paid-twice --seed 1 --seed 2` · `waybill lab rehearse --all`
    """
    from labs import rehearsal

    if bool(name) == every:
        raise ClientError("name the labs, or choose --all.")
    settings = _settings()
    rows = []
    for each in name or list(definitions.labs()):
        for number in seed or [1]:
            with errors.status(f"{each}, seed {number}") as now:
                row = rehearsal.play(settings, each, number, now.update)
            rows.append(row)
            if not as_json:
                out.print(_line(row), soft_wrap=True)
    if as_json:
        print_json(rows)
    else:
        out.print(_rehearsed(rows))
    raise typer.Exit(1 if any(row["problem"] for row in rows) else 0)


def _line(row: dict[str, Any]) -> str:
    points = f"untouched {row['untouched']:>3}   wrong {row['wrong']:>3}   solved {row['solved']:>3}"
    what = f"{row['lab']:<18} seed {row['seed']:<4} {row['kind']:<9} {row['minutes']:5.1f} min"
    return f"{what}   {points}   {row['problem'] or 'as it should be'}"


def _rehearsed(rows: list[dict[str, Any]]) -> Table:
    """Return a table with a row for each lab: of all its seeds, the most minutes and the worst points."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("lab", "kind", "seeds", "min", "untouched", "wrong", "solved", "ok"):
        table.add_column(column, no_wrap=column != "kind")
    for name in dict.fromkeys(row["lab"] for row in rows):
        of_lab = [row for row in rows if row["lab"] == name]
        untouched, wrong, solved = (
            [row[part] for row in of_lab if row[part] != "-"] for part in ("untouched", "wrong", "solved")
        )
        table.add_row(
            name,
            " / ".join(dict.fromkeys(row["kind"] for row in of_lab)),
            " ".join(str(row["seed"]) for row in of_lab),
            f"{max(row['minutes'] for row in of_lab):.1f}",
            str(max(untouched, default="-")),
            str(max(wrong, default="-")),
            str(min(solved, default="-")),
            "no" if any(row["problem"] for row in of_lab) else "yes",
        )
    return table


def _settings() -> LocalSettings:
    return read_settings(LocalSettings)


def _brief(attempt: Attempt, *, as_json: bool) -> None:
    case = attempt.case
    if as_json:
        title = case.lab.title if attempt.name == attempt.lab else attempt.name
        told = {"title": title, "story": view.story(attempt), "questions": view.questions(attempt)}
        print_json({**view.summary(attempt), **told})
        return
    out.print(Markdown(view.story(attempt)))
    out.print()
    for question in case.questions:
        out.print(Text(f"{question.key:<12}", "bold").append(Text(question.ask, "default")), soft_wrap=True)
        if question.choices:
            out.print(Text(f"{'':<12}{' · '.join(question.choices)}", "dim"), soft_wrap=True)
    out.print(Text("\nwaybill lab answer KEY VALUE · check · hint (5 points) · solve · stop", "dim"))
    if case.lab.fix:
        how = "repair link|setting|neighbor|data TARGET · rollback SERVICE · code, then redeploy SERVICE"
        out.print(Text(f"Fix it with waybill lab {how}", "dim"))


def _status(attempt: Attempt, reason: str, *, as_json: bool) -> None:
    if as_json:
        print_json({**view.summary(attempt), "not_fixed": reason})
        return
    out.print(Text(f"{attempt.name}, for {(time.time() - attempt.started) / 60:.0f} min", "bold"))
    for part, (earned, possible) in attempt.points().items():
        keys = [question.key for question in attempt.case.questions if question.part == part]
        marks = ", ".join(f"{key} {_mark(attempt, key)}" for key in keys)
        out.print(f"  {part:<9} {earned:3.0f} of {possible:3.0f}   {marks}")
    if reason:
        out.print(Text(f"  not fixed: {reason}", "yellow"), soft_wrap=True)
    hints = f", less {HINT_COST * attempt.hints} for hints" if attempt.hints else ""
    out.print(Text(f"{attempt.score()} points{hints}", "bold"))


def _mark(attempt: Attempt, key: str) -> str:
    given = attempt.answers.get(key)
    return "-" if given is None else "✓" if given.right else "✗"


for command_name, command in class_cli.COMMANDS.items():
    app.command(command_name)(command)

if (Path(__file__).parent / "path" / "cli.py").exists():
    app.add_typer(import_module("labs.path.cli").app, name="path")
