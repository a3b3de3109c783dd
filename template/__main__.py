"""`python template write|finish`, in the folder of a project: copier runs it after it has written the answers."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

sys.path[0] = str(Path(__file__).resolve().parent.parent)  # this folder is a package of the repository

from template.render import ROOT, explorer_wheel, locked, render

ANSWERS = ".copier-answers.yml"


def write() -> None:
    """Write the project into the current folder, in the one style of its code."""
    files = render(read_answers())
    for name, text in files.items():
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    code = [name for name in files if name.endswith(".py")]
    ruff = ["tool", "run", "--from", f"ruff=={locked()['ruff']}", "ruff"]
    # Other names are sorted and wrapped differently, and what was left out leaves imports that are not used.
    uv(*ruff, "check", "--silent", "--fix", "--exit-zero", *code)
    uv(*ruff, "format", "--quiet", *code)


def finish() -> None:
    """Bring the explorer's wheel and the lock file up to date: once for a new project, and after each update."""
    add_explorer()
    if not Path("uv.lock").exists():
        # The versions that are tested here.
        shutil.copy(ROOT / "uv.lock", "uv.lock")
    try:
        uv("lock", "--quiet")
    except subprocess.CalledProcessError:
        sys.exit("The versions are not locked, see above. After an update: resolve the conflicts, then run `uv lock`.")
    if subprocess.run(["git", "rev-parse", "--git-dir"], capture_output=True, check=False).returncode:
        subprocess.run(["git", "init", "--quiet", "--initial-branch", "main"], check=True)


def add_explorer() -> None:
    """Put the wheel of the explorer into the project, unless this version is there; build it if need be."""
    wheel = Path(explorer_wheel())
    if wheel.exists():
        return
    built = Path(os.environ.get("WAYBILL_EXPLORER", ROOT / "explorer" / "dist")) / wheel.name
    if not built.exists():
        print("Building the explorer, with its page; this takes a minute ...", flush=True)
        subprocess.run(["make", "--quiet", "-C", ROOT, "explorer/dist/.built"], check=True)
    shutil.rmtree(wheel.parent, ignore_errors=True)
    wheel.parent.mkdir()
    shutil.copy(built, wheel)


def read_answers() -> dict[str, Any]:
    """Return the answers that copier has written."""
    answers: dict[str, Any] = yaml.safe_load(Path(ANSWERS).read_text())
    return answers


def uv(*arguments: str) -> None:
    """Run uv: the one that runs copier, that of this repository, or that of the machine."""
    found = os.environ.get("UV") or shutil.which("uv", path=f"{ROOT}/.uv/bin{os.pathsep}{os.environ.get('PATH', '')}")
    if not found:
        sys.exit("uv is not installed, which sorts the imports and locks the versions of the project: pip install uv")
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    subprocess.run([found, *arguments], env=environment, check=True)


if __name__ == "__main__":
    try:
        {"write": write, "finish": finish}[sys.argv[1]]()
    except (ValueError, subprocess.CalledProcessError) as error:
        sys.exit(f"The project cannot be written: {error}")
