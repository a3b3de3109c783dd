"""Releases of a service: copies of `app/` and `services/` with a patch, each under the next version."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from labs.faults import Release, folder
from local.settings import ROOT, LocalSettings
from waybill_explorer.client import ClientError

PARTS = ("app", "services")
VERSION = re.compile(r'^VERSION = "(\d+)\.(\d+)\.(\d+)"$', re.MULTILINE)


def base_version() -> str:
    """Return the version that the services report without any release."""
    found = VERSION.search((ROOT / "services" / "__init__.py").read_text())
    return ".".join(found.groups()) if found else "unknown"


def build(settings: LocalSettings, service: str, patch: str) -> Release:
    """Copy the code, apply the text of a patch if there is one, and give it the next version. Raise a ClientError."""
    target = _next_folder(settings)
    for part in PARTS:
        shutil.copytree(ROOT / part, target / part, ignore=shutil.ignore_patterns("__pycache__"))
    if patch:
        apply(target, patch)
    return Release(service=service, version=_bump(target), folder=target)


def rebuild(settings: LocalSettings, release: Release) -> Release:
    """Return the next release, from the code of one as it was edited."""
    target = _next_folder(settings)
    shutil.copytree(release.folder, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    return Release(service=release.service, version=_bump(target), folder=target)


def apply(target: Path, patch: str) -> None:
    """Apply the text of a patch to a copy of the code. Raise a ClientError."""
    # Inside a repository, git takes paths as relative to its top and silently skips what is not in the folder.
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(target.parent)}
    command = ["git", "apply", "--whitespace=nowarn", "-"]
    result = subprocess.run(command, cwd=target, env=environment, input=patch, capture_output=True, text=True)  # noqa: S603
    if result.returncode:
        raise ClientError(f"the patch does not fit the code: {result.stderr.strip()}")


def _next_folder(settings: LocalSettings) -> Path:
    numbers = [int(path.name.removeprefix("release-")) for path in folder(settings).glob("release-*")]
    target = folder(settings) / f"release-{max(numbers, default=0) + 1}"
    target.mkdir(parents=True)
    return target.resolve()


def _bump(target: Path) -> str:
    """Raise the last part of the version that the code reports by one, and return it."""
    file = target / "services" / "__init__.py"
    text = file.read_text()
    found = VERSION.search(text)
    if not found:
        raise ClientError(f"{file} has no VERSION: the release cannot be told from the one before.")
    version = f"{found[1]}.{found[2]}.{int(found[3]) + 1}"
    file.write_text(VERSION.sub(f'VERSION = "{version}"', text))
    return version
