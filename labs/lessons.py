"""The lessons of lessons.toml, and in which labs and steps of the path each is learned."""

import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from labs import definitions

FILE = Path(__file__).parent / "lessons.toml"


@dataclass(frozen=True)
class Lesson:
    """A lesson, the labs that name it, and the steps of `waybill lab path`."""

    key: str
    title: str
    labs: tuple[str, ...]
    steps: tuple[int, ...]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def table() -> list[Lesson]:
    """Return all lessons, in the order of their file."""
    found = tomllib.loads(FILE.read_text())
    labs = definitions.labs()
    return [
        Lesson(
            key=key,
            title=one["says"],
            labs=tuple(name for name, lab in labs.items() if key in lab.lessons),
            steps=tuple(int(page.partition("-")[0]) for page in one["path"]),
        )
        for key, one in found.items()
    ]
