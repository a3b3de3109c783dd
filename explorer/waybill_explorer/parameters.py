"""The query parameters of the read API as typed values; one that cannot be used raises BadParameter."""

import re
import time
from dataclasses import replace

from flask import request
from pydantic_core import from_json

from waybill_explorer import queries, query_language
from waybill_explorer import series as metric
from waybill_explorer.difference import Box, DifferenceQuery
from waybill_explorer.durations import microseconds
from waybill_explorer.log_queries import LogQuery
from waybill_explorer.log_search import check_for_logs
from waybill_explorer.logs import LEVELS
from waybill_explorer.paging import Cursor, cursor_of
from waybill_explorer.query_language import LEVEL_ALIASES, All, Node, QueryError
from waybill_explorer.score.query import MAX_TRACES, ScoreQuery
from waybill_explorer.score.rules import LOOKBACK
from waybill_explorer.texts import LOGS, TRACES
from waybill_explorer.trace_queries import TraceQuery

SIGNALS = {"traces": TRACES, "logs": LOGS}
MAX_LIMIT = 1500
MAX_STEPS = 11_000
MAX_SCORED_TRACES = 10_000
MAX_COMPARED_TRACES = 100_000
SELECTIONS = ("slow", "failed", "refused")
MAX_TIME = 2**62
"""Microseconds: times beyond it could not be compared with stored ones."""


class BadParameter(Exception):
    """A query parameter cannot be used; the message names it.

    `position` is the index in the query language's text where it is wrong.
    """

    def __init__(self, name: str, problem: str, position: int | None = None) -> None:
        super().__init__(f"unable to parse param '{name}': {problem}")
        self.position = position


def text(name: str) -> str:
    """Return a parameter as it was sent, or nothing."""
    return request.args.get(name, "")


def integer(name: str, default: int, minimum: int = 0, maximum: int = MAX_TIME) -> int:
    """Return a whole number from `minimum` to `maximum`."""
    given = text(name)
    if not given:
        return default
    try:
        number = int(given)
    except ValueError:
        raise BadParameter(name, f"{given!r} is not a whole number") from None
    if not minimum <= number <= maximum:
        raise BadParameter(name, f"{number} is not between {minimum} and {maximum}")
    return number


def times() -> dict[str, int]:
    """Return `start` and `end` in microseconds; without them, all that is kept."""
    start, end = integer("start", 0), integer("end", MAX_TIME)
    if start > end:
        raise BadParameter("start", "it is after end")
    return {"start": start, "end": end}


