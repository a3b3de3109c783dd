"""The commands of `waybill lab` for a class and its teacher: board, join, key, report, verify, slides, lessons."""

from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from labs import board as boards
from labs import classroom, codes, definitions, lessons, plan, report, slides
from labs.board import BoardSettings
from local import containers
from local.console import out, print_json
from local.options import Json, base_url
from local.settings import LocalSettings, read_settings
from waybill_explorer.client import ClientError

LOOPBACK = "127.0.0.1"
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - what the teacher may choose
Labs = Annotated[list[str] | None, typer.Argument(help="Labs.", show_default="all")]


def board(
    host: Annotated[str, typer.Option(help="0.0.0.0 opens it to the network of the class.")] = LOOPBACK,
    port: Annotated[int | None, typer.Option(min=1, max=65535, show_default="LABS_PORT, or 8095")] = None,
    as_json: Json = False,
) -> None:
    """Show the progress of a class, until Ctrl-C. Learners join with the code that it prints.

    Only this machine can open it unless --host names another address. It has points, hints and times, under the names
    that learners type: no telemetry and no answers.

    Example: `waybill lab board --host 0.0.0.0`
    """
    settings = read_settings(BoardSettings)
    number = port or settings.labs_port

    def announce() -> None:
        name = boards.own_address() if host in EVERYWHERE else host
        url = f"http://{f'[{name}]' if ':' in name else name}:{number}"
        code = codes.join_code(codes.class_key(settings))
        if as_json:
            print_json({"url": url, "code": code, "learners": len(boards.read_learners(settings))})
            return
        out.print(Text.assemble("The board is ", (f"{url}/", "cyan")), soft_wrap=True)
        out.print(Text.assemble("The join code is ", (code, "bold"), ". Each learner runs:"), soft_wrap=True)
        out.print(Text(f"  .venv/bin/waybill lab join {url} --code {code} --as NAME"), soft_wrap=True)
        if host == LOOPBACK:
            out.print(Text("Only this machine can open it: --host 0.0.0.0 is for a class.", "yellow"), soft_wrap=True)
        if containers.listed():
            out.print(Text(f"Note: {plan.NO_CONTAINERS}", "yellow"), soft_wrap=True)
        out.print("Ctrl-C stops it; what it knows is kept.")

    boards.serve(settings, host, number, announce)


def join(
    url: Annotated[str, typer.Argument(metavar="URL", parser=base_url, help="Of the board, as it is printed there.")],
    name: Annotated[str, typer.Option("--as", help="Your name on the board.")],
    code: Annotated[str, typer.Option(help="The join code.", prompt="Join code")],
    as_json: Json = False,
) -> None:
    """Join a class: your points are sent to its board, and each learner gets other cases.

    Sent are points, hints, tries and times: no telemetry and no answers.

    Example: `waybill lab join http://192.168.1.20:8095 --code K7QF2M9A --as anna`
    """
    place = classroom.join(_settings(), url, name, code)
    if as_json:
        print_json({"board": place.board, "name": place.name, "labs": sorted(place.seeds)})
        return
    out.print(f"You are {place.name} on {place.board}. Your points are shown there from now on.", soft_wrap=True)


def leave(as_json: Json = False) -> None:
    """Leave the class: nothing is sent any more. What the board has, it keeps."""
    place = classroom.place(_settings())
    if not place:
        raise ClientError("you are in no class: `waybill lab join` joins one.")
    classroom.leave(_settings())
    if as_json:
        print_json({"left": place.board})
        return
    out.print(f"You have left {place.board}.", soft_wrap=True)


def key(
    learner: Annotated[list[str] | None, typer.Argument(help="Names.", show_default="all who have joined")] = None,
    lab: Annotated[list[str] | None, typer.Option("--lab", help="Repeat it for more.", show_default="all")] = None,
    as_json: Json = False,
) -> None:
    """Print for the teacher what happens in the labs of each learner, and how it is fixed.

    Example: `waybill lab key anna --lab two-seconds`
    """
    settings = _settings()
    names = [codes.valid_name(name) for name in learner or boards.read_learners(settings)]
    if not names:
        raise ClientError("no learner has joined yet: name some, or let them join `waybill lab board`.")
    secret = codes.class_key(settings)
    rows = [_case(secret, name, each) for name in names for each in lab or definitions.labs()]
    if as_json:
        print_json(rows)
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("learner", "lab", "seed", "what happens", "fix"):
        table.add_column(column)
    for row in rows:
        table.add_row(row["learner"], row["lab"], str(row["seed"]), row["what"], row["fix"] or "-")
    out.print(table)


