"""Run the probe once per environment, each in a fork of this process: imports are paid once, not once per case.

Reads a JSON list of {name, environment, requests} from stdin, where a request is [path, headers], and writes a JSON
object of name -> {exit, answers, stdout, stderr}.
"""

import importlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from opentelemetry import propagate

from app import telemetry
from app.otel_variables import check_variables
from tests.app import probe


def run(case: dict[str, Any], answers: Path) -> None:
    """Do in the forked process what gunicorn's worker does."""
    os.environ.update(case["environment"])
    check_variables()
    importlib.reload(propagate)  # reads OTEL_PROPAGATORS when it is imported
    app = probe.create_app()
    with app.test_client() as client:
        responses = [client.get(path, headers=headers) for path, headers in case["requests"]]
    telemetry.shutdown(deadline=5)
    answers.write_text(json.dumps([{"status": r.status_code, "headers": dict(r.headers)} for r in responses]))


def run_in_fork(case: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Run one case; its exit status, answers and output."""
    files = {name: folder / f"{case['name']}.{name}" for name in ("stdout", "stderr", "answers")}
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            for descriptor, name in ((1, "stdout"), (2, "stderr")):
                os.dup2(os.open(files[name], os.O_WRONLY | os.O_CREAT), descriptor)
            run(case, files["answers"])
            status = 0
        except SystemExit as stopped:
            status = int(stopped.code or 0)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return {
        "exit": status,
        "answers": json.loads(files["answers"].read_text()) if files["answers"].exists() else [],
        "stdout": files["stdout"].read_text(),
        "stderr": files["stderr"].read_text(),
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        json.dump({case["name"]: run_in_fork(case, Path(scratch)) for case in json.load(sys.stdin)}, sys.stdout)
