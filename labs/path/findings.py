"""What a check says: one finding for each thing that it looked at, and the state of the step."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

State = Literal["passed", "failed", "not done"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; for what is wrong: what was seen, what was expected and where to read."""

    title: str
    ok: bool
    seen: str = ""
    expected: str = ""
    read: str = ""


class Stopped(Exception):
    """A check cannot go on after this finding."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.title)
        self.finding = finding


@dataclass
class Report:
    """What a check found; `notes` and the trace ids of its probes are for the reader."""

    step: int
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    traces: list[str] = field(default_factory=list)
    not_done: str = ""
    """Why the step cannot be judged on this machine."""

    @property
    def state(self) -> State:
        """`not done` is never `passed`: what could not be looked at was not."""
        if not all(finding.ok for finding in self.findings):
            return "failed"
        return "not done" if self.not_done or not self.findings else "passed"

    def expect(self, title: str, ok: object, seen: str = "", expected: str = "", read: str = "") -> bool:
        """Add a finding and return whether it is good; of a good one, the title says it all."""
        self.findings.append(Finding(title, True) if ok else Finding(title, False, seen, expected, read))
        return bool(ok)

    def as_json(self) -> dict[str, Any]:
        """Return the report for scripts."""
        return {"step": self.step, "state": self.state, **asdict(self)}
