"""What the last word of a query may become: fields, attributes and their values, from what is stored."""

import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator

from typing_extensions import TypedDict

from waybill_explorer.log_search import OF_SPANS
from waybill_explorer.logs import LEVELS
from waybill_explorer.query_language import ALIASES, FIELDS, KINDS, STATUSES
from waybill_explorer.query_text import attribute_key, quoted
from waybill_explorer.texts import LOGGER, LOGS, SEPARATOR, TRACES
from waybill_explorer.traces import ANY
from waybill_explorer.value_tests import fold

MAX_ITEMS = 20
MAX_BYTES = 2 * 2**20
"""Bytes of the newest texts that are looked at."""
MAX_VALUE = 200
EXAMPLES = ("10ms", "100ms", "1s")
_TERM = re.compile(r'("(?:[^"\\]|\\.)*"|[^\s"():=<>!]+)(!=|>=|<=|[:=<>])(.*)', re.DOTALL)


class Suggestion(TypedDict):
    """What replaces the word, and in how many traces or log lines it is, if that is known."""

    text: str
    count: int | None


Suggestions = TypedDict("Suggestions", {"from": int, "items": list[Suggestion]})
"""`from` is the index at which the replaced word begins."""


def suggestions(db: sqlite3.Connection, signal: int, text: str) -> Suggestions:
    """Return what the last word of a text may become, the likeliest first."""
    begin = last_word(text)
    word = text[begin:]
    if term := _TERM.fullmatch(word):
        key, sign, typed = unquoted(term[1]), term[2], unquoted(term[3])
        name = "" if word.startswith('"') else ALIASES.get(key.lower(), key.lower())
        values = _values(db, signal, name, key)
        items = [(f"{term[1]}{sign}{quoted(value)}", count) for value, count in _best(values, typed)]
    else:
        items = list(_best(_fields(db, signal), unquoted(word)))
    return {"from": begin, "items": [{"text": found, "count": count} for found, count in items]}


def last_word(text: str) -> int:
    """Return where the last word of a text begins, which may have quotation marks; without what excludes it."""
    begin, is_quoted, is_escaped = 0, False, False
    for place, char in enumerate(text):
        if is_escaped:
            is_escaped = False
        elif char == '"':
            is_quoted = not is_quoted
        elif is_quoted:
            is_escaped = char == "\\"
        elif char.isspace() or char == "(":
            begin = place + 1
    while text[begin : begin + 1] == "-":
        begin += 1
    return begin


def unquoted(text: str) -> str:
    """Return what was typed, perhaps without its second quotation mark yet."""
    if not text.startswith('"'):
        return text
    return re.sub(r'\\(["\\])', r"\1", text[1:].removesuffix('"'))


Counted = Iterable[tuple[str, int | None]]


def _best(found: Counted, typed: str) -> Iterator[tuple[str, int | None]]:
    """Yield those with the typed text, first those that begin with it; they come in the order of their use."""
    wanted = fold(typed)
    fitting = [(text, count) for text, count in found if len(text) <= MAX_VALUE and wanted in fold(text)]
    fitting.sort(key=lambda item: not fold(item[0]).startswith(wanted))
    yield from fitting[:MAX_ITEMS]


def _fields(db: sqlite3.Connection, signal: int) -> Iterator[tuple[str, int | None]]:
    for name in FIELDS:
        if signal == TRACES or name not in OF_SPANS:
            yield f"{name}{'>' if name in ('duration', 'total') else ':'}", None
    yield "exists:", None
    for key in _keys(db, signal):
        yield f"{attribute_key(key)}:", None


def _values(db: sqlite3.Connection, signal: int, name: str, key: str) -> Counted:
    match name:
        case "service":
            return _services(db, signal)
        case "operation":
            rows = db.execute("SELECT DISTINCT name FROM operations WHERE name <> '' ORDER BY name")
            return [(row[0], None) for row in rows]
        case "status":
            return [(one, None) for one in STATUSES]
        case "kind":
            return [(one, None) for one in KINDS]
        case "level":
            return [(one.lower(), None) for one in LEVELS]
        case "duration" | "total":
            return [(one, None) for one in EXAMPLES]
        case "exists":
            return [(one, None) for one in (*FIELDS, *_keys(db, signal))]
        case "logger":
            return [(one, None) for one in _texts_after(db, LOGS, LOGGER)]
        case "trace" | "body":
            return []
    return [(one, None) for one in _texts_after(db, signal, f"{key}=")]


def _services(db: sqlite3.Connection, signal: int) -> Counted:
    if signal == LOGS:
        names = [row[0] for row in db.execute("SELECT DISTINCT service FROM resources")]
        counts = [
            (name, db.execute("SELECT count(*) FROM logs WHERE service = ?", (name,)).fetchone()[0]) for name in names
        ]
    else:
        rows = db.execute(
            "SELECT service, (SELECT count(*) FROM matches WHERE operation = operations.id) FROM operations"
            " WHERE name = ? AND service <> ?",
            (ANY, ANY),
        )
        counts = [(service, count) for service, count in rows]
    return sorted(((name, count) for name, count in counts if count), key=lambda item: (-item[1], item[0]))


def _newest_texts(db: sqlite3.Connection, signal: int) -> Iterator[bytes]:
    left = MAX_BYTES
    for (data,) in db.execute("SELECT data FROM texts WHERE signal = ? ORDER BY segment DESC, id DESC", (signal,)):
        yield data
        left -= len(data)
        if left <= 0:
            return


def _keys(db: sqlite3.Connection, signal: int) -> list[str]:
    """Return the keys of attributes, those that are in most rows of texts first."""
    key_of = re.compile(rb"\0([^\0-\x1f=][^\0=]*)=")
    counts = Counter(key for data in _newest_texts(db, signal) for key in set(key_of.findall(data)))
    return [key.decode(errors="replace") for key, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]


def _texts_after(db: sqlite3.Connection, signal: int, before: str) -> list[str]:
    """Return the texts behind a mark or a key, those that are in most rows first."""
    expression = re.compile(
        re.escape((SEPARATOR + before).encode(errors="replace")) + rb"([^\0]{1,%d})(?=\0)" % MAX_VALUE
    )
    counts = Counter(
        text.decode(errors="replace") for data in _newest_texts(db, signal) for text in set(expression.findall(data))
    )
    for text in [text for text in counts if not text.isascii() and fold(text) != text]:
        del counts[fold(text)]  # it is there a second time without capitals
    return [text for text, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
