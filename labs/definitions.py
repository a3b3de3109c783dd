"""The catalog: each lab is a folder with lab.toml, lab.md, hints.md, debrief.md and what its faults need."""

import random
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from local.registry import SERVICES
from waybill_explorer.client import ClientError

FOLDER = Path(__file__).parent / "catalog"
WEIGHTS = {"detect": 10, "locate": 25, "explain": 25, "prove": 20, "fix": 20}
"""Points of each part; what a lab does not have is spread over the others."""
HINT_COST = 5

Part = Literal["detect", "locate", "explain", "prove", "fix"]
Kind = Literal[
    "choice",
    "text",
    "number",
    "order",
    "span",
    "two-spans",
    "two-traces",
    "two-instances",
    "unfinished",
    "untraced",
]
Value = str | float | int
Commands = Annotated[
    tuple[str, ...], BeforeValidator(lambda given: tuple(filter(None, [given])) if isinstance(given, str) else given)
]
"""One command or several, as after `waybill lab`."""
OTHER_CHANGES = (0, 1, 1, 2)
"""How many changes of a day have nothing to do with the case."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


class Question(_Table):
    """One question; `kind` says what an answer looks like and how it is judged."""

    key: str = Field(pattern=r"^[a-z]+$")
    part: Part
    ask: str
    kind: Kind
    choices: tuple[str, ...] = ()
    right: str = ""
    """Of a choice or a text; empty where `expect` computes it."""
    expect: str = ""
    """The name of a number or a text that is computed from what the stack has recorded."""
    arguments: Mapping[str, Any] = {}
    """Of `expect` or `predicate`; "{name}" is a value of the variant."""
    tolerance: float = 0.0
    """How far a number may be off, as a share of it if `relative`."""
    relative: bool = False
    operation: str = "POST /orders"
    """The requests to order-service in whose traces the model solution looks for spans."""
    predicate: str = ""
    """What a span has to show; for two spans, the first of them."""
    other: Mapping[str, Any] = {}
    """The arguments of `runs` for the second of two spans, or the service of the second of two traces; of a trace that
    is not finished, its `last` span and those that are `absent`; of one that is not stored, the `text` of its log."""
    why: Mapping[str, str] = {}
    """Wrong choice -> what it overlooks."""
    wrong: str = ""
    """What is said of any other wrong answer: where to look."""


class Variant(_Table):
    """What the seed can choose. Values that are lists are chosen from, too."""

    fault: Mapping[str, Mapping[str, Any]] = {}
    """Kind -> its fields."""
    values: Mapping[str, Any] = {}
    """More values for `{name}` in texts and arguments. With `pages`, a back office reads pages of so many orders;
    `rate` is that of the orders instead of the lab's."""
    question: Mapping[str, Mapping[str, Any]] = {}
    """Key -> fields of the question that are others in this variant."""
    proof: Mapping[str, Any] = {}
    """Fields of the lab's fix that are others in this variant."""
    fix: Commands = ()
    """What repairs it."""
    later: Mapping[str, str] = {}
    """Key of a fault that no team repairs today -> what that team says."""


class Load(_Table):
    """The orders that customers place meanwhile."""

    rate: float = Field(gt=0, le=50)
    tokens: str = "tok_approve=1"
    concurrency: int = 8
    """Orders on their way at most, so that a slow machine gets fewer orders instead of a queue."""


class Fix(_Table):
    """What new orders have to show once it is repaired."""

    gone: str
    """What probe orders do not show any more: a predicate that held for a span, or one of labs/proof.py."""
    arguments: Mapping[str, Any] = {}
    noise: float = 0.0
    """The share of the probes that may show it all the same: one slow call of a busy machine is not the trouble."""
    quantity: int = 1
    """Pieces of each line that a probe order has."""
    lines: int = 1
    """Lines of a probe order."""
    instances: bool = False
    """Whether each process of order-service is judged by its own probes, of which there are three times as many."""
    get: str = ""
    """A path of order-service that the probes read instead of placing orders."""
    off: Literal["all", "one", "none"] = "all"
    """Which faults have to be off: all of them, one at least, or none, as code can be corrected in its release."""


class Lab(_Table):
    """One lab.toml."""

    name: str
    title: str
    minutes: int
    lessons: tuple[str, ...]
    story: str
    load: Load | None = None
    enough: int = 0
    """Orders that have to be there before the rehearsal answers."""
    variants: tuple[Variant, ...] = Field(alias="variant", min_length=1)
    questions: tuple[Question, ...] = Field(alias="question", min_length=1)
    fix: Fix | None = None
    rehearsal: Mapping[str, str] = {}
    """Key -> a plausible wrong answer."""

    def parts(self) -> dict[Part, list[Question]]:
        """Return the questions of each part, in the order of the weights."""
        found: dict[Part, list[Question]] = {}
        for question in self.questions:
            found.setdefault(question.part, []).append(question)
        return found

    def text(self, file: str) -> str:
        """Return one of its documents, such as debrief.md."""
        return (FOLDER / self.name / file).read_text()

    def hints(self) -> list[str]:
        """Return the hints: the sections of hints.md."""
        sections = re.split(r"^## .*$", self.text("hints.md"), flags=re.MULTILINE)
        return [section.strip() for section in sections[1:]]


