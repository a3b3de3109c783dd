"""A copy of the project with one more service: what a reader does first, done by a test."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAME = "fifth"
"""Not the name of a service that a reader is likely to add."""
HEADER = f"\n[{NAME}]\n"
MORE = 'calls = ["payment"]\ncache = true\npage = "Points"\n'
NOT_SOURCE = shutil.ignore_patterns(
    ".git", ".venv", ".uv", ".cache", ".*_cache", ".waybill", ".hypothesis", "__pycache__", "node_modules", "dist"
)


def copy_of_the_project(target: Path) -> Path:
    """Copy what is no product of a build or a run."""
    return Path(shutil.copytree(ROOT, target, ignore=NOT_SOURCE))


def copy_with_a_fifth_service(target: Path, *, registered: bool = True) -> Path:
    """Copy the project to `target` and add a service; unless told otherwise, its entry has all that one can have."""
    copy_of_the_project(target)
    added = run(target, "-m", "local.cli", "new-service", NAME)
    assert added.returncode == 0, added.stdout + added.stderr
    registry = target / "services.toml"
    text = registry.read_text()
    registry.write_text(text + MORE if registered else without_the_entry(text))
    run(target, "-m", "local.generate")
    return target


def without_the_entry(registry: str) -> str:
    """Return the registry without the fifth service, whose entry is the last one."""
    return registry.partition(HEADER)[0]


def run(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the copy, whose modules then come before those of this project."""
    return subprocess.run([sys.executable, *arguments], cwd=copy, capture_output=True, text=True)
