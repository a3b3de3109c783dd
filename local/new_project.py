"""A service project of its own, outside of this repository, by copier: `copier.yml` and `template/`."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from local.settings import ROOT
from waybill_explorer.client import ClientError


def create(name: str, folder: Path, answers: Mapping[str, str], *, ask: bool) -> None:
    """Write the project into `folder`, as this checkout makes it; without `ask`, questions get their defaults.

    Raise a ClientError if the folder cannot be used, an answer is refused or a tool fails; then nothing is written.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ClientError(f"{folder} is not empty. Name another folder: waybill new {name} FOLDER")
    if folder.resolve().is_relative_to(ROOT):
        raise ClientError(f"{folder} is inside of this repository. Name another folder: waybill new {name} FOLDER")
    explorer = subprocess.run(["make", "--silent", "explorer/dist/.built"], cwd=ROOT)  # noqa: S607
    if explorer.returncode:
        raise ClientError("the explorer, which the project contains, could not be built; the error is above")
    # copier works on a clone, which has neither: see template/__main__.py.
    os.environ["WAYBILL_EXPLORER"] = str(ROOT / "explorer" / "dist")
    os.environ.setdefault("UV", str(ROOT / ".uv" / "bin" / "uv"))
    import copier  # after that: its commands get the variables that were set when it was imported
    from copier.errors import CopierError, TaskError

    try:
        # HEAD: copier's default is the latest tag.
        data = {"name": name, **answers}
        copier.run_copy(str(ROOT), folder, data, vcs_ref="HEAD", defaults=not ask, unsafe=True, quiet=True)
    except TaskError as error:
        raise ClientError("the project was not written; the reason is above") from error
    except (CopierError, ValueError) as error:
        raise ClientError(f"the project was not written: {error}") from error


def next_steps(folder: Path) -> str:
    """Return what to do in the new project."""
    return (
        f"{folder} is ready:\n"
        f"  cd {folder}\n"
        "  make demo    a first request and its trace\n"
        "  make test    every test and check\n"
        "  git add --all && git commit --message 'Start the project'    later, copier update --trust merges changes"
    )