class Case(_Table):
    """A lab as a seed makes it: the variant with its values, and the questions in its words."""

    lab: Lab
    seed: int
    values: Mapping[str, Any]
    fault: Mapping[str, Mapping[str, Any]]
    others: tuple[tuple[str, str], ...]
    """Changes that have nothing to do with it: (kind, service)."""
    questions: tuple[Question, ...]
    fixes: tuple[str, ...]
    """The commands that repair it."""
    later: Mapping[str, str]
    proof: Fix | None
    wrong: Mapping[str, str]
    """Key -> a plausible wrong answer."""

    @property
    def fix(self) -> str:
        """Return the commands that repair it as one line, after `waybill lab`."""
        return " && waybill lab ".join(self.fixes)

    def question(self, key: str) -> Question:
        """Return a question. Raise a ClientError that names the keys."""
        for question in self.questions:
            if question.key == key:
                return question
        keys = ", ".join(question.key for question in self.questions)
        raise ClientError(f"{self.lab.name} has no question {key!r}. Its questions: {keys}.")


@cache
def labs() -> Mapping[str, Lab]:
    """Return all labs by name, in the order of their folders. Raise a ClientError that names a wrong file."""
    found = {}
    for file in sorted(FOLDER.glob("*/lab.toml")):
        try:
            found[file.parent.name] = Lab(name=file.parent.name, **tomllib.loads(file.read_text()))
        except ValidationError as error:
            raise ClientError(f"{file} is wrong: {error}") from error
    return found


def find(name: str) -> Lab:
    """Return a lab. Raise a ClientError that names them all."""
    if name not in labs():
        raise ClientError(f"there is no lab {name!r}. Choose one of {', '.join(labs())}.")
    return labs()[name]


def case(lab: Lab, seed: int) -> Case:
    """Return the lab as this seed makes it: the same seed always makes the same."""
    rng = random.Random(f"{lab.name}:{seed}")  # noqa: S311 - a puzzle, not a secret
    variant = rng.choice(lab.variants)
    chosen = {name: _choose(rng, value) for name, value in sorted(variant.values.items())}
    fault = {
        kind: {field: _fill(_choose(rng, value), chosen) for field, value in sorted(fields.items())}
        for kind, fields in variant.fault.items()
    }
    for fields in fault.values():
        for name, value in fields.items():
            if not isinstance(value, Mapping):
                chosen.setdefault(name, value)
    questions = tuple(
        Question.model_validate(_fill(question.model_dump() | dict(variant.question.get(question.key, {})), chosen))
        for question in lab.questions
    )
    proof = Fix.model_validate(_fill(lab.fix.model_dump() | dict(variant.proof), chosen)) if lab.fix else None
    return Case(
        lab=lab,
        seed=seed,
        values=chosen,
        fault=fault,
        others=_other_changes(lab, seed, fault),
        questions=questions,
        fixes=tuple(_fill(variant.fix, chosen)),
        later={key: str(text) for key, text in _fill(variant.later, chosen).items()},
        proof=proof,
        wrong={key: str(_fill(value, chosen)) for key, value in lab.rehearsal.items()},
    )


def _other_changes(lab: Lab, seed: int, fault: Mapping[str, Mapping[str, Any]]) -> tuple[tuple[str, str], ...]:
    """Choose what else changes on such a day: (kind, service), of services that have nothing to do with the fault."""
    if not lab.load:
        return ()
    rng = random.Random(f"{lab.name}:{seed}:other changes")  # noqa: S311 - a puzzle, not a secret
    involved = {fields.get("service") for fields in fault.values()}
    services = [name for name in SERVICES if name not in involved]
    chosen = rng.sample(services, k=min(len(services), rng.choice(OTHER_CHANGES)))
    return tuple((rng.choice(("release", "setting")), service) for service in chosen)


def _choose(rng: random.Random, value: Any) -> Any:
    return rng.choice(value) if isinstance(value, list | tuple) else value


def _fill(value: Any, values: Mapping[str, Any]) -> Any:
    """Replace "{name}" by its value, which keeps its type if it is the whole text."""
    if isinstance(value, str):
        whole = re.fullmatch(r"\{(\w+)\}", value)
        if whole and whole[1] in values:
            return values[whole[1]]
        return re.sub(r"\{(\w+)\}", lambda match: str(values.get(match[1], match[0])), value)
    if isinstance(value, Mapping):
        return {name: _fill(one, values) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_fill(one, values) for one in value]
    return value


def filled(text: str, case: Case) -> str:
    """Return a text with the values of the case."""
    return str(_fill(text, case.values))


def patch_of(case: Case, file: str) -> str:
    """Return the text of a patch or of SQL of a lab, with the values of the case in place of @name@."""
    text = case.lab.text(file)
    for name, value in case.values.items():
        text = text.replace(f"@{name}@", str(value))
    return text
