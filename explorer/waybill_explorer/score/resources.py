"""The rules on resources: what each service says about itself."""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from waybill_explorer.decode import plain_attributes
from waybill_explorer.score import sensitive
from waybill_explorer.score.conventions import SIGNAL_KEYS
from waybill_explorer.score.findings import Findings

CRITICALITIES = ("mission_critical", "high", "medium", "low")
WORKLOAD = ("k8s.pod.uid", "k8s.pod.name", "host.id", "host.name")
"""What tells two workloads apart; a restarted process may keep its instance id, so no process id is among these."""
RUNTIMES: dict[tuple[str, int], tuple[tuple[str, ...], tuple[int, ...]]] = {
    ("python", 1): (("cpython", "pypy"), (3, 9)),
    ("nodejs", 1): (("nodejs", "node.js", "node"), (14,)),
    ("nodejs", 2): (("nodejs", "node.js", "node"), (18, 19)),
}
"""By language and major version of the SDK: names of the runtime, and its lowest version that is supported."""


@dataclass(frozen=True)
class Sender:
    """A resource and the service that it names."""

    service: str
    attributes: dict[str, Any]


@dataclass
class Senders:
    """The resources of what was read, each with the first trace, metric or log record that it sent."""

    db: sqlite3.Connection
    _known: dict[int, Sender] = field(default_factory=dict)
    evidence: dict[int, dict[str, str]] = field(default_factory=dict)

    def get(self, number: int) -> Sender:
        """Return a stored resource."""
        sender = self._known.get(number)
        if sender is None:
            service, body = self.db.execute("SELECT service, body FROM resources WHERE id = ?", (number,)).fetchone()
            sender = Sender(service, plain_attributes(Resource.FromString(body).attributes))
            self._known[number] = sender
        return sender

    def note(self, number: int, **evidence: str) -> Sender:
        """Return a stored resource and remember what it sent."""
        if number not in self.evidence:
            self.evidence[number] = evidence
        return self.get(number)

    def services(self) -> set[str]:
        """Return the services that sent something."""
        return {self.get(number).service for number in self.evidence}


def check_resources(senders: Senders, findings: Findings) -> None:
    """Apply RES-001 to RES-010 and SDK-001 to every resource that sent something."""
    for number, evidence in senders.evidence.items():
        sender = senders.get(number)
        for rule, seen in _problems(sender.attributes):
            findings.fail(sender.service, rule, seen, evidence)
    _check_instances(senders, findings)
    _check_runtimes(senders, findings)


def _problems(attributes: dict[str, Any]) -> Iterable[tuple[str, str]]:
    """Yield the rules that one resource breaks, each with what was seen."""
    if not _is_text(attributes.get("service.name")):
        yield "RES-005", "a resource has no service.name"
    if not attributes.get("service.instance.id"):
        yield "RES-001", "a resource has no service.instance.id"
    if not _is_text(attributes.get("deployment.environment.name")):
        yield "RES-007", "a resource has no deployment.environment.name"
    if any(key.startswith("k8s.") for key in attributes) and not attributes.get("k8s.pod.uid"):
        yield "RES-003", "a resource on Kubernetes has no k8s.pod.uid"
    criticality = attributes.get("service.criticality")
    if criticality is not None and criticality not in CRITICALITIES:
        yield "RES-006", f"service.criticality is {criticality!r:.80}"
    for key, value in attributes.items():
        if key in SIGNAL_KEYS:
            yield "RES-004", f"{key} is an attribute of a resource"
        if problem := sensitive.problem(key, value):
            yield "RES-010", f"resource attribute {key} has {problem}"


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _check_instances(senders: Senders, findings: Findings) -> None:
    """Apply RES-002: an instance id is of one pod and one host."""
    workloads: dict[tuple[str, str, str], dict[str, int]] = defaultdict(dict)
    for number in senders.evidence:
        sender = senders.get(number)
        instance = sender.attributes.get("service.instance.id")
        for key in WORKLOAD:
            if instance and (value := sender.attributes.get(key)):
                workloads[sender.service, str(instance), key].setdefault(str(value), number)
    for (service, instance, key), seen in workloads.items():
        if len(seen) > 1:
            one, other, *_ = sorted(seen)
            text = f"service.instance.id {instance!r:.60} has {key} {one!r:.60} and {other!r:.60}"
            findings.fail(service, "RES-002", text, senders.evidence[seen[other]])


def _check_runtimes(senders: Senders, findings: Findings) -> None:
    """Apply SDK-001 to the services that name a runtime of which the lowest version is known."""
    judged = set()
    for number, evidence in senders.evidence.items():
        service, attributes = senders.get(number).service, senders.get(number).attributes
        language, sdk, runtime, version = (
            str(attributes.get(key, ""))
            for key in (
                "telemetry.sdk.language",
                "telemetry.sdk.version",
                "process.runtime.name",
                "process.runtime.version",
            )
        )
        names, lowest = RUNTIMES.get((language, (_numbers(sdk) or (0,))[0]), ((), ()))
        if runtime.lower() in names and _numbers(version):
            judged.add(service)
            if _numbers(version) < lowest:
                needed = ".".join(map(str, lowest))
                seen = f"the SDK {sdk:.40} needs {runtime:.40} {needed}, not {version:.40}"
                findings.fail(service, "SDK-001", seen, evidence)
    for service in senders.services() - judged:
        findings.unknown[service]["SDK-001"] = "no resource names a runtime whose supported versions are known"


def _numbers(version: str) -> tuple[int, ...]:
    numbers = []
    for part in version.lstrip("v").split("."):
        if not part.isdecimal():
            break
        numbers.append(int(part))
    return tuple(numbers)
