"""Texts use the field's words and US spelling, by the list in words.toml."""

import re
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from tests.project_texts import ROOT, documents, sources

LIST = tomllib.loads(Path(__file__).with_name("words.toml").read_text())


def findings(name: str, text: str) -> Iterator[str]:
    """Yield `name:line` and the advice for each word of the list that `text` has outside of the exceptions."""
    for quote in LIST["exceptions"]:
        text = text.replace(quote, re.sub(r"\S", "_", quote))
    for word in LIST["words"]:
        if fnmatch(name, word.get("only", "*")):
            yield from (f"{name}:{line}: {found!r} -> {word['write']}" for line, found in _matches(word, text))


def _matches(word: dict[str, Any], text: str) -> Iterator[tuple[int, str]]:
    pattern = re.compile(word["pattern"].replace(" ", r"\s+"), 0 if word.get("case_sensitive") else re.IGNORECASE)
    for match in pattern.finditer(text):
        yield text.count("\n", 0, match.start()) + 1, match[0]


def test_every_text_uses_the_words_of_the_list() -> None:
    paths = [*documents(), *sources()]
    assert len(paths) > 100
    found = [line for path in paths for line in findings(str(path.relative_to(ROOT)), path.read_text())]
    assert not found, "\n" + "\n".join(found)


def test_every_exception_is_still_needed() -> None:
    texts = [path.read_text() for path in (*documents(), *sources())]
    assert [quote for quote in LIST["exceptions"] if not any(quote in text for text in texts)] == []


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("README.md", "The collector is away.", 1),
        ("README.md", "It is sent at\nonce, for ever.", 2),
        ("README.md", "The service answers.", 1),
        ("app/page.py", "The service answers.", 0),
        ("app/page.py", "The order was cancelled: its status is CANCELLED.", 1),
        ("app/page.py", "A point stands for a second.", 0),
    ],
)
def test_a_word_of_the_list_is_found_wherever_a_line_ends(name: str, text: str, words: int) -> None:
    assert len(list(findings(name, text))) == words
