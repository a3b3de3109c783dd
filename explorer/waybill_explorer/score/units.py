"""Units of measure for MET-002 and MET-005: the grammar of UCUM (https://ucum.org/ucum), case sensitive.

The table has the units without brackets; one in brackets such as `[in_i]` is taken as it is written.
"""

import re
from functools import lru_cache

from waybill_explorer.score.words import words

MAX_LENGTH = 63
"""Characters of a unit, as of an instrument in the API's specification."""
PREFIXES = words(
    """
    Y Z E P T G M k h da d c m u n p f a z y Ki Mi Gi Ti
    """
)
METRIC = words(
    """
    m s g rad K C cd mol sr Hz N Pa J W A V F Ohm S Wb Cel T H lm lx Bq Gy Sv l L ar t u eV pc bar cal cal_th g% By
    bit Bd kat U Np B B[W] B[V] B[SPL] Ci R RAD REM G Mx Oe P St Gal Gb sb ph lb dyn erg kp st osm eq tex
    """
)
"""Units that take a prefix."""
PLAIN = words(
    """
    1 % 10* 10^ deg gon ' '' min h d wk a a_t a_j a_g mo mo_s mo_j mo_g AU atm bit_s circ sph att Lmb
    """
)

_PREFIXES = "|".join(sorted(PREFIXES, key=len, reverse=True))
_METRIC = "|".join(re.escape(unit) for unit in sorted(METRIC, key=len, reverse=True))
_PLAIN = "|".join(re.escape(unit) for unit in sorted(PLAIN, key=len, reverse=True))
_SYMBOL = rf"(?:{_PLAIN}|(?:{_PREFIXES})?(?:{_METRIC})|(?:{_PREFIXES})?\[[^\]\[{{}}\s]+\]|\d+)"
_COMPONENT = re.compile(rf"(?:{_SYMBOL}(?:[+-]?\d+)?(?:\{{[^{{}}]*\}})?|\{{[^{{}}]*\}})")
_ATOM = re.compile(r"\{[^{}]*\}|[./()]|[^./(){}]+")

NAMES = {
    "s": "second seconds sec secs",
    "ms": "ms millis millisecond milliseconds msec",
    "us": "us micros microsecond microseconds usec",
    "ns": "ns nanos nanosecond nanoseconds nsec",
    "min": "minute minutes",
    "h": "hour hours",
    "d": "day days",
    "By": "byte bytes",
    "kBy": "kilobyte kilobytes kb",
    "KiBy": "kibibyte kibibytes kib",
    "MBy": "megabyte megabytes mb",
    "MiBy": "mebibyte mebibytes mib",
    "GBy": "gigabyte gigabytes gb",
    "GiBy": "gibibyte gibibytes gib",
    "bit": "bit bits",
    "%": "percent percentage",
    "Cel": "celsius",
    "Hz": "hertz hz",
    "J": "joule joules",
    "W": "watt watts",
    "V": "volt volts",
    "A": "ampere amperes",
    "m": "meter meters",
    "g": "gram grams",
}
"""What units are called in names of metrics."""


@lru_cache(4096)
def is_unit(text: str) -> bool:
    """Return whether a text is a unit of UCUM: `s`, `By/s`, `{request}`, `10*3/min`. An empty one is none."""
    return 0 < len(text) <= MAX_LENGTH and text.isascii() and " " not in text and _end_of_term(text, 0) == len(text)


def _end_of_term(text: str, at: int) -> int:
    """Return where a term that begins at `at` ends, or -1 if none does: components joined by `.` and `/`."""
    if text[at : at + 1] == "/":
        at += 1
    while True:
        at = _end_of_component(text, at)
        if at < 0 or text[at : at + 1] not in (".", "/"):
            return at
        at += 1


def _end_of_component(text: str, at: int) -> int:
    if text[at : at + 1] == "(":
        end = _end_of_term(text, at + 1)
        return end + 1 if end >= 0 and text[end : end + 1] == ")" else -1
    longest = -1
    # Symbols overlap (`m`, `min`, `mo`), so the component is what a separator or the end follows.
    for end in range(len(text), at, -1):
        if (end == len(text) or text[end] in "./)") and _COMPONENT.fullmatch(text, at, end):
            longest = end
            break
    return longest


def named_unit(metric: str, unit: str) -> str:
    """Return the word in a metric's name that is its unit, or nothing. Of a metric without a unit: any unit's name."""
    words = re.split(r"[\W_]+", metric.lower())
    symbols = [symbol for symbol in _ATOM.findall(unit) if symbol not in ("1", ".", "/", "(", ")")]
    units = [symbol.rstrip("0123456789+-") for symbol in symbols if symbol[0] != "{"] if unit else NAMES
    names = {name for symbol in units for name in NAMES.get(symbol, symbol.lower() if len(symbol) > 2 else "").split()}
    return next((word for word in words if word in names), "")
