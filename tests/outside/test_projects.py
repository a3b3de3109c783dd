"""Projects as their owners get and keep them: run by `make test-outside`, since each installs its own environment."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.conftest import ROOT
from tests.support.servers import free_port
from tests.support.waiting import until

VARIANTS: dict[str, dict[str, Any]] = {
    "postgresql": {"database": "postgresql"},
    "sqlite": {"database": "sqlite", "cache": True, "background_task": True, "license": "MIT"},
}


@pytest.fixture(scope="module", params=VARIANTS)
def project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new project."""
    folder = tmp_path_factory.mktemp("outside") / "acme-billing"
    answers = [f"--set={name}={json.dumps(value).strip(chr(34))}" for name, value in VARIANTS[request.param].items()]
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "local.cli",
        "new",
        "acme-billing",
        folder,
        "--defaults",
        *answers,
    ]
    subprocess.run(command, cwd=ROOT, check=True)
    return folder


def environment(**variables: str) -> dict[str, str]:
    inherited = {name: text for name, text in os.environ.items() if not name.startswith(("OTEL_", "PYTHONPATH"))}
    return inherited | variables


def test_its_tests_and_checks_pass(project: Path) -> None:
    subprocess.run(["make", "test"], cwd=project, env=environment(), check=True)


@pytest.fixture
def demo(project: Path) -> Iterator[tuple[Path, str]]:
    """`make demo` on free ports: the file that it prints to, and the explorer's address."""
    ports = {name: str(free_port()) for name in ("PORT", "TRACES_PORT", "OTLP_GRPC_PORT", "OTLP_HTTP_PORT")}
    printed = project / ".data" / "demo.txt"
    printed.parent.mkdir(exist_ok=True)
    with printed.open("w") as output:
        process = subprocess.Popen(
            ["make", "demo"],
            cwd=project,
            env=environment(**ports),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            until(lambda: "Press Ctrl-C" in printed.read_text() or process.poll() is not None)
            yield printed, f"http://127.0.0.1:{ports['TRACES_PORT']}"
        finally:
            os.killpg(process.pid, signal.SIGINT)
            process.wait()


def test_its_demo_shows_a_trace_in_the_explorer(demo: tuple[Path, str]) -> None:
    printed, explorer = demo
    trace = re.search(r"/trace/([0-9a-f]{32})", printed.read_text())
    assert trace, printed.read_text()
    (found,) = requests.get(f"{explorer}/api/traces/{trace[1]}", timeout=60).json()["data"]
    names = {span["operationName"] for span in found["spans"]}
    assert {"PUT /notes/<uuid:note_id>", "keep_note"} <= names
    assert requests.get(explorer, timeout=60).headers["Content-Type"].startswith("text/html")


def test_an_update_from_an_earlier_version_keeps_the_owner_s_work(tmp_path: Path) -> None:
    template, project = tmp_path / "template", tmp_path / "acme-billing"
    names = ("user.name=owner", "user.email=owner@example.com", "commit.gpgsign=false")
    settings = [text for name in names for text in ("-c", name)]

    def git(folder: Path, *arguments: str) -> str:
        return subprocess.run(
            ["git", *settings, *arguments], cwd=folder, check=True, capture_output=True, text=True
        ).stdout

    def copier(*arguments: str | Path) -> None:
        tools = {"UV": str(ROOT / ".uv/bin/uv"), "WAYBILL_EXPLORER": str(ROOT / "explorer/dist")}
        command: list[str | Path] = [sys.executable, "-m", "copier", *arguments, "--trust", "--defaults", "--quiet"]
        subprocess.run(command, cwd=project if project.exists() else tmp_path, env=environment(**tools), check=True)

    def change(path: Path, old: str, new: str) -> None:
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    git(tmp_path, "clone", "--quiet", str(ROOT), str(template))
    for name in git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard").splitlines():
        if (ROOT / name).is_file():
            (template / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, template / name)
    git(template, "add", "--all")
    git(template, "commit", "--quiet", "--allow-empty", "--message", "one")
    git(template, "tag", "v100.0.0")
    copier("copy", template, project, "--data", "name=acme-billing")
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "start")

    change(project / "acme_billing/service/models.py", "    created_at", "    # the owner's\n    created_at")
    change(project / "pyproject.toml", '    "alembic",\n', '    "alembic",\n    "babel",\n')
    change(project / "README.md", "# acme-billing\n", "# Billing of Acme\n")
    git(project, "commit", "--quiet", "--all", "--message", "our work")

    change(template / "app/background.py", "logger =", "# new in the kit\nlogger =")
    change(template / "services/skeleton/models.py", "class Base(", "# new in the skeleton\nclass Base(")
    change(template / "pyproject.toml", '    "tenacity",\n', '    "tenacity>=9",\n')
    git(template, "commit", "--quiet", "--all", "--message", "two")
    git(template, "tag", "v100.1.0")
    copier("update")

    assert "v100.1.0" in (project / ".copier-answers.yml").read_text()
    assert not re.search("^(UU|AA|\\?\\?)", git(project, "status", "--porcelain"), re.MULTILINE)
    merged = {
        "acme_billing/service/models.py": ("# the owner's", "# new in the skeleton"),
        "acme_billing/kit/background.py": ("# new in the kit",),
        "pyproject.toml": ('"babel"', '"tenacity>=9"'),
        "README.md": ("# Billing of Acme",),
        "uv.lock": ('name = "babel"',),
    }
    for path, texts in merged.items():
        assert all(text in (project / path).read_text() for text in texts), path
