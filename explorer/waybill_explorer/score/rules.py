"""The rules of the Instrumentation Score as a table, and the arithmetic that makes a score of them.

Specification 0.1, https://github.com/instrumentation-score/spec: the rules merged up to pull request 52 (September
2026). The same rules must give the same score in every implementation, so nothing is added and no weight changed.
"""

from collections.abc import Collection
from dataclasses import dataclass

SPECIFICATION = "Instrumentation Score 0.1"
WEIGHTS = {"Critical": 40, "Important": 30, "Normal": 20, "Low": 10}
CATEGORIES = ((90.0, "Excellent"), (75.0, "Good"), (50.0, "Needs Improvement"), (0.0, "Poor"))
"""The lowest score of each category, the best first."""

MAX_SHORT_SPANS = 20
SHORT_NS = 5_000_000
MAX_INTERNAL_SPANS = 10
MAX_VALUES = 10_000
DAY = 86_400_000_000
LOOKBACK = 30 * DAY
"""The specification's window, in microseconds."""
CONSISTENT_FOR = 14 * DAY
"""For how long units and buckets must be the same, and debug logs may be seen in production."""


@dataclass(frozen=True)
class Rule:
    """A rule of the specification: how much it counts, what it requires, and what to do when it fails."""

    impact: str
    requires: str
    advice: str

    @property
    def weight(self) -> int:
        """Return how much the rule counts."""
        return WEIGHTS[self.impact]


_SENSITIVE = "Remove the value where it is recorded, or redact it before it is exported"

RULES: dict[str, Rule] = {
    "RES-001": Rule(
        "Normal",
        "service.instance.id is present",
        "Set service.instance.id to a random UUID for each process",
    ),
    "RES-002": Rule(
        "Important",
        "service.instance.id is unique within a service",
        "Create service.instance.id when a process starts; do not take it from the image or a shared setting",
    ),
    "RES-003": Rule(
        "Important",
        "k8s.pod.uid is present on Kubernetes",
        "Pass metadata.uid by the downward API in OTEL_RESOURCE_ATTRIBUTES, or use the Collector's k8s_attributes",
    ),
    "RES-004": Rule(
        "Important",
        "Attributes of the semantic conventions are at the right level",
        "Set what describes the process on the resource, and what describes an operation on its span or log record",
    ),
    "RES-005": Rule(
        "Critical",
        "service.name is present",
        "Set OTEL_SERVICE_NAME",
    ),
    "RES-006": Rule(
        "Normal",
        "service.criticality, if present, is mission_critical, high, medium or low",
        "Use one of these four values, in lower case",
    ),
    "RES-007": Rule(
        "Important",
        "deployment.environment.name is present",
        "Add deployment.environment.name=<name> to OTEL_RESOURCE_ATTRIBUTES",
    ),
    "RES-010": Rule("Critical", "Resource attributes hold no sensitive data", _SENSITIVE),
    "SPA-001": Rule(
        "Normal",
        f"A service has at most {MAX_INTERNAL_SPANS} INTERNAL spans in a trace",
        "Record steps inside a process as events or attributes of one span",
    ),
    "SPA-002": Rule(
        "Normal",
        "Each parent span is in the trace",
        "Export every span of a sampled trace: sample by the parent's decision, flush at exit, and check that the"
        " caller's telemetry is sent here as well",
    ),
    "SPA-004": Rule(
        "Important",
        "No root span has kind CLIENT",
        "Start a SERVER, CONSUMER or INTERNAL span around the work that makes the call, or pass its context on",
    ),
    "SPA-005": Rule(
        "Important",
        f"A trace has at most {MAX_SHORT_SPANS} spans under 5 ms",
        "Make fewer calls and statements for one request, and record only spans that answer a question",
    ),
    "SPA-006": Rule("Critical", "Spans hold no sensitive data", _SENSITIVE),
    "MET-001": Rule(
        "Important",
        f"A metric attribute has fewer than {MAX_VALUES:,} values in an hour",
        "Remove the attribute from the metric, by a view for instance, and record it on spans",
    ),
    "MET-002": Rule(
        "Important",
        "Each metric has a unit of UCUM",
        "Give the instrument a unit such as s, ms, By, 1 or {request}",
    ),
    "MET-003": Rule(
        "Important",
        "A metric has one unit wherever it is recorded",
        "Use the same unit in each service that records the metric, or another name",
    ),
    "MET-004": Rule(
        "Normal",
        "A histogram has the same buckets wherever it is recorded",
        "Set the same bucket boundaries in each service that records the metric",
    ),
    "MET-005": Rule(
        "Normal",
        "The name of a metric does not contain its unit",
        "Leave the unit out of the name: it is a field of its own",
    ),
    "MET-006": Rule(
        "Important",
        "The name of a metric is no attribute key of the semantic conventions",
        "Rename the metric after what it measures",
    ),
    "MET-008": Rule("Critical", "Metrics hold no sensitive data", _SENSITIVE),
    "LOG-001": Rule(
        "Important",
        "Debug logs are not enabled in production for more than 14 days",
        "Set the log level of production to INFO",
    ),
    "LOG-002": Rule(
        "Important",
        "Log records have a severity number",
        "Map the level to SeverityNumber where the log is read, in the Collector's filelog receiver for instance",
    ),
    "LOG-003": Rule("Critical", "Log records hold no sensitive data", _SENSITIVE),
    "SDK-001": Rule(
        "Low",
        "The SDK supports the version of the runtime",
        "Update the runtime, or use the last version of the SDK that supports it",
    ),
}
WITHOUT_CRITERION = {"SPA-003": "the specification has no criterion for it yet"}
"""Rules of the specification that no implementation can apply."""


def score(failed: Collection[str], unknown: Collection[str] = ()) -> float:
    """Return the score, 0 to 100, of a service that fails these rules. Rules that cannot be judged do not count."""
    judged = {name: rule.weight for name, rule in RULES.items() if name not in unknown}
    passed = sum(weight for name, weight in judged.items() if name not in failed)
    return 100 * passed / sum(judged.values())


def category(score: float) -> str:
    """Return the specification's name for a score."""
    return next(name for lowest, name in CATEGORIES if score >= lowest)
