"""The rules of the house, kept by tools."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from services import VERSION
from tests.support.fifth_service import NAME, copy_with_a_fifth_service

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


BREACHES = {
    "app/health.py": (f"services.{NAME}.models", "app.health -> services.NAME.models"),
    "local/ports.py": (f"services.{NAME}.models", "local.ports -> services.NAME.models"),
    f"services/{NAME}/__init__.py": ("local.settings", "services.NAME -> local.settings"),
    f"services/{NAME}/settings.py": ("services.order.settings", "services.NAME.settings -> services.order.settings"),
    f"services/{NAME}/use_cases.py": (f"services.{NAME}.routes", "services.NAME.use_cases -> services.NAME.routes"),
    f"services/{NAME}/channels.py": (f"services.{NAME}.use_cases", "services.NAME.channels -> services.NAME.use_cases"),
    f"services/{NAME}/recovery.py": (f"services.{NAME}.use_cases", "services.NAME.recovery -> services.NAME.use_cases"),
    f"services/{NAME}/saga.py": (f"services.{NAME}.recovery", "services.NAME.saga -> services.NAME.recovery"),
    f"services/{NAME}/models.py": ("flask", "services.NAME.models -> flask"),
    "local/load.py": ("waybill_explorer.store", "local.load -> waybill_explorer.store"),
    "local/health.py": ("labs.plan", "local.health -> labs"),
    f"services/{NAME}/pricing.py": ("werkzeug", "services.NAME.pricing -> werkzeug"),
}
"""File of a copy -> what it imports and must not, and how the report names that."""


def test_a_service_that_is_registered_nowhere_is_held_to_every_import_rule(tmp_path: Path) -> None:
    copy = copy_with_a_fifth_service(tmp_path / "copy", registered=False)
    command = [str(BIN / "lint-imports"), "--no-cache"]
    kept = subprocess.run(command, cwd=copy, capture_output=True, text=True)
    assert kept.returncode == 0, kept.stdout + kept.stderr
    for file, (module, _) in BREACHES.items():
        path = copy / file
        path.write_text(f"{path.read_text() if path.exists() else ''}\nimport {module}\n")
    broken = subprocess.run(command, cwd=copy, capture_output=True, text=True)
    assert broken.returncode == 1
    report = " ".join(broken.stdout.split())
    assert [breach for _, breach in BREACHES.values() if breach.replace("NAME", NAME) not in report] == []
    # Installed, so that a copy's would not be the one that is read.
    assert "KEPT" not in re.sub("The (explorer|lean SDK) knows nothing of the project around it KEPT", "", report)


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


def test_the_services_report_the_version_of_the_project() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION
