"""A learner's place in a class: what `waybill lab join` keeps, and the progress that is sent to the board.

Sent are the lab, the points of each part, hints, tries and times: never telemetry, never an answer.
"""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests
from pydantic import BaseModel

from labs import codes, faults
from local import data_folder
from local.settings import LocalSettings
from waybill_explorer.client import Advice, ClientError, json_of, new_session, request

if TYPE_CHECKING:
    from labs.attempts import Attempt

ADVICE = Advice("is the board still on, and are both machines in the same network?", "try again")
SEND_SECONDS = 3.0
"""A board that is slow or off must not stop a learner."""


class Place(BaseModel):
    """What a learner has of a class: the board, the name, the proof of it, and a seed for each lab."""

    board: str
    name: str
    token: str
    seeds: dict[str, int]


def place(settings: LocalSettings) -> Place | None:
    """Return the place in a class, or None. Raise a ClientError if its file cannot be used."""
    try:
        return Place.model_validate_json(_file(settings).read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ClientError(f"{_file(settings)} cannot be used: {error}. Remove it, then join again.") from error


def seed_of(settings: LocalSettings, lab: str) -> int | None:
    """Return the seed that the class has for a lab of this learner, or None without a class."""
    found = place(settings)
    return found.seeds.get(lab) if found else None


def join(settings: LocalSettings, board: str, name: str, code: str) -> Place:
    """Join a class under a name and keep the place. Raise a ClientError if the board refuses it."""
    name, before = codes.valid_name(name), place(settings)
    token = before.token if before and (before.board, before.name) == (board, name) else ""
    with new_session() as session:
        response = request(
            session,
            "POST",
            f"{board}/api/class/join",
            who="the board",
            advice=ADVICE,
            json={"name": name, "code": code, "token": token},
        )
    body = json_of(response)
    if not response.ok or not isinstance(body, dict) or "token" not in body:
        problem = body.get("problem") if isinstance(body, dict) else None
        raise ClientError(str(problem or f"{board} responds with {response.status_code}: is it a board of the labs?"))
    found = Place(board=board, name=body["name"], token=body["token"], seeds=body["seeds"])
    file = _file(settings)
    file.parent.mkdir(parents=True, exist_ok=True)
    data_folder.write(file, found.model_dump_json(indent=2) + "\n")
    return found


def leave(settings: LocalSettings) -> None:
    """Forget the class; the board keeps what it has."""
    _file(settings).unlink(missing_ok=True)


def progress(attempt: "Attempt") -> dict[str, Any]:
    """Return what the board is sent of an attempt."""
    return {
        "attempt": attempt.id,
        "lab": attempt.lab,
        "started": attempt.started,
        "ended": attempt.ended,
        "parts": {part: list(both) for part, both in attempt.points().items()},
        "score": attempt.score(),
        "hints": attempt.hints,
        "tries": sum(answer.tries for answer in attempt.answers.values()),
        "solved": attempt.solved,
    }


def send(settings: LocalSettings, attempt: "Attempt") -> bool:
    """Send the progress of an attempt to the board, if there is a class. Return whether it has arrived.

    It is whole each time, so what is lost comes with the next one.
    """
    found = None if attempt.rehearsed else place(settings)
    if not found:
        return False
    with suppress(requests.RequestException), new_session() as session:
        headers = {"Authorization": f"Bearer {found.token}"}
        body = {"name": found.name, **progress(attempt)}
        url = f"{found.board}/api/class/progress"
        return session.post(url, json=body, headers=headers, timeout=SEND_SECONDS).ok
    return False


def _file(settings: LocalSettings) -> Path:
    return faults.folder(settings) / "class.json"
