"""Whether a repair helps: requests of our own, and what they show."""

import time
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any

import requests

from labs import expected, plan, predicates
from labs.attempts import Attempt
from labs.definitions import Fix
from labs.evidence import POLL_SECONDS, Evidence, wait_for
from labs.faults import Release
from labs.grading import RIGHT, Verdict
from labs.plan import Plan
from local import client
from local.load import REGIONS
from local.settings import HOST, LocalSettings
from waybill_explorer.client import ClientError, new_session
from waybill_explorer.trace_tree import Trace

PROBES = 20
INSTANCES = 3
"""How many times as many where each process is judged by its own: each gets some."""
PROBE_PAUSE = 0.25
"""Seconds between two probe orders: together they take longer than any fault pauses."""
PATIENCE = 60.0
"""Seconds without any news of a trace or a metric after which it is judged as it is."""
DOCTOR = ". Check again; `waybill doctor` says what is wrong."
BUSY = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
HANG = "hang"
REQUESTS = "http.server.request.duration"
NOT_ARRIVED = "the trace {} of a new order has not arrived"

Shown = Callable[["Proof", Fix, list[str], int], str]
"""Return what probe requests, of these trace ids and sent since a time (µs), still show, or ""."""


class Proof:
    """Judges the repair of one attempt."""

    def __init__(self, settings: LocalSettings, attempt: Attempt) -> None:
        self.settings = settings
        self.case = attempt.case
        self.evidence = Evidence(settings, attempt.since)

    def judge(self) -> Verdict:
        """Send requests of our own and judge whether the trouble is gone. Raise a ClientError if that is unknown."""
        wanted = self.case.proof
        if wanted is None:
            return RIGHT
        now = plan.current(self.settings)
        if now and self._is_untouched(wanted, now):
            return Verdict(False, "nothing is repaired yet. `waybill lab brief` lists what you can do.")
        since = time.time_ns() // 1000
        try:
            ids = self._send(wanted)
        except ClientError:
            if wanted.gone == HANG and not self._served(since):
                return Verdict(False, "a new request gets no response, and order-service has ended none since then.")
            raise
        if isinstance(ids, Verdict):
            return ids
        shown = SHOWN.get(wanted.gone, _spans)(self, wanted, ids, since)
        # With no fault on, what new orders still show is the machine's: it is busy, and that is no one's mistake.
        if not shown or not (now and now.faults):
            return RIGHT
        runs = any(isinstance(one, Release) for one in now.faults)
        return Verdict(False, f"{shown}.{' The release that runs now still has it.' if runs else ''}")

    def _served(self, since: int) -> float:
        """Return how many requests order-service has ended since a time (µs), by its metric."""
        return sum(self.evidence.counts(REQUESTS, "http.route", "order-service", since=since).values())

    def _is_untouched(self, wanted: Fix, now: Plan) -> bool:
        """Return whether more faults are on than may be."""
        known = len(self.case.fault)
        allowed = {"all": 0, "one": max(0, known - 1), "none": known}[wanted.off]
        return len(now.faults) > allowed

    def _send(self, wanted: Fix) -> list[str] | Verdict:
        """Send the probes and return their trace ids, or why not."""
        api, ids = f"http://{HOST}:{self.settings.port('order')}", []
        skus = [] if wanted.get else client.skus_in_stock(api)[: wanted.lines]
        with new_session() as session:
            for number in range(PROBES * (INSTANCES if wanted.instances else 1)):
                if wanted.get:
                    response = _patiently(partial(session.get, api + wanted.get))
                else:
                    order = _order(skus, wanted.quantity, number)
                    response = _patiently(partial(client.place_order, api, order, str(uuid.uuid4())))
                trace_id = client.trace_id_of(response)
                if not response.ok or not trace_id:
                    return Verdict(False, f"a new request is refused: {response.status_code} {response.text[:200]}")
                ids.append(trace_id)
                time.sleep(PROBE_PAUSE)
        return ids

    def traces(self, ids: list[str]) -> list[Trace]:
        """Return these traces, complete. Raise a ClientError if one does not arrive."""
        return [self._complete(trace_id) for trace_id in ids]

    def _complete(self, trace_id: str) -> Trace:
        fetched = self.evidence.api.wait_for_trace(trace_id, PATIENCE)
        if fetched is None or not fetched.complete:
            raise ClientError(NOT_ARRIVED.format(trace_id) + DOCTOR)
        return fetched.trace


