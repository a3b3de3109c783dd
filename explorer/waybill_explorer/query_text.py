"""Terms of the query language, written so that they find what they are made from."""

import re

from waybill_explorer.query_language import ALIASES, FIELDS

PLAIN_KEY = re.compile(r"[^\W\d][\w.\-/$@#\[\]]*")
PLAIN_VALUE = re.compile(r"[\w.\-/:]+", re.ASCII)
NO_ATTRIBUTES = frozenset((*FIELDS, *ALIASES, "exists"))
"""An attribute with such a name is written in quotes."""


def attribute_term(key: str, value: str) -> str:
    """Return the term for an attribute with this value."""
    return f"{attribute_key(key)}={quoted(value)}"


def contains_term(key: str, text: str) -> str:
    """Return the term for an attribute whose value has a text in it."""
    return f"{attribute_key(key)}:{quoted(text)}"


def attribute_key(key: str) -> str:
    """Return the key of an attribute, in quotes where it would be something else without."""
    return key if PLAIN_KEY.fullmatch(key) and key.lower() not in NO_ATTRIBUTES else _in_quotes(key)


def quoted(value: str) -> str:
    """Return a value, in quotes where it has more than letters, digits and `_-.:/`."""
    return value if PLAIN_VALUE.fullmatch(value) and not value.startswith("//") else _in_quotes(value)


def _in_quotes(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
