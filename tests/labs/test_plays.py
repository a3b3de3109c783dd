"""Labs of three kinds, played through on a whole local stack. All labs: `make test-labs`."""

from collections.abc import Iterator

import pytest

from tests.support.labs import rehearsed, waybill
from tests.support.local_stack import LocalStack, local_stack

pytestmark = [pytest.mark.timeout(3600), pytest.mark.xdist_group("labs-on-a-stack")]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """One stack for all: each lab leaves it as it was."""
    with local_stack(tmp_path_factory.mktemp("labs"), {}) as started:
        yield started


@pytest.mark.parametrize(
    ("name", "seed", "kind"),
    [("lost-thread", 1, "release"), ("paid-twice", 2, "link"), ("it-waits", 3, "neighbor")],
)
def test_a_lab_gives_points_for_what_is_found_and_fixed_and_leaves_the_stack_as_it_was(
    running: LocalStack, name: str, seed: int, kind: str
) -> None:
    row = rehearsed(running, name, seed)

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
