"""The files of a new service, made from those of services/skeleton and its folders of migrations and tests."""

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path

from local.registry import ALL, Service
from local.settings import ROOT
from template.rules import CODE_OF_CALLS, FILES_OF_CALLS
from waybill_explorer.client import ClientError

SKELETON = ALL["skeleton"]
(CALLED,) = SKELETON.calls
"""The service that the skeleton calls: what names it is repeated for each service that the new one calls."""
FOLDERS = ("services", "migrations", "tests")


def files_of(service: Service) -> dict[str, str]:
    """Return the text of each file of a service that is like the skeleton, by its path in the project."""
    return {
        str(path.relative_to(ROOT)).replace(SKELETON.name, service.name): _formatted(path, _text(path, service))
        for path in files_in(SKELETON.name)
        if service.calls or path.name not in FILES_OF_CALLS
    }


def files_in(name: str) -> Iterator[Path]:
    """Yield every file in the folders of a service, without what Python compiles."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder / name).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path


def _text(path: Path, service: Service) -> str:
    text = path.read_text()
    if not service.calls:
        for code in CODE_OF_CALLS:
            text = text.replace(code, "")
    words = {SKELETON.name: service.name, str(SKELETON.port): str(service.port)}
    blocks = groupby(text.splitlines(keepends=True), lambda line: CALLED in line.lower())
    return "".join(
        _replaced(block, {**words, CALLED: called})
        for names_called, lines in blocks
        for block in ["".join(lines)]
        for called in (service.calls if names_called else [CALLED])
    )


def _replaced(text: str, words: Mapping[str, str]) -> str:
    """Return the text with other words, in lower and upper case."""
    every = {**words, **{old.upper(): new.upper() for old, new in words.items()}}
    return re.sub("|".join(every), lambda match: every[match[0]], text)


def _formatted(path: Path, text: str) -> str:
    """Return the text as the linter wants it, without the imports that have become superfluous."""
    if path.suffix != ".py":
        return re.sub(r"\n{3,}", "\n\n", text)
    module = path.with_name("module.py")  # of an __init__.py, ruff leaves superfluous imports alone
    for command in (["check", "--quiet", "--fix-only", "--select", "F401,I001"], ["format", "--quiet"]):
        text = ruff(*command, "--stdin-filename", str(module), "-", text=text)
    return text


def ruff(*arguments: str, text: str) -> str:
    """Return what ruff makes of a text. Raise a ClientError if it is not installed or refuses the text."""
    program = Path(sys.executable).with_name("ruff")
    if not program.exists():
        raise ClientError("ruff, which formats the new files, is not installed. Run `make setup`.")
    done = subprocess.run([program, *arguments], input=text, cwd=ROOT, capture_output=True, text=True)  # noqa: S603
    if done.returncode:
        raise ClientError(
            f"ruff refuses generated code: {(done.stdout + done.stderr).strip()}. Correct the skeleton, or the "
            "declaration in telemetry.yaml."
        )
    return done.stdout
