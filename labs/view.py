"""An attempt and the catalog as data, for `--json` and for the view in the explorer."""

import re
from typing import Any

from labs import attempts, definitions, solution
from labs.attempts import Attempt
from labs.definitions import HINT_COST, Question
from local.settings import LocalSettings
from waybill_explorer.client import ClientError

NO_HINT = "there is no further hint. `waybill lab solve` shows the solution."


def catalog(settings: LocalSettings) -> list[dict[str, Any]]:
    """Return the labs, the shortest first, with the learner's best scores."""
    best = attempts.best(settings)
    return [
        {
            "name": name,
            "title": lab.title,
            "minutes": lab.minutes,
            "lessons": list(lab.lessons),
            "story": lab.story,
            "best": best[name].score() if name in best else None,
        }
        for name, lab in sorted(definitions.labs().items(), key=lambda item: item[1].minutes)
    ]


def story(attempt: Attempt) -> str:
    """Return what happened, as Markdown; without its title if the lab is not to be known."""
    text = definitions.filled(attempt.case.lab.text("lab.md"), attempt.case)
    return text if attempt.name == attempt.lab else re.sub(r"\A# .*\n+", "", text)


def questions(attempt: Attempt) -> list[dict[str, Any]]:
    """Return the questions, without what is right."""
    return [_question(question) for question in attempt.case.questions]


def _question(question: Question) -> dict[str, Any]:
    return question.model_dump(include={"key", "part", "ask", "kind", "choices"})


def points(attempt: Attempt) -> dict[str, dict[str, float]]:
    """Return what is earned and what is possible, by part."""
    return {part: {"earned": earned, "possible": possible} for part, (earned, possible) in attempt.points().items()}


def summary(attempt: Attempt) -> dict[str, Any]:
    """Return the attempt with its score. Of one that is not to be known, neither the name nor the seed."""
    known = attempt.name == attempt.lab
    return {
        **attempt.model_dump(mode="json", exclude={"rehearsed", "solution"}),
        "lab": attempt.name,
        "seed": attempt.seed if known else None,
        "score": attempt.score(),
        "parts": points(attempt),
    }


def next_hint(settings: LocalSettings, attempt: Attempt) -> str:
    """Read the next hint, which costs HINT_COST, and return it as Markdown. Raise a ClientError after the last."""
    hints = attempt.case.lab.hints()
    if attempt.hints >= len(hints):
        raise ClientError(NO_HINT)
    attempt.hints += 1
    attempts.save(settings, attempt)
    return hints[attempt.hints - 1]


def solve(settings: LocalSettings, attempt: Attempt) -> dict[str, str]:
    """Return the right answers, after which none counts any more. Raise a ClientError if too little is recorded."""
    if not attempt.solved:
        attempt.solution = solution.answers(settings, attempt)
        attempt.solved = True
        attempts.save(settings, attempt)
    return attempt.solution


def ended(attempt: Attempt | None) -> str:
    """Return what there is to say at the end of a lab; None is one whose start was interrupted."""
    outcome = f"{attempt.lab}: {attempt.score()} points." if attempt else "Its start was interrupted."
    return f"{outcome} The stack is as it was."


def page(attempt: Attempt, ends_at: float) -> dict[str, Any]:
    """Return all that the view in the explorer shows of the attempt that is on."""
    case = attempt.case
    hints = case.lab.hints()
    return {
        **summary(attempt),
        "title": case.lab.title if attempt.name == attempt.lab else "A lab of the wheel",
        "minutes": case.lab.minutes,
        "ends_at": ends_at,
        "story": story(attempt),
        "questions": questions(attempt),
        "hints": {"read": hints[: attempt.hints], "of": len(hints), "cost": HINT_COST},
        "fixable": case.lab.fix is not None,
        "solution": attempt.solution,
        "fix": f"waybill lab {case.fix}" if attempt.solved and case.fix else "",
        "debrief": case.lab.text("debrief.md") if attempt.finished else "",
    }
