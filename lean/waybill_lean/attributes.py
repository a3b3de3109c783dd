"""Attributes in plain dicts, cleaned and limited as `BoundedAttributes` does it."""

from collections.abc import Mapping
from typing import Any

from opentelemetry.attributes import _clean_attribute_value
from opentelemetry.attributes import _logger as attributes_logger

from ._aside import logger

PLAIN = frozenset((str, int, float, bool, bytes, type(None)))
"""Types whose values are attribute values as they are, but for the length of a `str`."""


class FixedAttributes(dict[str, Any]):
    """Plain attributes that never change, such as those of a statement. What is found out about them stays with them.

    `encoded` are their fields in a span, and `remembered` what each instrument found for them.
    """

    __slots__ = ("encoded", "remembered")

    def __init__(self, attributes: Mapping[str, Any]) -> None:
        super().__init__(attributes)
        self.encoded = b""
        self.remembered: dict[object, Any] = {}


def fixed(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return FixedAttributes if all keys and values are plain, so that they need no cleaning, or a copy."""
    plain = all(type(value) in PLAIN and type(key) is str and key for key, value in attributes.items())
    return FixedAttributes(attributes) if plain else attributes.copy()


def clean(value: Any, max_length: int | None) -> Any:
    """Return the value as an attribute holds it; what fails to turn into text is None."""
    try:
        return _clean_attribute_value(value, max_length)
    except Exception:
        logger.exception("An attribute value of type %s could not be read; None is kept instead.", type(value))
        return None


def clean_all(attributes: Mapping[str, Any], max_length: int | None) -> tuple[dict[str, Any], int]:
    """Return a copy with the values as attributes hold them, and how many keys were left out as invalid."""
    if max_length is None and type(attributes) is dict:
        for key, value in attributes.items():
            if type(value) not in PLAIN or type(key) is not str or not key:
                break
        else:
            return attributes.copy(), 0
    try:
        cleaned = dict(_clean_attribute_value(attributes, max_length))
        return cleaned, len(attributes) - len(cleaned)
    except Exception:
        return _clean_each(attributes, max_length)


def _clean_each(attributes: Mapping[str, Any], max_length: int | None) -> tuple[dict[str, Any], int]:
    """Clean one by one, so that one value or key that raises costs no other."""
    try:
        items = list(attributes.items())
    except Exception:
        logger.exception("Attributes of type %s could not be read.", type(attributes))
        return {}, 0
    cleaned: dict[str, Any] = {}
    for key, value in items:
        try:
            (text,) = _clean_attribute_value({key: None}, None)
        except Exception:  # not readable, or no key of an attribute
            attributes_logger.warning("An attribute key of type %s is dropped.", type(key))
        else:
            cleaned[text] = clean(value, max_length)
    return cleaned, len(items) - len(cleaned)


def keep_newest(attributes: dict[str, Any], room: int) -> int:
    """Drop the oldest attributes over `room`; return how many."""
    surplus = len(attributes) - room
    for _ in range(surplus):
        attributes_logger.warning(
            "Attributes dict is full. Dropping the oldest key-value pair from attributes to make space for the new "
            "key-value pair."
        )
        del attributes[next(iter(attributes))]
    return max(surplus, 0)


def add_all(attributes: dict[str, Any], added: Mapping[str, Any], room: int) -> int:
    """Add cleaned attributes, the newest last; return how many were dropped over `room`."""
    if len(attributes) + len(added) <= room and attributes.keys().isdisjoint(added):
        attributes.update(added)
        return 0
    dropped = 0
    for key, value in added.items():  # one by one, since one of them may drop what the next would replace
        attributes.pop(key, None)
        attributes[key] = value
        if len(attributes) > room:
            dropped += keep_newest(attributes, room)
    return dropped
