"""Attribute values and keys, from the usual to the absurd, as hypothesis strategies."""

import enum
from typing import Any

from hypothesis import strategies as st


class Color(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Mute:
    """Has no text of its own."""

    __repr__ = object.__repr__
    __str__ = object.__str__


class Spoken:
    def __str__(self) -> str:
        return "spoken"


class Broken:
    """Has a text that cannot be read."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class Hollow(dict[str, Any]):
    """A mapping that cannot be read."""

    def items(self) -> Any:
        raise RuntimeError("no items")


def looped() -> list[Any]:
    """Return a list that contains itself."""
    loop: list[Any] = []
    loop.append(loop)
    return loop


texts = st.text(max_size=12)
any_texts = st.text(st.characters(), max_size=12)
"""With lone surrogates, which UTF-8 cannot hold."""
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(),
    st.sampled_from([0, 1, -1, 2**63, -(2**63) - 1, 127, 128, 2**64]),
    st.floats(),
    st.sampled_from([0.0, -0.0, float("nan"), float("inf")]),
    any_texts,
    texts.map(lambda text: text * 30),
    st.binary(max_size=200),
    st.sampled_from([Color.RED, Level.HIGH, Mute(), Spoken(), object, {1, 2}, 1j]),
)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.one_of(texts, st.integers(0, 3), st.none()), inner, max_size=4),
    ),
    max_leaves=8,
)
keys = st.one_of(st.sampled_from(["a", "b", "c", "d", "e", Color.RED]), texts)
odd_keys = st.one_of(keys, st.sampled_from([None, 1, "", ("t",), Mute()]))
attributes = st.dictionaries(odd_keys, values, max_size=6)
hostile_values = st.one_of(values, st.builds(Broken), st.builds(looped), st.lists(st.builds(Broken), max_size=2))
hostile_attributes = st.one_of(
    st.dictionaries(st.one_of(odd_keys, st.builds(Broken)), hostile_values, max_size=4), st.just(Hollow(a=1))
)
