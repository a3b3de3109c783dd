"""Odd JSON: values that a reader may not expect, put anywhere into a document."""

import copy
import json
import random
from collections.abc import Callable
from typing import Any

NESTED = 3000
LONG = 3000
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 0.5, -0.0, 1e308, 2**31, 2**53 + 1, 2**63, 2**64, 10**30, -(2**63) - 1,
    "", " ", "0", "1", "null", "true", "a" * LONG, "\x00", "\u0000\u0001", "\ud800", "\U0001f375" * 20, "é", "%s%n",
    "'; --",
    "../../etc/passwd", "00000000-0000-0000-0000-000000000000", "9" * 400, "NaN", "1e5", "2026-11-25T00:00:00Z",
    [], {}, [[]], [None], [{}], {"": ""}, {"a": {"b": {"c": []}}}, {"$ref": "#"}, {"__proto__": 1}, list(range(100)),
)  # fmt: skip


def paths(document: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of each value in a document, the document itself first."""
    found = [prefix]
    if isinstance(document, dict):
        for key, value in document.items():
            found += paths(value, (*prefix, key))
    elif isinstance(document, list):
        for index, value in enumerate(document):
            found += paths(value, (*prefix, index))
    return found


def change(document: Any, chance: random.Random) -> Any:
    """Return a copy with one to three values replaced, removed, doubled or added."""
    document = copy.deepcopy(document)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        path = chance.choice(paths(document))
        if not path:
            if chance.random() < 0.2:
                return copy.deepcopy(chance.choice(VALUES))
            continue
        parent = document
        for step in path[:-1]:
            parent = parent[step]
        deed = chance.choice(("replace", "replace", "replace", "remove", "add", "double"))
        if deed == "replace":
            parent[path[-1]] = copy.deepcopy(chance.choice(VALUES))
        elif deed == "remove":
            del parent[path[-1]]
        elif isinstance(parent, list):
            parent += [copy.deepcopy(parent[path[-1]])] * (1 if deed == "add" else chance.choice((2, 25, 200)))
        else:
            parent[chance.choice(("extra", "", "\ud800", "id", "a" * LONG))] = copy.deepcopy(chance.choice(VALUES))
    return document


def _nest(text: str, chance: random.Random) -> str:
    depth = chance.choice((50, 500, NESTED))
    opening, closing = chance.choice((("[", "]"), ('{"a":', "}")))
    return (
        opening * depth + (text if chance.random() < 0.5 else "1") + (closing * depth if chance.random() < 0.8 else "")
    )


def _insert(text: str, chance: random.Random) -> str:
    at = chance.randrange(len(text) + 1)
    return (
        text[:at]
        + chance.choice(("NaN", "Infinity", "-", "\\u", '\\ud800"', ",", "}", "]", "\x00", "//", "1e999"))
        + text[at:]
    )


def _cut(text: str, chance: random.Random) -> str:
    return text[: chance.randrange(len(text) + 1)]


def _double_a_key(text: str, _chance: random.Random) -> str:
    return text.replace("{", '{"a": 1, "a": 2, ', 1) if text.startswith("{") else text


SPOILERS: tuple[Callable[[str, random.Random], str], ...] = (_nest, _insert, _cut, _double_a_key)


def spoil(document: Any, chance: random.Random) -> bytes:
    """Return bytes that are nearly the document's JSON: wrong grammar, deep nesting, another encoding."""
    text = chance.choice(SPOILERS)(json.dumps(document), chance)
    encoding = chance.choice(("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-32", "latin-1"))
    return text.encode(encoding, "replace")


def encode(document: Any) -> bytes:
    """Return the document's JSON; a lone surrogate stays one, as an escape."""
    return json.dumps(document).encode()
