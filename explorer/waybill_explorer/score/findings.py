"""What was seen that breaks a rule: per service and rule the worst case, and how often."""

from collections import defaultdict
from dataclasses import dataclass, field


@dataclass
class Finding:
    """A broken rule: a sentence on the worst case, where to see it, and how many cases there are."""

    seen: str
    evidence: dict[str, str]
    rank: float
    count: int = 1


@dataclass
class Findings:
    """What breaks a rule and what cannot be judged, by service and rule."""

    failed: dict[str, dict[str, Finding]] = field(default_factory=lambda: defaultdict(dict))
    unknown: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    """Why a rule cannot be judged."""

    def fail(self, service: str, rule: str, seen: str, evidence: dict[str, str], rank: float = 0) -> None:
        """Count a case. Of those with the highest rank the first is shown; `evidence` says where to see it."""
        of_service = self.failed[service]
        found = of_service.get(rule)
        if found is None:
            of_service[rule] = Finding(seen, evidence, rank)
            return
        found.count += 1
        if rank > found.rank:
            found.seen, found.evidence, found.rank = seen, evidence, rank
