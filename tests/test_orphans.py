"""What tests start does not outlive them, even when they are killed."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.servers import postgresql_binaries
from tests.support.waiting import until

ROOT = Path(__file__).resolve().parent.parent
START_A_PROCESS = """
from tests.support import processes
child = "import subprocess; subprocess.run(['sleep', '1000'])"
processes.start([sys.executable, "-c", child])
"""
START_POSTGRESQL = """
from tests.support.servers import postgresql_server
server = postgresql_server()
server.__enter__()
"""


def alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize(
    ("program", "last"), [(START_A_PROCESS, "sleep"), (START_POSTGRESQL, "postgres")], ids=["process", "postgresql"]
)
def test_a_run_that_is_killed_leaves_no_process_behind(program: str, last: str) -> None:
    if program is START_POSTGRESQL:
        try:
            postgresql_binaries()
        except FileNotFoundError as error:
            pytest.skip(str(error))
    command = [sys.executable, "-c", f"import sys{program}print(flush=True); sys.stdin.read()"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == b"\n"
        started = psutil.Process(run.pid)
        until(lambda: last in {child.name() for child in started.children(recursive=True)})
        children = started.children(recursive=True)
        run.kill()

    until(lambda: not any(alive(child) for child in children))
