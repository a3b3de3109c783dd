"""Attempts at labs: one file each in the data folder; the one that is on is named in the plan."""

import time
import uuid
from pathlib import Path

from pydantic import BaseModel, Field

from labs import classroom, definitions, faults, plan
from labs.definitions import HINT_COST, WEIGHTS, Case
from local import data_folder
from local.settings import LocalSettings
from waybill_explorer.client import ClientError

NONE = "no lab is on: start one with `waybill lab start NAME`."
UNNAMED = "a lab of the wheel"


class Answer(BaseModel):
    """The last answer to a question: whether it is right, why not, and how often it was answered."""

    value: str
    right: bool
    reason: str = ""
    tries: int = 1


class Attempt(BaseModel):
    """One person's time with a lab. Times are seconds since the epoch."""

    id: str = Field(default_factory=lambda: uuid.uuid4().hex[:12])
    lab: str
    seed: int
    started: float = Field(default_factory=time.time)
    """When the processes were as the lab has them."""
    ended: float | None = None
    answers: dict[str, Answer] = {}
    hints: int = 0
    """Hints that were read."""
    fixed: bool = False
    """Whether new orders have shown that it is repaired."""
    solved: bool = False
    """Whether the solution was shown, after which answers no longer count."""
    solution: dict[str, str] = {}
    """Key -> the right answer, once the solution was shown."""
    unnamed: bool = False
    """Whether it came from `waybill lab wheel`, which does not say which lab it is."""
    rehearsed: bool = False
    """Whether `waybill lab rehearse` or `export` played it: it is no learner's score."""

    @property
    def case(self) -> Case:
        """Return the lab as its seed makes it."""
        return definitions.case(definitions.find(self.lab), self.seed)

    @property
    def name(self) -> str:
        """Return the name of the lab, or what stands for it while it is not to be known."""
        return UNNAMED if self.unnamed and not (self.solved or self.ended) else self.lab

    @property
    def finished(self) -> bool:
        """Return whether all of it is answered and fixed, or the solution was shown: the debrief tells no secret."""
        return self.solved or all(earned == possible for earned, possible in self.points().values())

    @property
    def since(self) -> int:
        """Return the beginning in µs since the epoch."""
        return int(self.started * 1e6)

    def points(self) -> dict[str, tuple[float, float]]:
        """Return (earned, possible) of each part of the lab; what is possible adds up to 100."""
        lab = self.case.lab
        parts = {part: [question.key for question in questions] for part, questions in lab.parts().items()}
        total = sum(WEIGHTS[part] for part in parts) + (WEIGHTS["fix"] if lab.fix else 0)
        found = {}
        for part, keys in parts.items():
            right = sum(key in self.answers and self.answers[key].right for key in keys)
            found[str(part)] = (100 * WEIGHTS[part] / total * right / len(keys), 100 * WEIGHTS[part] / total)
        if lab.fix:
            possible = 100 * WEIGHTS["fix"] / total
            found["fix"] = (possible * self.fixed, possible)
        return {part: found[part] for part in WEIGHTS if part in found}

    def score(self) -> int:
        """Return the points of all parts, less those of the hints."""
        return max(0, round(sum(earned for earned, _ in self.points().values())) - HINT_COST * self.hints)


def current(settings: LocalSettings) -> Attempt:
    """Return the attempt that is on. Raise a ClientError if none is."""
    found = plan.current(settings)
    if not found or not found.attempt:
        raise ClientError(NONE)
    if not plan.is_running(settings.waybill_data):
        raise ClientError("the local stack was stopped, and with it the lab: start both again.")
    attempt = find(settings, found.attempt)
    if attempt is None:
        raise ClientError("the lab is still starting. If its start was interrupted, end it with `waybill lab stop`.")
    return attempt


def find(settings: LocalSettings, identity: str) -> Attempt | None:
    """Return an attempt, or None if its lab has not been ready yet."""
    try:
        return Attempt.model_validate_json(_file(settings, identity).read_text())
    except FileNotFoundError:
        return None


def save(settings: LocalSettings, attempt: Attempt) -> None:
    """Write an attempt, and send its progress to the board of the class, if there is one."""
    file = _file(settings, attempt.id)
    file.parent.mkdir(parents=True, exist_ok=True)
    data_folder.write(file, attempt.model_dump_json(indent=2) + "\n")
    classroom.send(settings, attempt)


def all_attempts(settings: LocalSettings) -> list[Attempt]:
    """Return the learner's attempts at the labs of the catalog, the oldest first."""
    files = (faults.folder(settings) / "attempts").glob("*.json")
    found = [Attempt.model_validate_json(file.read_text()) for file in files]
    kept = [attempt for attempt in found if attempt.lab in definitions.labs() and not attempt.rehearsed]
    return sorted(kept, key=lambda attempt: attempt.started)


def best(settings: LocalSettings) -> dict[str, Attempt]:
    """Return the attempt with the best score of each lab that was attempted."""
    found: dict[str, Attempt] = {}
    for attempt in all_attempts(settings):
        if attempt.lab not in found or attempt.score() > found[attempt.lab].score():
            found[attempt.lab] = attempt
    return found


def _file(settings: LocalSettings, identity: str) -> Path:
    return faults.folder(settings) / "attempts" / f"{identity}.json"
