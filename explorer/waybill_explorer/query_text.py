"""Terms of the query language, written so that they find what they are made from."""

import re

PLAIN_KEY = re.compile(r"[A-Za-z_][\w.\-/]*", re.ASCII)
PLAIN_VALUE = re.compile(r"[\w.\-/:]+", re.ASCII)
FIELDS = frozenset(
    (
        "service",
        "operation",
        "name",
        "duration",
        "total",
        "status",
        "kind",
        "trace",
        "level",
        "logger",
        "body",
        "exists",
    )
)
"""Words that are no attributes: an attribute of such a name is written in quotes."""


def attribute_term(key: str, value: str) -> str:
    """Return the term for an attribute with this value."""
    is_plain = PLAIN_KEY.fullmatch(key) and key.lower() not in FIELDS
    return f"{key if is_plain else _in_quotes(key)}={quoted(value)}"


def quoted(value: str) -> str:
    """Return a value, in quotes where it has more than letters, digits and `_-.:/`."""
    return value if PLAIN_VALUE.fullmatch(value) and not value.startswith("//") else _in_quotes(value)


def _in_quotes(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
