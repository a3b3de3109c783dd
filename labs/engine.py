"""Starting a lab, answering, repairing, stopping: what the commands do."""

import random
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labs import attempts, data, definitions, faults, plan, releases
from labs.attempts import Answer, Attempt
from labs.definitions import Case
from labs.faults import Fault, Release
from labs.grading import Grader
from labs.plan import Plan
from labs.proof import Proof
from local.settings import HOST, LocalSettings
from local.wanted import WantedProcess
from waybill_explorer.client import ClientError

LONGEST = 4
"""A lab ends by itself after so many times its minutes: long enough for a slow machine and a pause."""
LOAD, READER = "load", "back-office"
MAX_SEED = 1_000_000
HARMLESS = "OTEL_BLRP_SCHEDULE_DELAY=900"
"""Milliseconds after which a batch of log records is sent; the stack has 1,000."""


def start(
    settings: LocalSettings,
    name: str,
    seed: int | None = None,
    minutes: float | None = None,
    *,
    unnamed: bool = False,
    rehearsed: bool = False,
) -> Attempt:
    """Start a lab, wait until it is in force and return the attempt. Raise a ClientError."""
    lab = definitions.find(name)
    if not plan.is_running(settings.waybill_data):
        raise ClientError(plan.not_running())
    if on := plan.current(settings):
        raise ClientError(f"{on.says}: {on.off} first.")
    case = definitions.case(lab, random.randrange(MAX_SEED) if seed is None else seed)  # noqa: S311
    attempt = Attempt(lab=name, seed=case.seed, unnamed=unnamed, rehearsed=rehearsed)
    minutes = minutes or lab.minutes * LONGEST
    found = Plan(
        faults=_faults(settings, case),
        others=_others(settings, case),
        more=traffic(settings, case),
        attempt=attempt.id,
        ends_at=time.time() + minutes * 60,
        says=f"{attempt.name} is on" if unnamed else f"the lab {name} is on",
        off="end it with `waybill lab stop`",
    )
    try:
        plan.bring(settings, found)
    except ClientError:
        plan.undo_data(settings, found, None)
        raise
    attempt.started = time.time()
    attempts.save(settings, attempt)
    return attempt


def _faults(settings: LocalSettings, case: Case) -> tuple[Fault, ...]:
    return tuple(_fault(settings, case, kind, fields) for kind, fields in case.fault.items())


def _fault(settings: LocalSettings, case: Case, kind: str, fields: Mapping[str, Any]) -> Fault:
    match kind:
        case "link":
            given = dict(fields)
            service, mode = given.pop("service"), given.pop("mode")
            faults.record_file(settings, service).unlink(missing_ok=True)
            return faults.new_link(settings, (), service, mode, **given)
        case "release":
            return releases.build(settings, fields["service"], definitions.patch_of(case, fields["patch"]))
        case "setting":
            setting = faults.new_setting(fields["service"], f"{fields['name']}={fields['value']}")
            also = tuple((name, str(value)) for name, value in sorted(fields.get("also", {}).items()))
            return setting.model_copy(update={"also": also})
        case "neighbor":
            return faults.new_neighbor(settings, (), fields["name"], fields["seconds"], fields["every"])
        case "data":
            change, undo = (definitions.patch_of(case, fields[part]).split(";") for part in ("change", "undo"))
            return data.change(settings, fields["service"], change, undo, fields["name"])
    raise ClientError(f"{case.lab.name}: there is no kind of fault {kind!r}.")


def _others(settings: LocalSettings, case: Case) -> tuple[Fault, ...]:
    """Return what else was deployed that day: the same code under the next version, or a harmless setting."""
    return tuple(
        releases.build(settings, service, "") if kind == "release" else faults.new_setting(service, HARMLESS)
        for kind, service in case.others
    )


def traffic(settings: LocalSettings, case: Case) -> dict[str, WantedProcess]:
    """Return the processes that stand for customers and for a back office."""
    load = case.lab.load
    if load is None:
        return {}
    rate = float(case.values.get("rate", load.rate))
    options = ("--rate", f"{rate:g}", "--concurrency", str(load.concurrency), "--duration", "24h")
    found = {
        LOAD: WantedProcess(command=(sys.executable, "-m", "local.cli", "load", *options, "--tokens", load.tokens))
    }
    if pages := case.values.get("pages"):
        url = f"http://{HOST}:{settings.port('order')}/orders?limit={pages}"
        found[READER] = WantedProcess(command=(sys.executable, "-m", "labs.reader", url))
    return found


