"""A copy of the project with one more service: what a reader does first, done by a test."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = "notification"
NAME = "loyalty"
ENTRY = f'\n[{NAME}]\nport = 8084\ncalls = ["payment"]\ncache = true\npage = "Points"\n'
FOLDERS = ("services", "migrations", "tests")
NOT_SOURCE = shutil.ignore_patterns(
    ".git", ".venv", ".uv", ".cache", ".*_cache", ".waybill", ".hypothesis", "__pycache__", "node_modules", "dist"
)


def copy_with_a_fifth_service(target: Path, *, registered: bool = True) -> Path:
    """Copy the project to `target` and add a service: three folders and, unless told otherwise, its entry."""
    shutil.copytree(ROOT, target, ignore=NOT_SOURCE)
    for folder in FOLDERS:
        new = target / folder / NAME
        shutil.copytree(target / folder / TEMPLATE, new)
        for path in list(new.rglob("*")):
            if path.is_file():
                path = path.rename(path.with_name(path.name.replace(TEMPLATE, NAME)))
                path.write_text(path.read_text().replace(TEMPLATE, NAME).replace(TEMPLATE.title(), NAME.title()))
    if registered:
        with (target / "services.toml").open("a") as registry:
            registry.write(ENTRY)
        run(target, "-m", "local.generate")
    return target


def run(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the copy, whose modules then come before those of this project."""
    return subprocess.run([sys.executable, *arguments], cwd=copy, capture_output=True, text=True)
