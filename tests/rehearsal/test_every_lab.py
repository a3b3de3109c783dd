"""Every lab, played through by three seeds on a local stack, and a case exported: `make test-labs`, about an hour."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.project_texts import ROOT
from tests.support.labs import rehearsed, waybill
from tests.support.local_stack import LocalStack, local_stack
from waybill_explorer.client import TraceApi
from waybill_explorer.transfer.client import import_file

LABS = sorted(path.parent.name for path in (ROOT / "labs" / "catalog").glob("*/lab.toml"))
SEEDS = (1, 2, 3)
MOST_POINTS = 30
"""For what can be had without finding anything."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """One stack for all: each lab leaves it as it was."""
    with local_stack(tmp_path_factory.mktemp("labs"), {}) as started:
        yield started


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", LABS)
def test_a_lab_gives_points_for_what_is_found_and_fixed(running: LocalStack, name: str, seed: int) -> None:
    row = rehearsed(running, name, seed)

    assert row["problem"] == ""
    assert row["untouched"] == "-" or row["untouched"] < MOST_POINTS
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