def answer(settings: LocalSettings, attempt: Attempt, key: str, value: str) -> Answer:
    """Judge an answer and keep it. Raise a ClientError if it cannot be judged yet, or no longer counts."""
    if attempt.solved:
        raise ClientError("the solution was shown, so answers no longer count. Start the lab again for another case.")
    question = attempt.case.question(key)
    verdict = Grader(settings, attempt).judge(question, value)
    before = attempt.answers.get(key)
    given = Answer(value=value, right=verdict.right, reason=verdict.reason, tries=before.tries + 1 if before else 1)
    if not (before and before.right):
        attempt.answers[key] = given
        attempts.save(settings, attempt)
    return given


def check_fix(settings: LocalSettings, attempt: Attempt) -> str:
    """Place probe orders and keep whether they show that it is repaired. Return why not, or ""."""
    if attempt.solved:
        raise ClientError("the solution was shown, so a repair no longer counts. Start the lab again.")
    verdict = Proof(settings, attempt).judge()
    latest = attempts.current(settings)  # what was answered while the probes ran is kept
    attempt.answers, attempt.hints = latest.answers, latest.hints
    attempt.fixed = verdict.right
    attempts.save(settings, attempt)
    return verdict.reason


def repair(settings: LocalSettings, key: str) -> None:
    """Repair what is no code: a link, a setting, a neighbor. Raise a ClientError if nothing is wrong there."""
    attempt, on = _on(settings)
    if reason := attempt.case.later.get(key):
        raise ClientError(reason)
    if key.startswith("release") or key not in {fault.key for fault in on.faults}:
        raise ClientError(f"the teams looked at `{key}` and found nothing wrong there. What points at it?")
    plan.bring(settings, on.without(key))
    _changed(settings)


def rollback(settings: LocalSettings, service: str) -> None:
    """Let a service run the release before. Raise a ClientError if it does already."""
    _, on = _on(settings)
    release = _release(on, service)
    plan.bring(settings, on.without(release.key))
    _changed(settings)


def redeploy(settings: LocalSettings, service: str) -> Release:
    """Release the code of a service as it was edited. Raise a ClientError if it cannot start."""
    _, on = _on(settings)
    release = releases.rebuild(settings, _release(on, service))
    plan.bring(settings, on.with_fault(release))
    _changed(settings)
    return release


def code(settings: LocalSettings) -> dict[str, Path]:
    """Return the folders with the code of the releases that run, by service. Raise a ClientError if there is none."""
    _, on = _on(settings)
    found = {change.service: change.folder for change in on.changes if isinstance(change, Release)}
    if not found:
        raise ClientError(
            "no service runs another release than the repository's: its `app/` and `services/` are in force."
        )
    return dict(sorted(found.items()))


def act(settings: LocalSettings, command: str) -> None:
    """Do one thing that a lab names as its repair, such as `rollback order` or `repair link payment`."""
    verb, _, rest = command.partition(" ")
    if verb == "rollback":
        rollback(settings, rest)
    else:
        repair(settings, rest)


def stop(settings: LocalSettings) -> Attempt | None:
    """End the lab and bring everything back as it was. Raise a ClientError if no lab is on.

    Return the attempt, or None if its start was interrupted.
    """
    on = plan.current(settings)
    if on is None or not on.attempt:
        raise ClientError(attempts.NONE)
    attempt = attempts.find(settings, on.attempt)
    plan.clear(settings)
    if attempt is None:
        return None
    attempt.ended = time.time()
    attempts.save(settings, attempt)
    return attempt


def _on(settings: LocalSettings) -> tuple[Attempt, Plan]:
    attempt, on = attempts.current(settings), plan.current(settings)
    if on is None:
        raise ClientError(attempts.NONE)
    return attempt, on


def _release(on: Plan, service: str) -> Release:
    for change in on.changes:
        if isinstance(change, Release) and change.service == service:
            return change
    raise ClientError(f"{service}-service runs the release of the repository: there is none before it to go back to.")


def _changed(settings: LocalSettings) -> None:
    """Forget what new orders have shown before the change."""
    attempt = attempts.current(settings)
    attempt.fixed = False
    attempts.save(settings, attempt)
