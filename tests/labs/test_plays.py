"""Labs of three kinds, played through on a whole local stack. The other labs: `waybill lab rehearse`."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.local_stack import UP, LocalStack, local_stack

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


def test_a_setting_that_the_service_refuses_is_reported_and_taken_back(running: LocalStack) -> None:
    before = running.process("payment-service").environ()

    status, output = waybill(running, "fault", "on", "setting", "payment", "PROCESSOR_LATENCY_MS=soon")

    assert status == 1
    assert "payment-service cannot start: bad setting PROCESSOR_LATENCY_MS" in output
    assert waybill(running, "fault", "status") == (0, "No fault is on.\n")
    assert running.process("payment-service").environ() == before