def _case(secret: bytes, name: str, lab: str) -> dict[str, Any]:
    seed = codes.seed_for(secret, name, lab)
    case = definitions.case(definitions.find(lab), seed)
    what = "; ".join(
        f"{kind} {' '.join(f'{field}={value}' for field, value in fields.items())}"
        for kind, fields in case.fault.items()
    )
    right = {question.key: question.right for question in case.questions if question.right and not question.expect}
    return {"learner": name, "lab": lab, "seed": seed, "what": what or "nothing", "fix": case.fix, "right": right}


def report_command(
    as_code: Annotated[bool, typer.Option("--code", help="Print a signed code for each lab instead.")] = False,
    name: Annotated[str, typer.Option("--as", help="Your name, if you are in no class.")] = "",
    as_json: Json = False,
) -> None:
    """Print your best attempt at each lab as Markdown; or as codes, for a class without a network.

    Examples: `waybill lab report > report.md` · `waybill lab report --code --as anna`
    """
    settings = _settings()
    place = classroom.place(settings)
    who = place.name if place else name
    if as_code and not who:
        raise ClientError("whose results are these? Name yourself with --as NAME, or join a class.")
    if as_json:
        signed = report.signed(settings, who) if who else []
        print_json({"name": who, "labs": report.rows(settings), "codes": signed})
    elif as_code:
        for line in report.signed(settings, who):
            typer.echo(line)
    else:
        typer.echo(report.markdown(settings, who))


def verify(
    code: Annotated[list[str], typer.Argument(metavar="CODE", help="As `waybill lab report --code` prints it.")],
    as_json: Json = False,
) -> None:
    """Verify the code of a result with the key of the class on this machine. Exit status 1 if it is wrong.

    Example: `waybill lab verify anna/paid-twice/482913/95/1/17/K7QF2M9A`
    """
    found = report.verify(_settings(), " ".join(code))
    if as_json:
        print_json(found)
        return
    said = (
        f"{found['name']}: {found['points']} points in {found['lab']}, {found['minutes']} min, {found['hints']} hints"
    )
    out.print(Text(said), soft_wrap=True)
    if not found["signed"]:
        out.print(Text("Not signed by a class: the letters at the end only show that nothing is mistyped.", "yellow"))
    elif not found["own_case"]:
        out.print(Text(f"Not the case that the class gave: the seed {found['seed']} was chosen.", "yellow"))
    else:
        out.print(Text("Signed by this class, for the learner's own case.", "green"))


def slides_command(names: Labs = None) -> None:
    """Print slides in Markdown (Marp, or any tool with `---` between slides), made from stories and debriefs.

    Example: `waybill lab slides paid-twice it-waits > slides.md`
    """
    typer.echo(slides.deck([definitions.find(name) for name in names or definitions.labs()]))


def lessons_command(as_json: Json = False) -> None:
    """Print each lesson with the labs and the steps of the path in which it is learned."""
    found = lessons.table()
    if as_json:
        print_json([lesson.as_json() for lesson in found])
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("lesson", "labs", "steps of the path"):
        table.add_column(column)
    for lesson in found:
        table.add_row(Text(lesson.title), ", ".join(lesson.labs), ", ".join(map(str, lesson.steps)))
    out.print(table)


def _settings() -> LocalSettings:
    return read_settings(LocalSettings)


COMMANDS: dict[str, Callable[..., None]] = {
    "board": board,
    "join": join,
    "leave": leave,
    "key": key,
    "report": report_command,
    "verify": verify,
    "slides": slides_command,
    "lessons": lessons_command,
}
"""Each command under `waybill lab`."""
