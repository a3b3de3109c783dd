"""What a term of a query requires of a value. Values are compared as text, and as numbers where both are numbers.

A test accepts a value as it is stored (`accepts`). Of a text that has lost its capitals it says whether the value may
be accepted (`may_accept`): that is what the index holds.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from operator import ge, gt, le, lt
from typing import Protocol

COMPARISONS: dict[str, Callable[[float, float], bool]] = {">": gt, ">=": ge, "<": lt, "<=": le}
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
MAX_DIGITS = 40


def fold(text: str) -> str:
    """Return a text without the difference between capitals and small letters."""
    return text.casefold()


def number(text: str) -> int | float | None:
    """Return the number that a text is, or None."""
    if len(text) > MAX_DIGITS or not _NUMBER.fullmatch(text):
        return None
    try:
        return int(text)
    except ValueError:
        return float(text)


class ValueTest(Protocol):
    """What a term requires of a value."""

    def accepts(self, value: str) -> bool: ...

    def may_accept(self, folded: str) -> bool: ...


@dataclass(frozen=True)
class Contains:
    """The value has the text in it, whatever the capitals; two numbers are compared as a whole, unless `inside`."""

    text: str
    inside: bool = False

    @cached_property
    def folded(self) -> str:
        return fold(self.text)

    @cached_property
    def _number(self) -> int | float | None:
        return None if self.inside else number(self.text)

    def accepts(self, value: str) -> bool:
        return self.may_accept(fold(value))

    def may_accept(self, folded: str) -> bool:
        if self.folded not in folded:
            return self._number is not None and number(folded) == self._number
        return self._number is None or number(folded) in (None, self._number)


@dataclass(frozen=True)
class Pattern:
    """The whole value fits a pattern in which `*` stands for any text, whatever the capitals."""

    text: str

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        return re.compile(".*".join(re.escape(part) for part in re.split(r"\*+", fold(self.text))), re.DOTALL)

    def accepts(self, value: str) -> bool:
        return self.may_accept(fold(value))

    def may_accept(self, folded: str) -> bool:
        return self._expression.fullmatch(folded) is not None


@dataclass(frozen=True)
class Equals:
    """The value is the text, or the same number."""

    text: str

    @cached_property
    def folded(self) -> str:
        return fold(self.text)

    @cached_property
    def _number(self) -> int | float | None:
        return number(self.text)

    @property
    def is_number(self) -> bool:
        return self._number is not None

    def accepts(self, value: str) -> bool:
        return value == self.text or (self._number is not None and number(value) == self._number)

    def may_accept(self, folded: str) -> bool:
        return folded == self.folded or (self._number is not None and number(folded) == self._number)


@dataclass(frozen=True)
class Differs:
    """The value is there and is another one."""

    test: ValueTest

    def accepts(self, value: str) -> bool:
        return not self.test.accepts(value)

    def may_accept(self, folded: str) -> bool:  # noqa: ARG002
        return True


@dataclass(frozen=True)
class Compares:
    """The value is a number that is greater or less than a limit."""

    operator: str
    limit: float

    def accepts(self, value: str) -> bool:
        given = number(value)
        return given is not None and self.compare(given)

    def may_accept(self, folded: str) -> bool:
        return self.accepts(folded)

    def compare(self, given: float) -> bool:
        return COMPARISONS[self.operator](given, self.limit)


@dataclass(frozen=True)
class OneOf:
    """The value is one of several words."""

    words: frozenset[str] = field(default_factory=frozenset)

    def accepts(self, value: str) -> bool:
        return value in self.words

    @cached_property
    def _folded(self) -> frozenset[str]:
        return frozenset(map(fold, self.words))

    def may_accept(self, folded: str) -> bool:
        return folded in self._folded


@dataclass(frozen=True)
class Begins:
    """The value begins with the text: a trace id with its first digits."""

    text: str

    def accepts(self, value: str) -> bool:
        return value.startswith(self.text)

    def may_accept(self, folded: str) -> bool:
        return folded.startswith(fold(self.text))


@dataclass(frozen=True)
class Exists:
    """There is a value."""

    def accepts(self, value: str) -> bool:  # noqa: ARG002
        return True

    def may_accept(self, folded: str) -> bool:  # noqa: ARG002
        return True
