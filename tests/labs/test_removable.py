"""The labs use the project as its other parts do, and can be removed."""

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.project_texts import ROOT
from tests.support.fifth_service import copy_of_the_project, run

EXTENSIONS = """
from local.processes import process_table
from local.settings import LocalSettings
print(process_table(LocalSettings())[0].environment["WAYBILL_EXTENSIONS"])
"""
"""What the explorer of the local stack is given."""
NEIGHBORS = ROOT / "labs" / "neighbors"
"""Services of other teams: they are on the kit, as any service is."""


def imported(file: Path) -> Iterator[str]:
    """Yield the top-level packages that a module imports."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def test_the_labs_import_neither_the_kit_nor_the_services() -> None:
    files = [*(ROOT / "labs").glob("*.py")]
    assert len(files) > 10
    assert [str(file) for file in files if {"app", "services"} & set(imported(file))] == []
    neighbors = [*NEIGHBORS.glob("*.py")]
    assert [str(file) for file in neighbors if {"services", "local", "labs"} & set(imported(file))] == []


def test_the_proxy_needs_only_the_standard_library() -> None:
    assert set(imported(ROOT / "labs" / "link.py")) <= sys.stdlib_module_names


def test_without_the_folder_the_commands_documents_and_rules_are_as_they_should_be(tmp_path: Path) -> None:
    copy = copy_of_the_project(tmp_path / "copy")
    assert " lab " in run(copy, "-m", "local.cli", "--help").stdout
    assert run(copy, "-c", EXTENSIONS).stdout == "labs.web:extension\n"

    shutil.rmtree(copy / "labs")

    help_text = run(copy, "-m", "local.cli", "--help")
    assert help_text.returncode == 0, help_text.stderr
    assert " fault " not in help_text.stdout
    assert " lab " not in help_text.stdout
    assert run(copy, "-c", EXTENSIONS).stdout == "\n"
    binaries = Path(sys.executable).parent
    for command in (["lint-imports", "--no-cache"], ["ruff", "check", "--no-cache"]):
        result = subprocess.run([binaries / command[0], *command[1:]], cwd=copy, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr
    tests = run(copy, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", "tests/labs", "tests/test_docs.py")
    assert tests.returncode == 0, tests.stdout
    found = run(copy, "-m", "pytest", "--collect-only", "-q", "-n0", "-p", "no:cacheprovider", "tests/browser")
    assert found.returncode == 0, found.stdout
    assert "test_labs" not in found.stdout
