"""What a learner has reached: as Markdown, as data, as signed codes."""

import time
from typing import Any

from labs import attempts, classroom, codes
from labs.attempts import Attempt
from labs.codes import NO_CLASS, Result
from labs.definitions import HINT_COST
from local.settings import LocalSettings
from waybill_explorer.client import ClientError

EMPTY = "there is nothing to report yet: begin with `waybill lab start first-look`."


def rows(settings: LocalSettings) -> list[dict[str, Any]]:
    """Return the best attempt at each lab, the oldest first. Raise a ClientError if there is none."""
    found = sorted(attempts.best(settings).values(), key=lambda attempt: attempt.started)
    if not found:
        raise ClientError(EMPTY)
    return [_row(attempt) for attempt in found]


def _row(attempt: Attempt) -> dict[str, Any]:
    return {
        "lab": attempt.lab,
        "seed": attempt.seed,
        "date": time.strftime("%Y-%m-%d", time.localtime(attempt.started)),
        "minutes": _minutes(attempt),
        "parts": {part: [round(earned), round(possible)] for part, (earned, possible) in attempt.points().items()},
        "points": attempt.score(),
        "hints": attempt.hints,
        "tries": sum(answer.tries for answer in attempt.answers.values()),
        "solution_shown": attempt.solved,
    }


def _minutes(attempt: Attempt) -> int:
    return round(((attempt.ended or time.time()) - attempt.started) / 60)


def markdown(settings: LocalSettings, name: str) -> str:
    """Return the report as Markdown."""
    found = rows(settings)
    parts = list(dict.fromkeys(part for row in found for part in row["parts"]))
    head = ["lab", "date", "minutes", *parts, "hints", "tries", "points"]
    lines = [f"# Labs{f' of {name}' if name else ''}", "", _line(head), _line(["---"] * len(head))]
    for row in found:
        earned = [_of(row["parts"].get(part)) for part in parts]
        shown = " (solution shown)" if row["solution_shown"] else ""
        counts = [row["hints"], row["tries"], f"{row['points']}{shown}"]
        lines.append(_line([f"`{row['lab']}`", row["date"], row["minutes"], *earned, *counts]))
    average = sum(row["points"] for row in found) / len(found)
    lines += ["", f"{len(found)} labs, {average:.0f} points on average. A hint costs {HINT_COST} points."]
    return "\n".join(lines)


def _of(points: list[int] | None) -> str:
    return f"{points[0]} of {points[1]}" if points else "-"


def _line(cells: list[Any]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def signed(settings: LocalSettings, name: str) -> list[str]:
    """Return a code for the best attempt at each lab, under the name in the class, else under `name`."""
    place = classroom.place(settings)
    who, token = (place.name, place.token) if place else (codes.valid_name(name), NO_CLASS)
    return [
        codes.sign(Result(who, row["lab"], row["seed"], row["points"], row["hints"], row["minutes"]), token)
        for row in rows(settings)
    ]


def verify(settings: LocalSettings, code: str) -> dict[str, Any]:
    """Return what a code says, and whether the class of this machine has signed it. Raise a ClientError if not."""
    result, signature = codes.read(code)
    report = {**result.__dict__, "signed": True, "own_case": True}
    if codes.key_file(settings).exists():
        key = codes.class_key(settings)
        if codes.is_signed(result, signature, codes.token_for(key, result.name)):
            return report | {"own_case": result.seed == codes.seed_for(key, result.name, result.lab)}
    if codes.is_signed(result, signature, NO_CLASS):
        return report | {"signed": False, "own_case": False}
    raise ClientError(
        f"the signature of {result.text()!r} is wrong: something in it was changed or mistyped, or it is of another "
        f"class than the one of this machine ({codes.key_file(settings)})."
    )
