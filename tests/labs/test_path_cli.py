"""`waybill lab path` without a stack: the learner's folder, the pages, and where findings say to read."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import requests
from typer.testing import CliRunner, Result

from labs.path.cli import app
from labs.path.workspace import PAGES, STEPS
from local.ports import free_port
from tests.project_texts import ROOT
from tests.support import processes
from tests.support.servers import free_port as any_free_port
from tests.support.waiting import until


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the learner's folder is going to be, beside a stack that does not run."""
    monkeypatch.setenv("WAYBILL_DATA", str(tmp_path / "data"))
    for variable in ("ORDER_PORT", "TRACES_PORT"):
        monkeypatch.setenv(variable, str(any_free_port()))
    return tmp_path / "data" / "labs" / "work" / "gift"


def path(*arguments: str) -> Result:
    """Run `waybill lab path` with these arguments."""
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})


def page(step: int) -> str:
    """The text of the page of a step."""
    (file,) = PAGES.glob(f"{step}-*.md")
    return file.read_text()


def headings(text: str) -> set[str]:
    """The headings of a document, in small letters."""
    return {heading.lower() for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


def test_the_start_copies_the_service_and_prints_the_first_page(folder: Path) -> None:
    started = path("start")
    assert started.exit_code == 0
    assert "A service in the dark" in started.stdout
    assert f"cd{folder}" in "".join(started.stdout.split())
    assert (folder / "gift.py").read_bytes() == (ROOT / "labs" / "path" / "gift" / "gift.py").read_bytes()
    assert folder.parents[2].stat().st_mode & 0o077 == 0


def test_a_second_start_keeps_what_the_learner_wrote(folder: Path) -> None:
    path("start")
    (folder / "run").write_text("mine")
    assert path("start").exit_code == 0
    assert (folder / "run").read_text() == "mine"


def test_nothing_works_before_the_start(folder: Path) -> None:
    for command in ("status", "brief", "check", "stop"):
        refused = path(command)
        assert refused.exit_code == 1, command
        assert "waybill lab path start" in " ".join(refused.stderr.split())
    assert not folder.exists()


def test_the_status_says_what_is_next(folder: Path) -> None:
    path("start")
    assert json.loads(path("status", "--json").stdout) == {"folder": str(folder), "passed": [], "next": 0}
    assert "▸ 0  A service in the dark" in path("status").stdout


@pytest.mark.usefixtures("folder")
def test_a_stack_that_does_not_run_is_no_grade() -> None:
    path("start")
    checked = path("check", "--json")
    assert checked.exit_code == 1
    assert "make demo" in checked.stderr
    assert checked.stdout == ""


def test_a_solution_keeps_the_files_of_the_learner(folder: Path) -> None:
    path("start")
    (folder / "gift.py").write_text("mine")
    solved = path("solve", "2")
    assert "tracing.py" in solved.stdout
    (kept,) = folder.parent.glob("gift-*")
    assert (kept / "gift.py").read_text() == "mine"
    assert path("reset").exit_code == 0
    assert not (folder / "tracing.py").exists()


def test_stop_ends_the_service_and_not_a_shell_in_its_folder(folder: Path) -> None:
    path("start")
    port = free_port(8090, [])
    environment = {"PORT": str(port), "PATH": "/usr/bin:/bin"}
    shell = processes.start(["/bin/sh", "-c", "read line"], cwd=folder, stdin=subprocess.PIPE)
    service = processes.start(["/bin/sh", "run"], cwd=folder, env=environment, stderr=subprocess.DEVNULL)
    try:
        until(lambda: service.poll() is None and _responds(port))
        assert str(service.pid) in path("stop").stdout
        service.wait(60)
        assert shell.poll() is None
        assert path("stop").stdout == "Nothing runs from the folder.\n"
    finally:
        service.kill()
        service.wait()
        shell.communicate(b"\n")


def _responds(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/", timeout=60).status_code == 404
    except requests.RequestException:
        return False


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("step", STEPS)
def test_each_page_has_a_goal_a_task_and_how_it_is_checked(step: int) -> None:
    path("start")
    text = page(step)
    assert text.startswith(f"# {step}. ")
    assert "**Goal.**" in text
    assert {"what to do", "how it is checked"} <= headings(text)
    printed = path("brief", str(step))
    assert printed.exit_code == 0
    assert not re.search(r"<[A-Z_]+>", printed.stdout)


def test_what_a_finding_says_to_read_is_there() -> None:
    sources = "".join(file.read_text() for file in (ROOT / "labs" / "path").glob("*.py"))
    sections = re.findall(r'read=f?"brief (\d), ([^":{]+)', sources)
    concepts = re.findall(r'"docs/concepts\.md, (\w+)"', sources)
    assert len(sections) > 20
    assert [(step, section) for step, section in sections if section not in headings(page(int(step)))] == []
    assert set(concepts) <= headings((ROOT / "docs" / "concepts.md").read_text())
    assert len(concepts) > 3