def window(seconds: int = 3600) -> tuple[int, int]:
    """Return start and end in microseconds; without a start, the `lookback` seconds before the end (an hour)."""
    end = integer("end", time.time_ns() // 1000)
    lookback = integer("lookback", seconds, minimum=1, maximum=MAX_TIME // 1_000_000)
    start = integer("start", max(0, end - lookback * 1_000_000))
    if start >= end:
        raise BadParameter("start", "it does not lie before end")
    return start, end


def lookback_window() -> tuple[int, int]:
    """Return start and end in microseconds of Jaeger's `endTs` and `lookback`, which are milliseconds."""
    end = integer("endTs", time.time_ns() // 1_000_000, maximum=MAX_TIME // 1000)
    lookback = integer("lookback", 86_400_000, maximum=MAX_TIME // 1000)
    return (end - lookback) * 1000, end * 1000


def step_of(start: int, end: int) -> int:
    """Return the `step` of the points between two times, all in microseconds."""
    step = integer("step", 10, minimum=1, maximum=86_400) * 1_000_000
    return _not_too_many(step, start, end)


def _not_too_many(step: int, start: int, end: int) -> int:
    if (end - start) // step > MAX_STEPS:
        raise BadParameter("step", f"more than {MAX_STEPS} points: choose a longer step or a shorter time")
    return step


def trace_id(name: str, given: str) -> bytes:
    """Return the 16 bytes of a trace id in hex, of which leading zeros may be left out."""
    if not re.fullmatch(r"[0-9a-fA-F]{1,32}", given):
        raise BadParameter(name, f"{given!r} is not 1 to 32 hex digits")
    return bytes.fromhex(given.zfill(32))


def trace_ids() -> list[bytes]:
    """Return every `traceID`."""
    return [trace_id("traceID", given) for given in request.args.getlist("traceID")]


def duration(name: str, default: int) -> int:
    """Return a duration in microseconds, which is given as Go writes it, such as 1.5ms or 1m30s."""
    given = text(name)
    if not given:
        return default
    found = microseconds(given)
    if found is None:
        raise BadParameter(name, f"{given!r} is not a duration such as 1.5ms, 2s or 1m30s")
    return found


def tags() -> dict[str, str]:
    """Return the tags of every `tags` (a JSON object) and every `tag` (key:value)."""
    found = {}
    for given in request.args.getlist("tags"):
        try:
            decoded = from_json(given)  # unlike json.loads it refuses half a surrogate pair, which no database takes
        except ValueError as error:
            raise BadParameter("tags", f"not JSON: {error}") from None
        if not isinstance(decoded, dict) or not all(isinstance(value, str) for value in decoded.values()):
            raise BadParameter("tags", "a JSON object with text values is expected")
        found.update(decoded)
    for given in request.args.getlist("tag"):
        key, colon, value = given.partition(":")
        if not colon:
            raise BadParameter("tag", f"key:value is expected, not {given!r}")
        found[key] = value
    return found


def query(name: str = "q", *, of_logs: bool = False) -> Node:
    """Return what a parameter asks for, in the query language."""
    try:
        node = query_language.parse(text(name))
        if of_logs:
            check_for_logs(node)
    except QueryError as error:
        raise BadParameter(name, str(error), error.position) from None
    return node


def cursor() -> Cursor | None:
    """Return where the page begins."""
    given = text("cursor")
    found = cursor_of(given)
    if given and not found:
        raise BadParameter("cursor", f"{given!r:.80} is not the `next` of a response")
    return found


def trace_query() -> TraceQuery:
    """Return what a search for traces asks of one of their spans."""
    between = times()
    found = TraceQuery(
        service=text("service"),
        operation=text("operation"),
        tags=tags(),
        min_duration=duration("minDuration", 0),
        max_duration=duration("maxDuration", MAX_TIME),
        start=between["start"],
        end=between["end"],
        limit=integer("limit", 100, minimum=1, maximum=MAX_LIMIT),
    )
    if found.min_duration > found.max_duration:
        raise BadParameter("maxDuration", "it should be greater than minDuration")
    if found.operation and not found.service:
        raise BadParameter("service", "an operation needs its service")
    return found


def summary_query() -> TraceQuery:
    """Return what a search asks of one span and of the whole trace."""
    found = trace_query()
    found.text = text("text")
    found.failed, found.refused = (bool(integer(name, 0, maximum=1)) for name in ("failed", "refused"))
    found.min_total, found.max_total = duration("minTotal", 0), duration("maxTotal", MAX_TIME)
    found.query, found.cursor = query(), cursor()
    return found


def difference_query() -> DifferenceQuery:
    """Return which traces to select and what to compare them with.

    Those selected are some of the search, which `select`, `box` or `ids` name, or all that fit its `q`. The others fit
    `against`; without it, they are the rest of the search, or of all traces of its time if `q` is the selection.
    """
    chosen = replace(summary_query(), limit=MAX_COMPARED_TRACES)
    select, ids = text("select"), [trace_id("ids", given) for given in text("ids").split(",") if given]
    if select and select not in SELECTIONS:
        raise BadParameter("select", f"one of {', '.join(SELECTIONS)}")
    is_part = bool(select or ids or text("box"))
    if not is_part and not text("q").strip():
        raise BadParameter("select", f"name the traces by q, select ({', '.join(SELECTIONS)}), ids or box")
    noun = text("noun")
    if noun and not re.fullmatch(r"[\w -]{1,40}", noun):
        raise BadParameter("noun", f"{noun!r:.80} is not up to 40 letters, digits and spaces")
    is_rest = is_part and not text("against").strip()
    against = chosen if is_rest else replace(chosen, query=query("against"))
    return DifferenceQuery(chosen, against, select, _box(), frozenset(ids), noun)


def groups_query() -> tuple[TraceQuery, TraceQuery]:
    """Return what the two groups of traces have to fit that are compared: `a` and `b`, beside what the search says."""
    search = replace(summary_query(), limit=MAX_COMPARED_TRACES)
    return _also(search, "a"), _also(search, "b")


def _also(search: TraceQuery, name: str) -> TraceQuery:
    """Return a search that has to fit the query in a parameter too."""
    return replace(search, query=All((search.query, query(name))))


def _box() -> Box | None:
    """Return the `box`: start, end, shortest and longest duration, in microseconds."""
    given = text("box")
    if not given:
        return None
    if not re.fullmatch(r"\d{1,19}(,\d{1,19}){3}", given, re.ASCII):
        raise BadParameter("box", f"{given!r:.80} is not start,end,low,high in microseconds")
    return Box(*(int(number) for number in given.split(",")))


def log_query() -> LogQuery:
    """Return what a search asks of log records."""
    of_trace = text("trace_id")
    level = text("level").upper()
    level = LEVEL_ALIASES.get(level, level)
    if level and level not in LEVELS:
        raise BadParameter("level", f"one of {', '.join(LEVELS)}")
    return LogQuery(
        trace_id=trace_id("trace_id", of_trace) if of_trace else None,
        service=text("service"),
        level=level,
        text=text("text"),
        **times(),
        limit=integer("limit", 1000 if of_trace else 100, minimum=1, maximum=queries.MAX_LOGS),
        query=query(of_logs=True),
        cursor=cursor(),
        after=integer("after", 0),
    )


def signal() -> int:
    """Return the signal to which a query is to be completed."""
    given = request.args.get("signal", "traces")
    if given not in SIGNALS:
        raise BadParameter("signal", f"one of {', '.join(SIGNALS)}")
    return SIGNALS[given]


def log_times() -> tuple[LogQuery, int]:
    """Return which log lines to count over time, and the step in microseconds: a sixtieth of the time by itself."""
    found = log_query()
    found.start, found.end = window()
    step = integer("step", max(1, (found.end - found.start) // 60_000_000), minimum=1, maximum=86_400 * 365) * 1_000_000
    return found, _not_too_many(step, found.start, found.end)


def series_query() -> metric.SeriesQuery:
    """Return which series of an instrument to compute."""
    name, stat = text("name"), request.args.get("stat", "value")
    if not name:
        raise BadParameter("name", "it is required")
    if stat not in metric.STATS:
        raise BadParameter("stat", f"one of {', '.join(metric.STATS)}")
    start, end = window()
    step = integer("step", max(10, (end - start) // 120_000_000), minimum=1, maximum=86_400 * 365) * 1_000_000
    _not_too_many(step, start, end)
    by = tuple(key for key in text("by").split(",") if key)
    with_exemplars = bool(integer("exemplars", 1, maximum=1))
    return metric.SeriesQuery(name, stat, start, end, step, text("service"), by, with_exemplars)


def score_query() -> ScoreQuery:
    """Return what is to be scored; without a start, the 30 days before the end."""
    start, end = window(LOOKBACK // 1_000_000)
    return ScoreQuery(start, end, text("service"), integer("limit", MAX_TRACES, minimum=1, maximum=MAX_SCORED_TRACES))
