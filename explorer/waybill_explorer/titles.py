"""Words for what a span did, short enough for a row of a waterfall; the page and the terminal show the same."""

import re
from collections.abc import Mapping
from functools import lru_cache

from waybill_explorer.trace_tree import Span

MAX_CHARACTERS = 4000
SQL = re.compile(
    r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH|BEGIN|COMMIT|ROLLBACK|SAVEPOINT|CREATE|ALTER|PRAGMA)\b", re.IGNORECASE
)
STATEMENT_KEYS = ("db.query.text", "db.statement")
SYSTEM_KEYS = ("db.system.name", "db.system")
"""Attributes of a database call, by the current and by the older semantic conventions."""


def title(span: Span) -> str:
    """Return what a span did, in a few words: its name, or its statement if it is a database's."""
    return title_of(span.name, span.tags)


def title_of(name: str, tags: Mapping[str, object]) -> str:
    """Return the title of a span by its name and those of its attributes that are STATEMENT_KEYS and SYSTEM_KEYS."""
    text = _first(tags, STATEMENT_KEYS)
    return _title(text[:MAX_CHARACTERS], _first(tags, SYSTEM_KEYS)) if text else one_line(name)


@lru_cache(maxsize=256)  # a trace has thousands of spans, but few statements
def _title(statement: str, system: str) -> str:
    return short_sql(statement) if is_sql(statement) else one_line(f"{system} {statement}")


def peer(span: Span) -> str:
    """Return where a client's call went, without scheme and query, unless the title says more than the method."""
    url = span.tags.get("url.full")
    if not url or span.kind != "client" or " " in title(span):
        return ""
    return re.sub(r"^\w+://|[?#].*$", "", one_line(url))


def is_database(span: Span) -> bool:
    """Return whether a span is a call of a database or cache."""
    return bool(_first(span.tags, SYSTEM_KEYS) or statement(span))


def _first(tags: Mapping[str, object], keys: tuple[str, ...]) -> str:
    for key in keys:
        if value := tags.get(key):
            return str(value)
    return ""


def statement(span: Span) -> str:
    """Return a database's statement, by the current or the older semantic conventions, or nothing."""
    return _first(span.tags, STATEMENT_KEYS)


def is_sql(text: str) -> bool:
    """Return whether a statement is SQL: those of Redis are not."""
    return SQL.match(text) is not None


def short_sql(text: str) -> str:
    """Return SQL without column lists, quotes and qualifiers: `SELECT … FROM orders WHERE id = ?`."""
    sql = one_line(text).replace('"', "")
    sql = re.sub(r"(?i)^(SELECT) .*? (FROM)\b", r"\1 … \2", sql)
    sql = re.sub(r"(?i)^(INSERT INTO \w+) .*", r"\1", sql)
    sql = re.sub(r"(?i)^(UPDATE \w+ SET) .*? (WHERE)\b", r"\1 … \2", sql)
    table = re.match(r"(?i)(?:SELECT … FROM|UPDATE|DELETE FROM) (\w+)", sql)
    return re.sub(rf"\b{table[1]}\.", "", sql) if table else sql


def one_line(text: object) -> str:
    """Return a text on one line, cut off after MAX_CHARACTERS."""
    return " ".join(str(text)[:MAX_CHARACTERS].split())
