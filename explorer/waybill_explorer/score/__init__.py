"""The Instrumentation Score of the services whose telemetry is stored: one module per signal, and a table of rules."""

import sqlite3
from typing import Any

from waybill_explorer.score import rules
from waybill_explorer.score.findings import Finding, Findings
from waybill_explorer.score.logs import check_logs
from waybill_explorer.score.metrics import check_metrics
from waybill_explorer.score.query import ScoreQuery
from waybill_explorer.score.resources import Senders, check_resources
from waybill_explorer.score.spans import check_spans, trace_count

Json = dict[str, Any]


def scores(db: sqlite3.Connection, query: ScoreQuery) -> Json:
    """Return the score of each service, its rules with what was seen, and how much was read to find out."""
    findings, senders = Findings(), Senders(db)
    traces, spans = check_spans(db, query, senders, findings)
    series = check_metrics(db, query, senders, findings)
    logs = check_logs(db, query, senders, findings)
    check_resources(senders, findings)
    services = sorted(senders.services() & {query.service} if query.service else senders.services())
    return {
        "specification": rules.SPECIFICATION,
        "start": query.start,
        "end": query.end,
        "read": {"traces": traces, "of_traces": trace_count(db, query), "spans": spans, "series": series, "logs": logs},
        "services": [_service(service, findings) for service in services],
        "not_judged": rules.WITHOUT_CRITERION,
    }


def _service(service: str, findings: Findings) -> Json:
    failed, unknown = findings.failed.get(service, {}), findings.unknown.get(service, {})
    score = rules.score(failed, unknown)
    return {
        "service": service,
        "score": round(score, 2),
        "category": rules.category(score),
        "rules": [_rule(name, failed.get(name), unknown.get(name)) for name in rules.RULES],
    }


def _rule(name: str, finding: Finding | None, unknown: str | None) -> Json:
    rule = rules.RULES[name]
    found = {"id": name, "impact": rule.impact, "weight": rule.weight, "requires": rule.requires}
    if unknown is not None:
        return found | {"passed": None, "reason": unknown}
    if finding is None:
        return found | {"passed": True}
    return found | {
        "passed": False,
        "seen": finding.seen,
        "evidence": finding.evidence,
        "count": finding.count,
        "advice": rule.advice,
    }
