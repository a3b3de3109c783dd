"""Labs of three kinds, played through on a whole local stack. The other labs: `waybill lab rehearse`."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.local_stack import UP, LocalStack, local_stack
from waybill_explorer.client import TraceApi
from waybill_explorer.transfer.client import import_file

pytestmark = [pytest.mark.timeout(3600), pytest.mark.xdist_group("labs-on-a-stack")]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """One stack for all: each lab leaves it as it was."""
    with local_stack(tmp_path_factory.mktemp("labs"), {}) as started:
        yield started


def waybill(running: LocalStack, *arguments: str) -> tuple[int, str]:
    """Run a command on the stack and return its exit status and output."""
    command = [UP[0], *arguments]
    result = subprocess.run(command, env=dict(running.environment), capture_output=True, text=True)
    return result.returncode, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("name", "seed", "kind"),
    [("lost-thread", 1, "release"), ("paid-twice", 2, "link"), ("it-waits", 3, "neighbor")],
)
def test_a_lab_gives_points_for_what_is_found_and_fixed_and_leaves_the_stack_as_it_was(
    running: LocalStack, name: str, seed: int, kind: str
) -> None:
    status, output = waybill(running, "lab", "rehearse", name, "--seed", str(seed), "--json")
    rows: list[dict[str, Any]] = json.loads(output)

    assert status == 0, output
    (row,) = rows
    assert row["kind"] == kind
    assert row["problem"] == ""
    assert row["untouched"] == 0
    assert row["wrong"] == 0
    assert row["solved"] == 100


def test_a_case_is_exported_with_the_truth_of_each_request_and_imported_again(
    running: LocalStack, tmp_path: Path
) -> None:
    arguments = ("lab", "export", "paid-twice", str(tmp_path), "--seeds", "2", "--orders", "8")

    status, output = waybill(running, *arguments, "--json")

    assert status == 0, output
    (row,) = json.loads(output)
    folder = tmp_path / "paid-twice" / "seed-2"
    truth = json.loads((folder / "truth.json").read_text())
    assert (truth["kind"], truth["service"], truth["hurt_by"]) == ("link", "payment-service", "injector")
    by_window = {name: [one for one in truth["requests"] if one["window"] == name] for name in ("normal", "fault")}
    assert min(map(len, by_window.values())) >= 8
    assert not any(one["hurt"] for one in by_window["normal"])
    hurt = [one for one in by_window["fault"] if one["hurt"]]
    assert row["hurt"] == len(hurt) > 0
    assert {one["trace_id"] for one in hurt} <= {line["trace_id"] for line in truth["injected"]}
    assert all(one["spans"] for one in hurt if one["operation"] == "POST /orders")
    again = (folder / "truth.json").stat()
    assert waybill(running, *arguments)[0] == 0
    assert (folder / "truth.json").stat() == again  # it is there, and not played again
    files = [folder / name for name in ("traces.jsonl", "logs.json", "metrics.json")]
    found = [import_file(TraceApi(running.traces_url), file, lambda _: None) for file in files]
    stored = [found[0]["spans"], found[1]["logs"], found[2]["points"]]
    assert all(counts["refused"] == 0 and counts["stored"] + counts["known"] > 0 for counts in stored)
    assert found[0]["spans"]["stored"] == found[1]["logs"]["stored"] == 0  # all of it is still there
    assert waybill(running, "lab", "status")[0] == 1


def test_a_setting_that_the_service_refuses_is_reported_and_taken_back(running: LocalStack) -> None:
    before = running.process("payment-service").environ()

    status, output = waybill(running, "fault", "on", "setting", "payment", "PROCESSOR_LATENCY_MS=soon")

    assert status == 1
    assert "payment-service cannot start: bad setting PROCESSOR_LATENCY_MS" in output
    assert waybill(running, "fault", "status") == (0, "No fault is on.\n")
    assert running.process("payment-service").environ() == before
