"""What the view of the labs and the commands say, without a stack."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from labs import definitions, view
from labs.lab_cli import app
from labs.web import Job
from tests.support.waiting import until

INTERRUPTED = "Its start was interrupted. The stack is as it was."


def test_the_page_can_read_how_a_lab_has_ended_whose_start_was_interrupted() -> None:
    job = Job()
    job.begin("Waiting until the stack is as it was.", lambda: view.ended(None))
    until(lambda: not job.state()["doing"])
    assert job.state() == {"doing": "", "said": INTERRUPTED, "problem": ""}


def test_the_list_has_every_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYBILL_DATA", str(tmp_path))
    output = CliRunner().invoke(app, ["list"]).output
    assert [name for name in definitions.labs() if name not in output] == []