def _patiently(send: Callable[[], requests.Response]) -> requests.Response:
    """Return the response to a request, which is sent again while the service asks for that. Raise a ClientError."""
    began = time.monotonic()
    while (response := send()).status_code in BUSY:
        if time.monotonic() - began > PATIENCE:
            raise ClientError(f"order-service is busy, it responds with {response.status_code}. Check again later.")
        time.sleep(POLL_SECONDS)
    return response


def _order(skus: list[str], quantity: int, number: int) -> dict[str, Any]:
    region = REGIONS[number % len(REGIONS)]
    return client.order_body(
        dict.fromkeys(skus, quantity),
        token="tok_approve",  # noqa: S106
        region=region,
        customer=f"cus_{number}",
    )


def _spans(proof: Proof, wanted: Fix, ids: list[str], _since: int) -> str:
    """Look for spans of the predicate, or for traces without a service where all should be in one trace again."""
    traces = proof.traces(ids)
    touched = [trace for trace in traces if _still(trace, wanted.gone, wanted.arguments)]
    groups = {"": traces}
    if wanted.instances:
        groups = {}
        for trace in traces:
            groups.setdefault(expected.instance_of(trace), []).append(trace)
    for group in groups.values():
        hurt = [trace for trace in group if trace in touched]
        if len(hurt) > len(group) * wanted.noise:
            return f"{len(touched)} of {len(ids)} new orders still show it, such as {hurt[0].trace_id}"
    return ""


def _still(trace: Trace, gone: str, arguments: Mapping[str, Any]) -> bool:
    if gone == "joined":
        return not predicates.has_service(trace, str(arguments["service"]))
    return bool(predicates.matching(trace, gone, dict(arguments)))


def _untraced(proof: Proof, _wanted: Fix, ids: list[str], _since: int) -> str:
    """Look for traces that never arrive, though the log records of the same requests have arrived."""
    missing, logged, news = set(ids), set[str](), time.monotonic()
    while missing and time.monotonic() - news < PATIENCE:
        arrived = {trace_id for trace_id in missing if proof.evidence.api.trace(trace_id)}
        told = {trace_id for trace_id in missing - logged if proof.evidence.logs(trace_id=trace_id)}
        if arrived or told:
            missing, logged, news = missing - arrived, logged | told, time.monotonic()
        time.sleep(POLL_SECONDS)
    if untold := missing - logged:
        raise ClientError(f"{NOT_ARRIVED.format(min(untold))}, nor its log records. Check again.")
    return f"{len(missing)} of {len(ids)} new orders have no trace, such as {min(missing)}" if missing else ""


def _series(proof: Proof, wanted: Fix, ids: list[str], since: int) -> str:
    """Look for new series. An export covers all series, so one that counts the probes shows them all."""
    instrument, attribute = str(wanted.arguments["instrument"]), str(wanted.arguments["attribute"])

    def counted() -> dict[str, float] | None:
        counts = proof.evidence.counts(instrument, attribute, since=since)
        return counts if sum(counts.values()) >= len(ids) or any(counts) else None

    counts = wait_for(counted, PATIENCE, f"{instrument} has not counted the new orders{DOCTOR}")
    found = sorted(key for key in counts if key)
    return f"{instrument} has {len(found)} new series, such as the one of {attribute}={found[0]}" if found else ""


def _memory(proof: Proof, wanted: Fix, _ids: list[str], since: int) -> str:
    """Look for an instance that has grown by so many MB, once each that is in use has exported what came later."""
    until = time.time_ns() // 1000

    def exported() -> dict[str, float] | None:
        used, later = (
            proof.evidence.counts(REQUESTS, "service.instance.id", "order-service", since=moment)
            for moment in (since, until)
        )
        return used if used and used.keys() <= later.keys() else None

    wait_for(exported, PATIENCE, f"not every process of order-service has sent its metrics{DOCTOR}")
    growth = expected.memory_growth(proof.evidence, since)
    grown = [instance for instance, mb in growth.items() if mb > float(wanted.arguments["mb"])]
    return f"{grown[0]} has grown by {growth[grown[0]]:.0f} MB with the new orders" if grown else ""


def _no_hang(_proof: Proof, _wanted: Fix, _ids: list[str], _since: int) -> str:
    """Look no further: each of the probes has got its response."""
    return ""


SHOWN: dict[str, Shown] = {"untraced": _untraced, "series": _series, "memory": _memory, HANG: _no_hang}
"""What is looked for by another way than a predicate of spans."""
