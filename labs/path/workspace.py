"""The learner's folder: the service, the addresses of the stack, and which steps are passed."""

import json
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local import data_folder
from local.ports import free_port
from local.settings import HOST, LocalSettings
from waybill_explorer.client import ClientError

HERE = Path(__file__).parent
GIFT = HERE / "gift"
SOLUTIONS = HERE / "solutions"
PAGES = HERE / "pages"
STEPS = range(9)
ENVIRONMENT = "stack.env"
MARK = "WAYBILL_GIFT_FOLDER"
"""The variable by which `waybill lab path stop` knows what was started in the folder."""
GIFT_PORT = 8090
SECOND_DATA = "second-backend"
DATABASE = "gift.db"

STACK_ENV = """\
# Written by `waybill lab path start`. What is already set wins: the checker sets ports of its own.
export {mark}="{folder}"
export PATH="{bin}:$PATH"
export PORT="${{PORT:-{port}}}"
export SHOP="${{SHOP:-{shop}}}"
export OTEL_EXPORTER_OTLP_ENDPOINT="${{OTEL_EXPORTER_OTLP_ENDPOINT:-{otlp}}}"
# For step 6: where the Collector listens, and the backend that it sends to.
export COLLECTOR_OTLP="${{COLLECTOR_OTLP:-{host}:{collector}}}"
export BACKEND_OTLP="${{BACKEND_OTLP:-{backend}}}"
# For step 7.
export SECOND_BACKEND="{second}"
"""
SECOND = """\
#!/bin/sh
# Starts the second backend of step 7: `sh second`. Its page: http://{host}:{page}/
. ./stack.env
exec "{bin}/waybill-explorer" --port {page} --http-port {http} --grpc-port {grpc} --data {data}
"""


@dataclass(frozen=True)
class Workspace:
    """The folder `gift` with the learner's service, beside the file of what is passed."""

    folder: Path
    shop: str
    """Base URL of order-service."""
    explorer: str
    """Base URL of the read API."""
    otlp: str
    """host:port of the explorer's OTLP/gRPC."""

    @property
    def started(self) -> bool:
        """Whether the learner's folder is there."""
        return (self.folder / ENVIRONMENT).exists()

    @property
    def progress(self) -> Path:
        return self.folder.parent / "gift.json"

    def require(self) -> None:
        """Raise ClientError if there is no learner's folder."""
        if not self.started:
            raise ClientError(f"{self.folder} is not there. Start with `waybill lab path start`.")

    def file(self, name: str) -> str:
        """Return the text of one of the learner's files, or nothing."""
        try:
            return (self.folder / name).read_text(errors="replace")
        except OSError:
            return ""

    def state(self) -> dict[str, Any]:
        """Return what is kept: `passed` maps the number of a step to the time (Unix, s), `second` has the ports."""
        try:
            found = json.loads(self.progress.read_text())
        except (OSError, ValueError):
            return {"passed": {}, "second": {}}
        return found if isinstance(found, dict) else {"passed": {}, "second": {}}

    def passed(self) -> dict[int, float]:
        """Return the time (Unix, s) at which each step was first passed."""
        return {int(step): at for step, at in self.state()["passed"].items()}

    def mark_passed(self, step: int) -> None:
        """Note that a step is passed, unless it was before."""
        state = self.state()
        state["passed"].setdefault(str(step), time.time())
        self._keep(state)

    def next_step(self) -> int | None:
        """Return the first step that is not passed, None after the last."""
        passed = self.passed()
        return next((step for step in STEPS if step not in passed), None)

    def ports(self) -> dict[str, int]:
        """Return the ports `page`, `http` and `grpc` of the second backend, and that of the `collector`."""
        return dict(self.state()["second"])

    def create(self) -> None:
        """Copy the service into the folder, unless it is there, and write the addresses of the stack."""
        if not self.started:
            self.folder.mkdir(parents=True, exist_ok=True)
            shutil.copytree(GIFT, self.folder, dirs_exist_ok=True)
            (self.folder / "run").chmod(0o755)
        state = self.state()
        if not state["second"]:
            taken: list[int] = []
            for port in (16686, 4318, 4317, 4317):
                taken.append(free_port(port, taken))
            state["second"] = dict(zip(("page", "http", "grpc", "collector"), taken, strict=True))
            self._keep(state)
        ports = state["second"]
        bin = Path(sys.executable).parent
        text = STACK_ENV.format(
            mark=MARK,
            folder=self.folder,
            bin=bin,
            host=HOST,
            port=GIFT_PORT,
            shop=self.shop,
            otlp=f"http://{self.otlp}",
            backend=self.otlp,
            collector=ports["collector"],
            second=f"http://{HOST}:{ports['grpc']}",
        )
        (self.folder / ENVIRONMENT).write_text(text)
        (self.folder / "second").write_text(SECOND.format(bin=bin, host=HOST, data=SECOND_DATA, **ports))

    def reset(self, step: int) -> Path | None:
        """Put the files back as they are at the start of a step; return where the learner's own are kept."""
        kept = self._set_aside()
        self.create()
        for number in range(step):
            self._lay(SOLUTIONS / str(number))
        return kept

    def solve(self, step: int) -> Path | None:
        """Put the model solution of a step in place; return where the learner's own files are kept."""
        kept = self.reset(step)
        self._lay(SOLUTIONS / str(step))
        return kept

    def _lay(self, files: Path) -> None:
        if files.is_dir():
            shutil.copytree(files, self.folder, dirs_exist_ok=True)

    def _set_aside(self) -> Path | None:
        """Copy the learner's files to a folder beside it and remove them; the folder stays: terminals are in it."""
        files = [path for path in self.folder.glob("*") if path.is_file() and not is_left_by_service(path)]
        if not files:
            return None
        kept = self.folder.with_name(f"gift-{time.strftime('%Y%m%d-%H%M%S')}")
        while kept.exists():
            kept = kept.with_name(f"{kept.name}-2")
        kept.mkdir()
        for path in files:
            shutil.move(path, kept)
        return kept

    def _keep(self, state: dict[str, Any]) -> None:
        partial = self.progress.with_suffix(".tmp")
        partial.write_text(json.dumps(state, indent=2) + "\n")
        partial.replace(self.progress)


def workspace(settings: LocalSettings) -> Workspace:
    """Return the learner's folder in the data folder, with the addresses of the local stack."""
    return Workspace(
        folder=settings.waybill_data / "labs" / "work" / "gift",
        shop=f"http://{HOST}:{settings.port('order')}",
        explorer=f"http://{HOST}:{settings.traces_port}",
        otlp=f"{HOST}:{settings.otlp_grpc_port}",
    )


def is_left_by_service(path: Path) -> bool:
    """Return whether the service or the second backend writes this file, not the learner."""
    return path.name.startswith(DATABASE) or bool({"__pycache__", SECOND_DATA} & set(path.parts))


def create(settings: LocalSettings) -> Workspace:
    """Make the learner's folder, in a data folder that only its owner can read."""
    space = workspace(settings)
    with data_folder.private(settings.waybill_data):
        space.create()
    return space
