"""The rules of the house, kept by tools."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent


@pytest.mark.parametrize(
    "command",
    [
        ["lint-imports"],
        ["ruff", "check"],
        ["ruff", "format", "--check"],
        ["mypy"],
        ["npm", "--prefix", "web", "run", "--silent", "check"],
        ["npm", "--prefix", "web", "run", "--silent", "test"],
    ],
    ids=["imports", "lint", "format", "types", "page-lint-and-types", "page-modules"],
)
def test_the_code_keeps_the_rules(command: list[str]) -> None:
    # npm starts node by its name.
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    result = subprocess.run([BIN / command[0], *command[1:]], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_each_service_is_one_name_in_three_folders() -> None:
    services = {path.parent.name for path in ROOT.glob("services/*/routes.py")}
    assert services
    for folder in ("migrations", "tests"):
        assert services <= {path.name for path in (ROOT / folder).iterdir()}


def test_a_service_keeps_its_files_where_every_service_has_them() -> None:
    promised = {"__init__", "models", "routes", "schemas", "settings", "telemetry", "use_cases"}
    for service in ROOT.glob("services/*/"):
        if (service / "routes.py").exists():
            assert promised <= {path.stem for path in service.glob("*.py")}, service.name
            assert (service / "README.md").exists(), service.name


def test_the_makefile_explains_each_target() -> None:
    text = (ROOT / "Makefile").read_text()
    phony = next(line for line in text.splitlines() if line.startswith(".PHONY:")).split()[1:]
    assert phony
    for target in phony:
        assert any(line.startswith(f"{target}:") and "## " in line for line in text.splitlines()), target
