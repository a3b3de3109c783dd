"""Slides in Markdown, made from what the catalog has: the story and the debrief of each lab, a slide for each part."""

import re
from collections.abc import Iterable

from labs.definitions import Lab

HEAD = """---
marp: true
paginate: true
---"""
BREAK = "\n\n---\n\n"


def deck(labs: Iterable[Lab]) -> str:
    """Return the slides of labs: of each what is noticed, what happened, how it is found, what helps."""
    slides = [slide for lab in labs for slide in of_lab(lab)]
    return f"{HEAD}\n\n{BREAK.join(slides)}"


def of_lab(lab: Lab) -> list[str]:
    """Return the slides of one lab."""
    opening = f"# {lab.title}\n\n{lab.story}\n\n`waybill lab start {lab.name}` · {lab.minutes} min"
    return [opening, *(f"## {heading}\n\n{text}" for heading, text in parts(lab.text("debrief.md")))]


def parts(debrief: str) -> list[tuple[str, str]]:
    """Return the parts of a debrief: the bold words at the begin of a paragraph, and what follows until the next."""
    found = re.split(r"^\*\*(.+?)[.]?\*\* *", debrief, flags=re.MULTILINE)
    return [(heading, text.strip()) for heading, text in zip(found[1::2], found[2::2], strict=True)]
