"""A project of its own is made from the files that run here, under its own names."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from template.render import render
from template.rules import FILES, OPTIONS
from tests.conftest import ROOT

ANSWERS: dict[str, object] = {
    "name": "acme-billing",
    "port": 8000,
    "database": "postgresql",
    "cache": False,
    "background_task": False,
    "ci": True,
    "license": "proprietary",
}
OUR_NAMES = {
    "README.md": 1,  # the origin
    "LICENSE": 1,  # whose copyright the kit's license names
    "acme_billing/kit/LICENSE": 1,
    "pyproject.toml": 2,  # the explorer, a dependency of `make demo`
    "tools/demo.py": 1,
}
"""How many lines of each file of a project name this one."""
OUR_BUSINESS = re.compile(
    r"shop|storefront|inventory|payment|notification|customer|skeleton|order-service", re.IGNORECASE
)
VARIANTS: tuple[dict[str, object], ...] = (
    {},
    {"database": "sqlite", "cache": True, "background_task": True, "license": "MIT", "ci": False},
    {"license": "Apache-2.0", "cache": True},
    {"name": "x" * 40, "background_task": True},
)


@pytest.mark.parametrize("changes", VARIANTS, ids=["defaults", "sqlite", "apache", "long-name"])
def test_no_file_names_this_project_or_its_business(changes: dict[str, object]) -> None:
    answers = ANSWERS | changes
    files = render(answers)
    assert len(files) > 60
    named = {
        path: lines
        for path, text in files.items()
        if (lines := sum("waybill" in line.lower() for line in text.splitlines()))
    }
    assert {
        path.replace(str(answers["name"]), "acme_billing"): n for path, n in named.items()
    }.items() <= OUR_NAMES.items()
    business = {path: match[0] for path, text in files.items() if (match := OUR_BUSINESS.search(f"{path}\n{text}"))}
    assert business == {}


@pytest.mark.parametrize("changes", VARIANTS, ids=["defaults", "sqlite", "apache", "long-name"])
def test_what_a_file_uses_of_another_is_there(changes: dict[str, object]) -> None:
    files = {
        path.removesuffix(".py").removesuffix("/__init__").replace("/", "."): ast.parse(text)
        for path, text in render(ANSWERS | changes).items()
        if path.endswith(".py")
    }
    missing = [
        f"{module}: from {node.module} import {alias.name}"
        for module, tree in files.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module in files
        for alias in node.names
        # ruff removes what is imported and not used.
        if alias.name in {each.id for each in ast.walk(tree) if isinstance(each, ast.Name)}
        if f"{node.module}.{alias.name}" not in files and alias.name not in _names(files[node.module])
    ]
    assert missing == []


def _names(tree: ast.Module) -> set[str]:
    """What a module has at its top level."""
    return {
        name
        for node in ast.walk(tree)
        if not isinstance(node, ast.Attribute)
        for name in (
            getattr(node, "name", None),
            getattr(node, "asname", None),
            node.id if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) else None,
        )
        if name
    }


def test_answers_decide_which_files_there_are() -> None:
    plain, full = render(ANSWERS), render(ANSWERS | {"cache": True, "background_task": True, "license": "MIT"})
    assert set(full) - set(plain) == {"LICENSE", "tests/service/test_cached_notes.py", "tests/service/test_cleanup.py"}
    without_ci = render(ANSWERS | {"ci": False})
    assert set(plain) - set(without_ci) == {".github/dependabot.yml", ".github/workflows/ci.yml"}
    assert "psycopg" in plain["pyproject.toml"]
    assert "psycopg" not in render(ANSWERS | {"database": "sqlite"})["pyproject.toml"]


@pytest.mark.parametrize("name", ["flask", "redis", "import", "json", "tests", "migrations"])
def test_a_name_that_would_hide_another_package_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is the name of something else"):
        render(ANSWERS | {"name": name})


@pytest.mark.parametrize("rules", [FILES, *OPTIONS.values()])
def test_a_rule_that_matches_nothing_is_an_error(
    rules: dict[str, tuple[tuple[str, str], ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (name, *_) = rules
    monkeypatch.setitem(rules, name, (*rules[name], ("nothing like this", "")))
    with pytest.raises(ValueError, match=re.escape(f"{name}: nothing matches 'nothing like this'.")):
        render(ANSWERS | {"cache": True, "background_task": True, "database": "sqlite"})


def test_the_command_writes_a_project_whose_style_is_ours_and_whose_tests_pass(tmp_path: Path) -> None:
    project = tmp_path / "acme-billing"
    waybill: list[str | Path] = [sys.executable, "-m", "local.cli", "new", "acme-billing", project, "--defaults"]
    answers = [text for option in ("cache", "background_task") for text in ("--set", f"{option}=true")]
    subprocess.run([*waybill, *answers], cwd=ROOT, check=True)
    assert (project / "vendor").is_dir()
    assert (project / "uv.lock").is_file()

    # The environment of this project has what the other needs, in the versions that its lock file names.
    def run(*command: str) -> None:
        environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
        subprocess.run([sys.executable, "-m", *command], cwd=project, env=environment, check=True)

    run("ruff", "check")
    run("ruff", "format", "--check")
    run("pytest", "-q", "-p", "no:cacheprovider", "tests/service", "tests/kit/test_factory.py")
    again = subprocess.run([*waybill], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (again.returncode, "is not empty" in again.stderr) == (1, True)
