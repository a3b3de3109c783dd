"""The rules on log records."""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterator

from waybill_explorer.score import sensitive
from waybill_explorer.score.conventions import RESOURCE_KEYS
from waybill_explorer.score.findings import Findings
from waybill_explorer.score.query import MAX_LOGS, ScoreQuery
from waybill_explorer.score.resources import Senders
from waybill_explorer.score.rules import CONSISTENT_FOR, DAY

PRODUCTION = ("production", "prod")


def check_logs(db: sqlite3.Connection, query: ScoreQuery, senders: Senders, findings: Findings) -> int:
    """Apply LOG-001 to LOG-003, and RES-004 to log records. Return how many records were read."""
    rows = db.execute(
        f"SELECT * FROM logs WHERE {'service = :service AND ' if query.service else ''} time BETWEEN :start AND :end"  # noqa: S608
        f" ORDER BY time DESC LIMIT {MAX_LOGS}",
        {"service": query.service, "start": query.start, "end": query.end},
    )
    count = 0
    for row in rows:
        count += 1
        evidence = _evidence(row)
        senders.note(row["resource"], **evidence)
        for rule, seen in _problems(row):
            findings.fail(row["service"], rule, seen, evidence)
    _check_debug(db, query, senders, findings)
    return count


def _evidence(row: sqlite3.Row) -> dict[str, str]:
    evidence = {"log": row["body"][:200], "logger": row["logger"]}
    return evidence | ({"trace_id": row["trace_id"].hex()} if row["trace_id"] else {})


def _problems(row: sqlite3.Row) -> Iterator[tuple[str, str]]:
    """Yield the rules that one record breaks, each with what was seen."""
    if not row["severity"]:
        yield "LOG-002", "a log record has no severity number"
    body = row["body"]
    if problem := sensitive.problem("", _structure(body)) or sensitive.in_text(row["logger"]):
        yield "LOG-003", f"a log record of {row['logger']!r:.80} has {problem}"
    if row["attributes"] != "{}":
        for key, value in json.loads(row["attributes"]).items():
            if key in RESOURCE_KEYS:
                yield "RES-004", f"{key} is an attribute of a log record of {row['logger']!r:.80}"
            if problem := sensitive.problem(key, value):
                yield "LOG-003", f"attribute {key} of a log record has {problem}"


def _structure(body: str) -> object:
    """Return a body as it was sent: one that is not text is stored as JSON."""
    if body[:1] in ("{", "["):
        try:
            return json.loads(body)
        except ValueError:
            return body
    return body


def _check_debug(db: sqlite3.Connection, query: ScoreQuery, senders: Senders, findings: Findings) -> None:
    """Apply LOG-001: between the first and the last debug record of production are 14 days at most."""
    production: dict[str, list[int]] = defaultdict(list)
    for number in senders.evidence:
        sender = senders.get(number)
        if str(sender.attributes.get("deployment.environment.name")).lower() in PRODUCTION:
            production[sender.service].append(number)
    for service, resources in production.items():
        first, last = db.execute(
            "SELECT min(time), max(time) FROM logs WHERE service = ? AND time BETWEEN ? AND ?"  # noqa: S608
            f" AND (severity BETWEEN 5 AND 8 OR level = 'DEBUG') AND resource IN ({','.join(map(str, resources))})",
            (service, query.start, query.end),
        ).fetchone()
        if first is not None and last - first > CONSISTENT_FOR:
            seen = f"debug records of production are {(last - first) // DAY} days apart"
            findings.fail(service, "LOG-001", seen, senders.evidence[resources[0]])
